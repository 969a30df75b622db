"""Who is asked to help: the choice of a receiver, and the first sending.

A partner is chosen only for what the school may give away, under an agreement in force.
"""

from typing import Any

from libs.common.errors import Refused
from services.referrals.decider.commands import (
    Cover,
    Route,
    RoutingCommand,
    Send,
    TakeOn,
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
    no,
    said,
    told,
)
from services.referrals.events import (
    SCHOOL,
    About,
    ConsentIs,
    ReferralAccepted,
    ReferralEvent,
    ReferralRecalled,
    ReferralRouted,
    ReferralSent,
    ReferralTriaged,
)


def decide(state: Situation, command: RoutingCommand) -> list[ReferralEvent]:
    match command:
        case TakeOn():
            return take_on(state, command)
        case Route():
            return route(state, command)
        case Send():
            return send(state, command)


def take_on(state: Situation, command: TakeOn) -> list[ReferralEvent]:
    """The school helps by itself: whoever takes it on has accepted it."""
    match state:
        case Triaged() | Declined():
            routed = _routed(state.referral, command, SCHOOL, command.service)
            about = {name: getattr(routed, name) for name in About.model_fields}
            return [routed, ReferralAccepted(**about, person=command.stamp.actor.sub)]
        case Accepted():
            return _taken_on(state, command)
        case Unraised() | Raised() | AwaitingConsent() | Ready() | Sent() | Waitlisted():
            raise no(state)
        case InService() | SteppingDown() | Held() | Finished() | Closed() | Withdrawn():
            raise no(state)


def route(state: Situation, command: Route) -> list[ReferralEvent]:
    match state:
        case Triaged() | Declined():
            return _route(state.referral, command)
        case AwaitingConsent() | Ready():
            return _route(state.referral, command) if _elsewhere(state.referral, command) else []
        case Sent() | Waitlisted() | Accepted():
            return _rerouted(state.referral, command) if _elsewhere(state.referral, command) else []
        case Held():
            return _from_held(state, command)
        case Unraised() | Raised() | InService() | SteppingDown() | Finished():
            raise no(state)
        case Closed() | Withdrawn():
            raise no(state)


def send(state: Situation, command: Send) -> list[ReferralEvent]:
    match state:
        case Ready():
            _may_go(state.referral, command)
            if command.cover is None:
                raise Refused("no-consent", "The family must say yes first.")
            return [_sent(state.referral, command, command.cover)]
        case Sent():
            before = state.referral.last(ReferralSent)
            if before is not None and before.grant == state.referral.about.rested is not None:
                cover = Cover(grant=before.grant, version=before.version or 0)
                return said(state.referral, _sent(state.referral, command, cover), state)
            raise no(state)
        case Unraised() | Raised() | Triaged() | AwaitingConsent() | Waitlisted() | Accepted():
            raise no(state)
        case InService() | SteppingDown() | Declined() | Held() | Finished():
            raise no(state)
        case Closed() | Withdrawn():
            raise no(state)


def _taken_on(state: Accepted, command: TakeOn) -> list[ReferralEvent]:
    about, accepted = state.referral.about, state.referral.last(ReferralAccepted)
    person = None if accepted is None else accepted.person
    if (about.receiver, about.service, person) == (
        SCHOOL,
        command.service,
        command.stamp.actor.sub,
    ):
        return []
    raise no(state)


def _from_held(state: Held, command: Route) -> list[ReferralEvent]:
    """Before help has begun somebody else may be asked; afterwards the help is to be closed."""
    match state.was:
        case Ready() | Sent() | Waitlisted() | Accepted():
            return _rerouted(state.referral, command)
        case InService() | SteppingDown():
            raise no(state)


def _elsewhere(referral: Referral, command: Route) -> bool:
    """Where it is routed already, asking for the same is no news."""
    about = referral.about
    return (about.receiver, about.service) != (command.receiver, command.service)


def _rerouted(referral: Referral, command: Route) -> list[ReferralEvent]:
    events = _route(referral, command, rested=None)
    return [ReferralRecalled(**told(referral, command)), *events]


def _route(referral: Referral, command: Route, **after: Any) -> list[ReferralEvent]:
    _may_be_asked(referral, command)
    routed = _routed(referral, command, command.receiver, command.service, **after)
    if command.receiver != SCHOOL:
        return [routed]
    about = {name: getattr(routed, name) for name in About.model_fields}
    return [routed, ReferralSent(**{**about, "rested": None})]


def _may_be_asked(referral: Referral, command: Route) -> None:
    _enrolled(command)
    if command.receiver != SCHOOL:
        _may_leave(referral)
        if not command.agreed:
            raise Refused("no-agreement", "No agreement in force names this service here.")
    if command.override is not None:
        return
    if command.duplicates != ():
        raise Refused(
            "duplicate-service",
            "The student has this service under another referral: say why it is needed again.",
        )
    if (command.receiver, command.service) in referral.tried:
        raise Refused("already-tried", "This receiver was asked already: say why again.")


def _may_go(referral: Referral, command: Send) -> None:
    _enrolled(command)
    _may_leave(referral)
    if not command.agreed:
        raise Refused("no-agreement", "No agreement in force names this service here.")


def _may_leave(referral: Referral) -> None:
    triaged = referral.last(ReferralTriaged)
    if triaged is None or triaged.school_only:
        raise Refused("stays-at-school", "The psychologist keeps this at school.")
    if referral.tier != 3 and not triaged.wraparound:
        raise Refused(
            "tier-stays-at-school", "Partners give tier 3 and wraparound care; this is neither."
        )


def _enrolled(command: Route | Send) -> None:
    if command.standing == "erased":
        raise Refused("erased", "The record was erased.")
    if command.standing != "enrolled":
        raise Refused("student-left", "The student is not enrolled in the district.")


def _routed(
    referral: Referral, command: TakeOn | Route, receiver: str, service: str, **after: Any
) -> ReferralRouted:
    """The next attempt. Its consent is asked under the grant id that both services derive."""
    attempt = referral.about.attempt + 1
    cover = command.cover if isinstance(command, Route) else None
    if receiver == SCHOOL:
        consent, grant, version = ConsentIs.NOT_NEEDED, None, None
    elif cover is not None:
        consent, grant, version = ConsentIs.IN_PLACE, cover.grant, cover.version
    else:
        asked = f"{referral.about.referral}.{attempt}.out"
        consent, grant, version = ConsentIs.AWAITED, asked, None
    changes = {"attempt": attempt, "receiver": receiver, "service": service, **after}
    sender = referral.about.sender
    return ReferralRouted(
        **{**told(referral, command), **changes},
        consent=consent,
        grant=grant,
        version=version,
        until=command.year_end,
        holder="district" if sender == SCHOOL else sender,
        override=command.override if isinstance(command, Route) else None,
    )


def _sent(referral: Referral, command: Send, cover: Cover) -> ReferralSent:
    return ReferralSent(
        **told(referral, command),
        grant=cover.grant,
        version=cover.version,
        warm=command.warm,
        letter=command.letter,
    )
