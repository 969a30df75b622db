"""What is left to remember of each event. The past is not up for debate: nothing is refused here.

An event changes three things: the facts, the situation, and which clocks run.
"""

from datetime import datetime

from services.referrals.decider.states import (
    CRISIS_CLOCK,
    Accepted,
    AlertIs,
    Attended,
    AwaitingConsent,
    Called,
    Closed,
    Declined,
    Finished,
    Held,
    InService,
    Known,
    Raised,
    Ready,
    Referral,
    Sent,
    Settled,
    Situation,
    Stay,
    SteppingDown,
    Triaged,
    Unraised,
    Waitlisted,
    Withdrawn,
)
from services.referrals.events import (
    SCHOOL,
    About,
    AlertRaised,
    AlertRead,
    ClockBreached,
    ConcernAdded,
    ConcernRaised,
    ConsentIs,
    CrisisAttended,
    CrisisCalled,
    CrisisSettled,
    FamilyMet,
    FamilyRefused,
    Met,
    OutcomeAcknowledged,
    ProgressReviewed,
    ReferralAccepted,
    ReferralClosed,
    ReferralDeclined,
    ReferralEvent,
    ReferralHeld,
    ReferralMoved,
    ReferralPacketOpened,
    ReferralReady,
    ReferralRecalled,
    ReferralReopened,
    ReferralResumed,
    ReferralRouted,
    ReferralSent,
    ReferralTriaged,
    ReferralWaitlisted,
    ReferralWithdrawn,
    ServiceFinished,
    ServiceStarted,
    SupportSteppedDown,
    SupportSteppedUp,
    TierChanged,
)

STAYS_MAX = 100
"""Of the oldest stays, nobody asks any more."""
HOLDABLE = (Ready, Sent, Waitlisted, Accepted, InService, SteppingDown)


def evolve(state: Situation, event: ReferralEvent) -> Situation:
    if isinstance(state, Unraised):
        return _begun(event) if isinstance(event, ConcernRaised) else state
    known = _remembered(state.referral, event)
    after = _placed(state, known, event)
    return after.model_copy(update={"referral": _clocked(state, after, known, event)})


def _begun(event: ConcernRaised) -> Raised:
    about = About(**{name: getattr(event, name) for name in About.model_fields})
    stay = Stay(entered=1, kind=Raised.code)
    return Raised(
        referral=Referral(about=about, version=1, news={event.type: event}, stays=(stay,))
    )


def _remembered(referral: Referral, event: ReferralEvent) -> Referral:
    changes = {
        "version": referral.version + 1,
        "news": {**referral.news, event.type: event},
        "about": _about(referral, event),
        **_facts(referral, event),
    }
    return referral.model_copy(update=changes)


def _about(referral: Referral, event: ReferralEvent) -> About:
    """Who is asked, under which grant, once this has happened."""
    about = {"attempt": event.attempt, "school": event.school}
    about |= {"receiver": event.receiver, "service": event.service, "rested": event.rested}
    match event:
        case ReferralRouted() | ReferralReady() | ReferralResumed():
            about["rested"] = event.grant
        case ReferralSent():
            about["rested"] = event.grant or event.rested
        case ReferralRecalled() | FamilyRefused() | ReferralReopened():
            about |= {"receiver": None, "service": None, "rested": None}
        case ReferralHeld() | ReferralDeclined() | ServiceFinished():
            about["rested"] = None
        case ReferralClosed() | ReferralWithdrawn() | OutcomeAcknowledged():
            about["rested"] = None
        case ConcernRaised() | ConcernAdded() | FamilyMet() | ReferralTriaged() | TierChanged():
            pass
        case ReferralAccepted() | ReferralWaitlisted() | ServiceStarted() | ProgressReviewed():
            pass
        case SupportSteppedDown() | SupportSteppedUp() | AlertRaised() | AlertRead():
            pass
        case ReferralMoved() | ClockBreached() | CrisisCalled() | CrisisAttended():
            pass
        case CrisisSettled() | ReferralPacketOpened():
            pass
    return referral.about.model_copy(update=about)


def _facts(referral: Referral, event: ReferralEvent) -> dict[str, object]:
    match event:
        case ReferralTriaged() | TierChanged():
            return {"tier": event.tier}
        case FamilyMet():
            return {"agreed": event.agrees} if event.met != Met.STUDENT else {}
        case ReferralRouted():
            asked = (event.receiver or SCHOOL, event.service or "")
            return {"tried": (*referral.tried, asked), "helper": None}
        case FamilyRefused():
            return {"tried": referral.tried[:-1]}  # the receiver never heard of it
        case ReferralHeld():
            return {"ended": (*referral.ended, event.grant)}
        case ServiceStarted():
            return {"helper": event.helper}
        case AlertRaised():
            return {"alerts": (*referral.alerts, AlertIs(number=event.alert, to=event.to))}
        case AlertRead():
            return {
                "alerts": tuple(
                    one.model_copy(update={"read": one.read or one.number == event.alert})
                    for one in referral.alerts
                )
            }
        case CrisisCalled():
            return {"crisis": Called()}
        case CrisisAttended():
            return {"crisis": Attended()}
        case CrisisSettled():
            return {"crisis": Settled()}
        case ConcernRaised() | ConcernAdded() | ReferralRecalled() | ReferralReady():
            return {}
        case ReferralResumed() | ReferralSent() | ReferralAccepted():
            return {}
        case ReferralWaitlisted() | ReferralDeclined() | ProgressReviewed():
            return {}
        case SupportSteppedDown() | SupportSteppedUp() | ServiceFinished() | OutcomeAcknowledged():
            return {}
        case ReferralClosed() | ReferralWithdrawn() | ReferralReopened() | ReferralMoved():
            return {}
        case ClockBreached() | ReferralPacketOpened():
            return {}


def _placed(state: Known, known: Referral, event: ReferralEvent) -> Known:
    """Where an event leads. Those of the last rows change no situation."""
    match event:
        case ReferralTriaged() | ReferralRecalled() | FamilyRefused():
            return Triaged(referral=known)
        case ReferralRouted():
            awaited = event.consent == ConsentIs.AWAITED
            return AwaitingConsent(referral=known) if awaited else Ready(referral=known)
        case ReferralReady():
            return Ready(referral=known)
        case ReferralHeld():
            return Held(referral=known, was=state) if isinstance(state, HOLDABLE) else state
        case ReferralResumed():
            return state.was if isinstance(state, Held) else state
        case ReferralSent():
            return Sent(referral=known)
        case ReferralAccepted():
            return Accepted(referral=known)
        case ReferralWaitlisted():
            return Waitlisted(referral=known)
        case ReferralDeclined():
            return Declined(referral=known)
        case ServiceStarted() | SupportSteppedUp():
            return InService(referral=known)
        case SupportSteppedDown():
            return SteppingDown(referral=known)
        case ServiceFinished():
            return Finished(referral=known)
        case OutcomeAcknowledged() | ReferralClosed():
            return Closed(referral=known)
        case ReferralWithdrawn():
            return Withdrawn(referral=known)
        case ReferralReopened():
            return Triaged(referral=known) if event.triaged else Raised(referral=known)
        case ConcernRaised() | ConcernAdded() | FamilyMet() | TierChanged() | ProgressReviewed():
            return state
        case AlertRaised() | AlertRead() | ReferralMoved() | ClockBreached():
            return state
        case CrisisCalled() | CrisisAttended() | CrisisSettled() | ReferralPacketOpened():
            return state


def _clocked(before: Known, after: Known, known: Referral, event: ReferralEvent) -> Referral:
    """A stay ends when the situation or the receiver changes; a review starts its clock anew."""
    stays = known.stays
    if isinstance(event, ClockBreached):
        stays = _noted(stays, event)
    if isinstance(event, CrisisCalled) and not isinstance(before.referral.crisis, Called):
        stays = (*stays, Stay(entered=known.version, kind=CRISIS_CLOCK))
    if isinstance(event, CrisisAttended):
        stays = _left(stays, event.at, crisis=True)
    moved = type(before) is not type(after) or known.about.attempt != before.referral.about.attempt
    if moved or isinstance(event, ProgressReviewed):
        stays = _left(stays, event.at, crisis=False)
        if not isinstance(after, Closed | Withdrawn):
            stays = (*stays, Stay(entered=known.version, kind=after.code))
    return known.model_copy(update={"stays": stays[-STAYS_MAX:]})


def _noted(stays: tuple[Stay, ...], event: ClockBreached) -> tuple[Stay, ...]:
    """A stay that was left is remembered only until its breach is noted."""
    found = []
    for stay in stays:
        if (stay.entered, stay.kind) != (event.entered, event.kind):
            found.append(stay)
        elif stay.left is None:
            found.append(stay.model_copy(update={"noted": True}))
    return tuple(found)


def _left(stays: tuple[Stay, ...], at: datetime, *, crisis: bool) -> tuple[Stay, ...]:
    found = []
    for stay in stays:
        if stay.left is not None or (stay.kind == CRISIS_CLOCK) != crisis:
            found.append(stay)
        elif not stay.noted:
            found.append(stay.model_copy(update={"left": at}))
    return tuple(found)
