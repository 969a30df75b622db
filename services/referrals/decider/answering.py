"""What the receiver says: yes, later, no, and that help has begun."""

from libs.common.errors import Refused
from services.referrals.decider.commands import (
    Accept,
    AnsweringCommand,
    Decline,
    Start,
    Waitlist,
)
from services.referrals.decider.states import (
    Accepted,
    Attended,
    AwaitingConsent,
    Called,
    Closed,
    Declined,
    Finished,
    Held,
    InService,
    Raised,
    Ready,
    Referral,
    Sent,
    Situation,
    SteppingDown,
    Triaged,
    Unraised,
    Waitlisted,
    Withdrawn,
    again,
    no,
    receiver_only,
    said,
    told,
)
from services.referrals.events import (
    SCHOOL,
    ReferralAccepted,
    ReferralDeclined,
    ReferralEvent,
    ReferralWaitlisted,
    ServiceStarted,
    Urgency,
)


def decide(state: Situation, command: AnsweringCommand) -> list[ReferralEvent]:
    match command:
        case Accept():
            return accept(state, command)
        case Waitlist():
            return waitlist(state, command)
        case Decline():
            return decline(state, command)
        case Start():
            return start(state, command)


def accept(state: Situation, command: Accept) -> list[ReferralEvent]:
    receiver_only(state, command)
    match state:
        case Sent() | Waitlisted():
            return [_accepted(state.referral, command)]
        case Accepted():
            return said(state.referral, _accepted(state.referral, command), state)
        case InService() | SteppingDown():
            return []
        case Unraised() | Raised() | Triaged() | AwaitingConsent() | Ready() | Declined() | Held():
            raise no(state)
        case Finished() | Closed() | Withdrawn():
            raise no(state)


def waitlist(state: Situation, command: Waitlist) -> list[ReferralEvent]:
    receiver_only(state, command)
    match state:
        case Sent():
            return [_waitlisted(state.referral, command)]
        case Waitlisted():
            event = _waitlisted(state.referral, command)
            return [] if again(state.referral, event) else [event]
        case Unraised() | Raised() | Triaged() | AwaitingConsent() | Ready() | Accepted():
            raise no(state)
        case InService() | SteppingDown() | Declined() | Held() | Finished():
            raise no(state)
        case Closed() | Withdrawn():
            raise no(state)


def decline(state: Situation, command: Decline) -> list[ReferralEvent]:
    receiver_only(state, command)
    match state:
        case Sent() | Waitlisted() | Accepted():
            return [_declined(state.referral, command)]
        case Declined():
            return said(state.referral, _declined(state.referral, command), state)
        case Unraised() | Raised() | Triaged() | AwaitingConsent() | Ready() | InService():
            raise no(state)
        case SteppingDown() | Held() | Finished() | Closed() | Withdrawn():
            raise no(state)


def start(state: Situation, command: Start) -> list[ReferralEvent]:
    receiver_only(state, command)
    match state:
        case Accepted():
            _family_was_asked(state.referral)
            return [_started(state.referral, command)]
        case InService():
            return said(state.referral, _started(state.referral, command), state)
        case SteppingDown():
            return []
        case Unraised() | Raised() | Triaged() | AwaitingConsent() | Ready() | Sent():
            raise no(state)
        case Waitlisted() | Declined() | Held() | Finished() | Closed() | Withdrawn():
            raise no(state)


def _accepted(referral: Referral, command: Accept) -> ReferralAccepted:
    person = command.person or command.stamp.actor.sub
    return ReferralAccepted(**told(referral, command), person=person)


def _waitlisted(referral: Referral, command: Waitlist) -> ReferralWaitlisted:
    return ReferralWaitlisted(**told(referral, command), expected_on=command.expected_on)


def _declined(referral: Referral, command: Decline) -> ReferralDeclined:
    return ReferralDeclined(**told(referral, command), reason=command.reason, words=command.words)


def _started(referral: Referral, command: Start) -> ServiceStarted:
    helper = command.helper or command.stamp.actor.sub
    return ServiceStarted(**told(referral, command), helper=helper)


def _family_was_asked(referral: Referral) -> None:
    """School help beyond what every student gets needs a guardian's yes, except in a crisis."""
    if referral.about.receiver != SCHOOL or referral.tier == 1 or referral.agreed:
        return
    if referral.about.urgency == Urgency.CRISIS or isinstance(referral.crisis, Called | Attended):
        return
    raise Refused("family-not-asked", "A guardian must have agreed before this help begins.")
