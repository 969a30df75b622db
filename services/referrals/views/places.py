"""Which situation an event leads to, by its code; the same codes with which a situation refuses."""

from services.referrals.events import (
    SCHOOL,
    ConsentIs,
    FamilyRefused,
    OutcomeAcknowledged,
    ReferralAccepted,
    ReferralClosed,
    ReferralDeclined,
    ReferralEvent,
    ReferralHeld,
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
    Urgency,
)

AWAITS_TRIAGE = "awaits-triage"
AWAITS_ROUTE = "awaits-route"
AWAITS_CONSENT = "awaits-consent"
NOT_SENT = "not-sent"
AWAITS_ANSWER = "awaits-answer"
ON_WAITLIST = "on-waitlist"
NOT_STARTED = "not-started"
IN_SERVICE = "in-service"
STEPPING_DOWN = "stepping-down"
DECLINED = "declined"
SHARING_ENDED = "sharing-ended"
UNACKNOWLEDGED = "unacknowledged"
CLOSED = "closed"
WITHDRAWN = "withdrawn"
CRISIS = "crisis"
"""No situation but a clock beside it."""

WAITING = frozenset({AWAITS_ANSWER, ON_WAITLIST, NOT_STARTED})
OVER = frozenset({CLOSED, WITHDRAWN})
RANK = {Urgency.CRISIS: 0, Urgency.SOON: 1, Urgency.ROUTINE: 2}
"""The order of a list: the more urgent first, then who has waited longest."""


def place(event: ReferralEvent, before: str) -> str:
    """The situation after this event; most events leave it as it was."""
    match event:
        case ReferralTriaged() | ReferralRecalled() | FamilyRefused():
            return AWAITS_ROUTE
        case ReferralRouted():
            return AWAITS_CONSENT if event.consent == ConsentIs.AWAITED else NOT_SENT
        case ReferralReady():
            return NOT_SENT
        case ReferralSent():
            return AWAITS_ANSWER
        case ReferralWaitlisted():
            return ON_WAITLIST
        case ReferralAccepted():
            return NOT_STARTED
        case ServiceStarted() | SupportSteppedUp():
            return IN_SERVICE
        case SupportSteppedDown():
            return STEPPING_DOWN
        case ReferralDeclined():
            return DECLINED
        case ReferralHeld():
            return SHARING_ENDED
        case ReferralResumed():
            return event.to
        case ServiceFinished():
            return UNACKNOWLEDGED
        case OutcomeAcknowledged() | ReferralClosed():
            return CLOSED
        case ReferralWithdrawn():
            return WITHDRAWN
        case ReferralReopened():
            return AWAITS_ROUTE if event.triaged else AWAITS_TRIAGE
        case _:
            return before


def to_agency(event: ReferralEvent) -> bool:
    return event.receiver not in (None, SCHOOL)
