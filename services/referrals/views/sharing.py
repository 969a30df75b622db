"""What the family allows, as this service has heard it: who may get what, and what rests on it.

Both are fed by consent's log, `resting` by our own log too. Consent's news of one grant come in
order, each referral's own news come in order, and the two change different fields: folds commute.
"""

from collections.abc import Iterable
from datetime import date
from typing import Any

from libs.common.messages import Recorded, View
from libs.common.shapes import Projection
from services.consent.events import (
    ConsentDeclined,
    ConsentExpired,
    ConsentGranted,
    ConsentNarrowed,
    ConsentRevoked,
    Purpose,
    RecordClass,
    RequestLapsed,
    RequestUnanswerable,
    Terms,
)
from services.referrals.events import (
    ConsentIs,
    FamilyRefused,
    No,
    OutcomeAcknowledged,
    ReferralClosed,
    ReferralDeclined,
    ReferralHeld,
    ReferralReady,
    ReferralRecalled,
    ReferralResumed,
    ReferralRouted,
    ReferralSent,
    ReferralWithdrawn,
    ServiceFinished,
)

DISTRICT = "district"


class Permission(View):
    """One grant that is open, at its version."""

    version: int
    holder: str
    classes: tuple[str, ...]
    purposes: tuple[str, ...]
    starts: date
    until: date


class Covering(View):
    """Everything this recipient may get of this student."""

    student: str
    recipient: str
    grants: dict[str, Permission]


class Covered(View):
    grant: str
    version: int
    classes: tuple[str, ...]


def covering_key(student: str, recipient: str) -> str:
    return f"{student}:{recipient}"


def covered(
    covering: Covering | None, needed: RecordClass, purpose: Purpose, today: date, holder: str
) -> Covered | None:
    """The open grant that covers this class for this purpose today: of several the one that lasts
    longest, then the smallest id. Both the first and the last day belong to it."""
    grants = covering.grants if covering else {}
    fit = [
        (grant, open_)
        for grant, open_ in sorted(grants.items())
        if open_.holder == holder
        and needed.value in open_.classes
        and purpose.value in open_.purposes
        and open_.starts <= today <= open_.until
    ]
    if not fit:
        return None
    grant, best = max(fit, key=lambda one: one[1].until)
    return Covered(grant=grant, version=best.version, classes=best.classes)


GrantEvent = ConsentGranted | ConsentNarrowed | ConsentRevoked | ConsentExpired


def _covering_keys(entry: Recorded[Any]) -> Iterable[str]:
    event: GrantEvent = entry.event
    match event:
        case ConsentGranted() | ConsentNarrowed():
            return (covering_key(event.student, event.terms.recipient),)
        case ConsentRevoked() | ConsentExpired():
            return (covering_key(event.student, event.recipient),)


def _covering(known: Covering | None, entry: Recorded[Any], key: str) -> Covering | None:
    event: GrantEvent = entry.event
    student, recipient = key.split(":")
    grants = dict(known.grants) if known else {}
    match event:
        case ConsentGranted() | ConsentNarrowed():
            grants[event.grant] = _permission(event.version, event.terms)
        case ConsentRevoked() | ConsentExpired():
            grants.pop(event.grant, None)
    return Covering(student=student, recipient=recipient, grants=dict(sorted(grants.items())))


def _permission(version: int, terms: Terms) -> Permission:
    return Permission(
        version=version,
        holder=terms.holder,
        classes=tuple(sorted(terms.classes)),
        purposes=tuple(sorted(terms.purposes)),
        starts=terms.starts,
        until=terms.until,
    )


class Resting(View):
    """One grant: what the family said of it last, and which referrals wait for it or rest on it.

    `referral` is the one that consent names; `covers` whether a referral may rest on it as it is.
    """

    grant: str
    student: str
    recipient: str = ""
    referral: str | None = None
    version: int = 0
    covers: bool = False
    ended: str | None = None
    refused: No | None = None
    awaiting: tuple[str, ...] = ()
    resting: tuple[str, ...] = ()


Family = GrantEvent | ConsentDeclined | RequestLapsed | RequestUnanswerable
Begins = ReferralRouted | ReferralReady | ReferralResumed | ReferralSent
Ends = (
    ReferralRecalled
    | FamilyRefused
    | ReferralHeld
    | ReferralDeclined
    | ServiceFinished
    | ReferralWithdrawn
    | ReferralClosed
    | OutcomeAcknowledged
)


def _resting_keys(entry: Recorded[Any]) -> Iterable[str]:
    event: Family | Begins | Ends = entry.event
    if isinstance(event, Family):
        return (event.grant,)
    grants = {event.rested, event.grant if isinstance(event, Begins) else None}
    return sorted(grant for grant in grants if grant is not None)


def _resting(known: Resting | None, entry: Recorded[Any], grant: str) -> Resting | None:
    event: Family | Begins | Ends = entry.event
    doc = known or Resting(grant=grant, student=event.student)
    if isinstance(event, Family):
        return doc.model_copy(update=_said(event))
    awaiting = {ref for ref in doc.awaiting if ref != event.referral}
    resting = {ref for ref in doc.resting if ref != event.referral}
    if isinstance(event, Begins) and event.grant == grant:
        awaited = isinstance(event, ReferralRouted) and event.consent == ConsentIs.AWAITED
        (awaiting if awaited else resting).add(event.referral)
    return doc.model_copy(
        update={"awaiting": tuple(sorted(awaiting)), "resting": tuple(sorted(resting))}
    )


def _said(event: Family) -> dict[str, object]:
    """A no may be followed by a yes; an end is final."""
    match event:
        case ConsentGranted() | ConsentNarrowed():
            covers = RecordClass.REFERRAL in event.terms.classes
            covers = covers and Purpose.REFERRAL in event.terms.purposes
            return {
                "recipient": event.terms.recipient,
                "referral": event.referral,
                "version": event.version,
                "covers": covers,
                "refused": None,
            }
        case ConsentRevoked():
            return {"covers": False, "ended": "revoked", "version": event.version}
        case ConsentExpired():
            return {"covers": False, "ended": event.cause.value, "version": event.version}
        case ConsentDeclined():
            return {"refused": "declined"}
        case RequestLapsed():
            return {"refused": "lapsed"}
        case RequestUnanswerable():
            return {"refused": event.reason}


covering = Projection[Covering](
    name="covering",
    version=1,
    logs=("consent",),
    view=Covering,
    keys=_covering_keys,
    fold=_covering,
    hears=GrantEvent,
    gates=True,
)

resting = Projection[Resting](
    name="resting",
    version=1,
    logs=("consent", "referrals"),
    view=Resting,
    keys=_resting_keys,
    fold=_resting,
    hears=Family | Begins | Ends,
)
