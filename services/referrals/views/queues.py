"""Who waits for whom: an agency's inbox and a school's queue. References, dates and codes only."""

from collections.abc import Iterable
from datetime import date
from typing import Any

from libs.common.messages import Instant, Recorded, View
from libs.common.shapes import Projection
from services.referrals.events import (
    SCHOOL,
    About,
    AlertRaised,
    AlertRead,
    ClockBreached,
    ConcernRaised,
    CrisisAttended,
    CrisisCalled,
    CrisisSettled,
    OutcomeAcknowledged,
    ProgressReviewed,
    ReferralAccepted,
    ReferralClosed,
    ReferralDeclined,
    ReferralEvent,
    ReferralRecalled,
    ReferralRouted,
    ReferralSent,
    ReferralTriaged,
    ReferralWaitlisted,
    ReferralWithdrawn,
    ServiceStarted,
    Side,
    TierChanged,
)
from services.referrals.views.places import AWAITS_TRIAGE, CRISIS, OVER, RANK, place, to_agency


class InboxRow(View):
    """One referral at the agency that is asked or helps. The student has no name here."""

    referral: str
    agency: str
    school: str
    service: str
    urgency: str
    rank: int
    attempt: int
    situation: str
    sent_at: Instant
    since: Instant
    warm: bool
    expected_on: date | None = None
    person: str | None = None
    helper: str | None = None
    unread: tuple[int, ...] = ()


class QueueRow(View):
    """One referral as its school sees it, from the first word to the end."""

    referral: str
    need: str
    student: str
    school: str
    raiser: str
    origin: str
    urgency: str
    rank: int
    raised_at: Instant
    situation: str
    since: Instant
    open: bool = True
    attempt: int = 0
    receiver: str | None = None
    service: str | None = None
    tier: int | None = None
    person: str | None = None
    helper: str | None = None
    expected_on: date | None = None
    declined: str | None = None
    crisis: str | None = None
    breached: tuple[str, ...] = ()
    unread: tuple[int, ...] = ()


def _inbox_keys(entry: Recorded[Any]) -> Iterable[str]:
    event: ReferralEvent = entry.event
    return (event.referral,) if to_agency(event) else ()


def _inbox(row: InboxRow | None, entry: Recorded[Any], _: str) -> InboxRow | None:
    event: ReferralEvent = entry.event
    if isinstance(event, ReferralSent):
        return InboxRow(
            referral=event.referral,
            agency=event.receiver or "",
            school=event.school,
            service=event.service or "",
            urgency=event.urgency,
            rank=RANK[event.urgency],
            attempt=event.attempt,
            situation=place(event, ""),
            sent_at=entry.at,
            since=entry.at,
            warm=event.warm,
        )
    if row is None:
        return None
    gone = ReferralRecalled | ReferralDeclined | ReferralWithdrawn | ReferralClosed
    if isinstance(event, gone | OutcomeAcknowledged | ReferralRouted):
        return None
    changes: dict[str, object] = {"school": event.school, **_moved(row.situation, entry)}
    if isinstance(event, ReferralWaitlisted):
        changes["expected_on"] = event.expected_on
    if isinstance(event, ReferralAccepted):
        changes["person"] = event.person
    if isinstance(event, ServiceStarted):
        changes["helper"] = event.helper
    changes |= _alerts(row.unread, event, Side.AGENCY)
    return row.model_copy(update=changes)


def _moved(situation: str, entry: Recorded[Any]) -> dict[str, object]:
    after = place(entry.event, situation)
    return {} if after == situation else {"situation": after, "since": entry.at}


def _alerts(unread: tuple[int, ...], event: ReferralEvent, side: Side) -> dict[str, object]:
    if isinstance(event, AlertRaised) and event.to == side:
        return {"unread": (*unread, event.alert)}
    if isinstance(event, AlertRead) and event.to == side:
        return {"unread": tuple(number for number in unread if number != event.alert)}
    return {}


def _queue_keys(entry: Recorded[Any]) -> Iterable[str]:
    """An onward referral is the sending agency's; schools see it by permission only."""
    event: ReferralEvent = entry.event
    return (event.referral,) if event.sender == SCHOOL else ()


def _queue(row: QueueRow | None, entry: Recorded[Any], _: str) -> QueueRow | None:
    event: ReferralEvent = entry.event
    if isinstance(event, ConcernRaised):
        return QueueRow(
            referral=event.referral,
            need=event.need,
            student=event.student,
            school=event.school,
            raiser=event.raiser,
            origin=event.origin,
            urgency=event.urgency,
            rank=RANK[event.urgency],
            raised_at=entry.at,
            situation=AWAITS_TRIAGE,
            since=entry.at,
        )
    if row is None:
        return None
    changes = {"school": event.school, **_moved(row.situation, entry), **_noted(row, event)}
    if "situation" in changes:
        lasting = tuple(kind for kind in row.breached if kind == CRISIS)
        changes |= {"open": changes["situation"] not in OVER, "breached": lasting}
    return row.model_copy(update=changes | _alerts(row.unread, event, Side.SCHOOL))


def _noted(row: QueueRow, event: ReferralEvent) -> dict[str, object]:
    """What a row shows of the events that say something for it."""
    match event:
        case ReferralTriaged() | TierChanged():
            return {"tier": event.tier}
        case ReferralRouted():
            asked = {"receiver": event.receiver, "service": event.service}
            nobody = {"person": None, "helper": None, "expected_on": None, "declined": None}
            return {**asked, **nobody, "attempt": event.attempt}
        case ReferralAccepted():
            return {"person": event.person}
        case ReferralWaitlisted():
            return {"expected_on": event.expected_on}
        case ReferralDeclined():
            return {"declined": event.reason}
        case ServiceStarted():
            return {"helper": event.helper}
        case ProgressReviewed():
            return {"breached": tuple(kind for kind in row.breached if kind != row.situation)}
        case ClockBreached():
            current = event.kind in (row.situation, CRISIS)
            return {"breached": (*row.breached, event.kind)} if current else {}
        case CrisisCalled():
            return {"crisis": "called"}
        case CrisisAttended():
            rest = tuple(kind for kind in row.breached if kind != CRISIS)
            return {"crisis": "attended", "breached": rest}
        case CrisisSettled():
            return {"crisis": "settled"}
        case _:
            return {}


inbox = Projection[InboxRow](
    name="inbox",
    version=1,
    logs=("referrals",),
    view=InboxRow,
    keys=_inbox_keys,
    fold=_inbox,
    hears=About,
    indexes=(
        ("agency", "rank", "sent_at"),
        ("agency", "situation", "rank", "sent_at"),
        ("agency", "helper", "rank", "sent_at"),
    ),
)

queue = Projection[QueueRow](
    name="queue",
    version=1,
    logs=("referrals",),
    view=QueueRow,
    keys=_queue_keys,
    fold=_queue,
    hears=About,
    indexes=(
        ("school", "open", "rank", "since"),
        ("school", "situation", "rank", "since"),
        ("school", "helper", "since"),
        ("raiser", "raised_at"),
        ("student", "raised_at"),
    ),
)
