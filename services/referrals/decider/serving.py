"""Help under way: looked at again, made less or more, both sides alert each other, it ends."""

from libs.common.errors import Refused
from services.referrals.decider.commands import (
    Alert,
    Finish,
    ReadAlert,
    Review,
    ServingCommand,
    StepDown,
    StepUp,
)
from services.referrals.decider.states import (
    Accepted,
    AwaitingConsent,
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
    not_later,
    receiver_only,
    said,
    side,
    told,
)
from services.referrals.events import (
    SCHOOL,
    AlertRaised,
    AlertRead,
    ProgressReviewed,
    ReferralEvent,
    ServiceFinished,
    Side,
    SupportSteppedDown,
    SupportSteppedUp,
)


def decide(state: Situation, command: ServingCommand) -> list[ReferralEvent]:
    match command:
        case Review():
            return review(state, command)
        case StepDown():
            return step_down(state, command)
        case StepUp():
            return step_up(state, command)
        case Alert():
            return alert(state, command)
        case ReadAlert():
            return read_alert(state, command)
        case Finish():
            return finish(state, command)


def review(state: Situation, command: Review) -> list[ReferralEvent]:
    receiver_only(state, command)
    match state:
        case InService() | SteppingDown():
            not_later(command.on, command.today)
            event = ProgressReviewed(
                **told(state.referral, command), settings=command.settings, on=command.on
            )
            return [] if again(state.referral, event) else [event]
        case Unraised() | Raised() | Triaged() | AwaitingConsent() | Ready() | Sent():
            raise no(state)
        case Waitlisted() | Accepted() | Declined() | Held() | Finished():
            raise no(state)
        case Closed() | Withdrawn():
            raise no(state)


def step_down(state: Situation, command: StepDown) -> list[ReferralEvent]:
    receiver_only(state, command)
    match state:
        case InService():
            return [_stepped_down(state.referral, command)]
        case SteppingDown():
            event = _stepped_down(state.referral, command)
            return [] if again(state.referral, event) else [event]
        case Unraised() | Raised() | Triaged() | AwaitingConsent() | Ready() | Sent():
            raise no(state)
        case Waitlisted() | Accepted() | Declined() | Held() | Finished():
            raise no(state)
        case Closed() | Withdrawn():
            raise no(state)


def step_up(state: Situation, command: StepUp) -> list[ReferralEvent]:
    receiver_only(state, command)
    match state:
        case SteppingDown():
            return [SupportSteppedUp(**told(state.referral, command))]
        case InService():
            return said(state.referral, SupportSteppedUp(**told(state.referral, command)), state)
        case Unraised() | Raised() | Triaged() | AwaitingConsent() | Ready() | Sent():
            raise no(state)
        case Waitlisted() | Accepted() | Declined() | Held() | Finished():
            raise no(state)
        case Closed() | Withdrawn():
            raise no(state)


def alert(state: Situation, command: Alert) -> list[ReferralEvent]:
    match state:
        case Accepted() | InService() | SteppingDown():
            return _alert(state.referral, command)
        case Unraised() | Raised() | Triaged() | AwaitingConsent() | Ready() | Sent():
            raise no(state)
        case Waitlisted() | Declined() | Held() | Finished() | Closed() | Withdrawn():
            raise no(state)


def read_alert(state: Situation, command: ReadAlert) -> list[ReferralEvent]:
    match state:
        case Accepted() | InService() | SteppingDown() | Finished():
            return _read(state.referral, command)
        case Unraised() | Raised() | Triaged() | AwaitingConsent() | Ready() | Sent():
            raise no(state)
        case Waitlisted() | Declined() | Held() | Closed() | Withdrawn():
            raise no(state)


def finish(state: Situation, command: Finish) -> list[ReferralEvent]:
    receiver_only(state, command)
    match state:
        case InService() | SteppingDown():
            return [_finished(state.referral, command)]
        case Finished():
            return said(state.referral, _finished(state.referral, command), state)
        case Unraised() | Raised() | Triaged() | AwaitingConsent() | Ready() | Sent():
            raise no(state)
        case Waitlisted() | Accepted() | Declined() | Held() | Closed() | Withdrawn():
            raise no(state)


def _stepped_down(referral: Referral, command: StepDown) -> SupportSteppedDown:
    return SupportSteppedDown(
        **told(referral, command), level=command.level, review_on=command.review_on
    )


def _alert(referral: Referral, command: Alert) -> list[ReferralEvent]:
    """Between school and agency an alert crosses only under a grant; at school it crosses nothing.
    The same words are news again once the earlier ones have been read."""
    inside = referral.about.receiver == SCHOOL
    cover = None if inside else command.cover
    nobody = command.to == Side.AGENCY if inside else cover is None
    if nobody:
        raise Refused("not-shared", "The family has not allowed this to be shared.")
    last = referral.last(AlertRaised)
    unread = {one.number for one in referral.alerts if not one.read}
    same = last is not None and (last.to, last.words) == (command.to, command.words)
    if last is not None and same and last.alert in unread:
        return []
    return [
        AlertRaised(
            **told(referral, command),
            alert=len(referral.alerts) + 1,
            to=command.to,
            words=command.words,
            grant=None if cover is None else cover.grant,
            version=None if cover is None else cover.version,
        )
    ]


def _read(referral: Referral, command: ReadAlert) -> list[ReferralEvent]:
    for one in referral.alerts:
        if one.number == command.alert and one.to == side(command):
            if one.read:
                return []
            return [AlertRead(**told(referral, command), alert=one.number, to=one.to)]
    raise Refused("unknown-alert", "There is no such alert to you.")


def _finished(referral: Referral, command: Finish) -> ServiceFinished:
    return ServiceFinished(
        **told(referral, command),
        helper=referral.helper or command.stamp.actor.sub,
        served=command.served,
        outcome=command.outcome,
    )
