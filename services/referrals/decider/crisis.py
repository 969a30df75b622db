"""A crisis runs beside the situation: it waits for no consent, no triage, no place on a list."""

from libs.common.errors import Refused
from services.referrals.decider.commands import (
    AttendCrisis,
    CallCrisis,
    CrisisCommand,
    SettleCrisis,
)
from services.referrals.decider.states import (
    Accepted,
    Attended,
    AwaitingConsent,
    Called,
    Calm,
    Closed,
    Declined,
    Finished,
    Held,
    InService,
    Raised,
    Ready,
    Referral,
    Sent,
    Settled,
    Situation,
    SteppingDown,
    Triaged,
    Unraised,
    Waitlisted,
    Withdrawn,
    again,
    no,
    told,
)
from services.referrals.events import (
    CrisisAttended,
    CrisisCalled,
    CrisisSettled,
    ReferralEvent,
)


def decide(state: Situation, command: CrisisCommand) -> list[ReferralEvent]:
    match command:
        case CallCrisis():
            return call_crisis(state, command)
        case AttendCrisis():
            return attend_crisis(state, command)
        case SettleCrisis():
            return settle_crisis(state, command)


def call_crisis(state: Situation, command: CallCrisis) -> list[ReferralEvent]:
    match state:
        case Unraised():
            raise no(state)
        case Raised() | Triaged() | AwaitingConsent() | Ready() | Sent() | Waitlisted():
            return _call(state.referral, command)
        case Accepted() | InService() | SteppingDown() | Declined() | Held() | Finished():
            return _call(state.referral, command)
        case Closed() | Withdrawn():
            return _call(state.referral, command)


def attend_crisis(state: Situation, command: AttendCrisis) -> list[ReferralEvent]:
    match state:
        case Unraised():
            raise no(state)
        case Raised() | Triaged() | AwaitingConsent() | Ready() | Sent() | Waitlisted():
            return _attend(state.referral, command)
        case Accepted() | InService() | SteppingDown() | Declined() | Held() | Finished():
            return _attend(state.referral, command)
        case Closed() | Withdrawn():
            return _attend(state.referral, command)


def settle_crisis(state: Situation, command: SettleCrisis) -> list[ReferralEvent]:
    match state:
        case Unraised():
            raise no(state)
        case Raised() | Triaged() | AwaitingConsent() | Ready() | Sent() | Waitlisted():
            return _settle(state.referral, command)
        case Accepted() | InService() | SteppingDown() | Declined() | Held() | Finished():
            return _settle(state.referral, command)
        case Closed() | Withdrawn():
            return _settle(state.referral, command)


def _call(referral: Referral, command: CallCrisis) -> list[ReferralEvent]:
    event = CrisisCalled(**told(referral, command), signal=command.signal, words=command.words)
    match referral.crisis:
        case Called():
            return [] if again(referral, event) else [event]
        case Calm() | Attended() | Settled():
            return [event]


def _attend(referral: Referral, command: AttendCrisis) -> list[ReferralEvent]:
    match referral.crisis:
        case Called():
            return [CrisisAttended(**told(referral, command))]
        case Attended():
            return []
        case Calm() | Settled():
            raise Refused("no-crisis", "No crisis is called.")


def _settle(referral: Referral, command: SettleCrisis) -> list[ReferralEvent]:
    event = CrisisSettled(**told(referral, command), steps=command.steps)
    match referral.crisis:
        case Attended():
            return [event]
        case Called():
            raise Refused("crisis-unattended", "Nobody is with the student yet.")
        case Settled():
            if again(referral, event):
                return []
            raise Refused("no-crisis", "No crisis is called.")
        case Calm():
            raise Refused("no-crisis", "No crisis is called.")
