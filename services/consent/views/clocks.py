"""What is due for a request or a permission: reminders, lapsing, the last day."""

from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Any

from libs.common.directory import Calendar, Directory
from libs.common.messages import Instant, Recorded
from libs.common.shapes import Projection
from libs.common.timers import ClockRow
from services.consent.events import (
    ConsentDeclined,
    ConsentDisputed,
    ConsentExpired,
    ConsentGranted,
    ConsentNarrowed,
    ConsentRequested,
    ConsentRevoked,
    FamilyReminded,
    RequestLapsed,
    RequestWithdrawn,
)
from services.consent.views.family import case_key

REMIND_FIRST, REMIND_AGAIN, LAPSE, DISPUTE, EXPIRE = (
    "remind-3",
    "remind-6",
    "lapse-20",
    "disputed-2",
    "expire",
)
SCHOOL_DAYS = {REMIND_FIRST: 3, REMIND_AGAIN: 6, LAPSE: 20, DISPUTE: 2}
"""Counted from the request; a dispute from when it began."""
NEXT = {REMIND_FIRST: REMIND_AGAIN, REMIND_AGAIN: LAPSE, DISPUTE: LAPSE}


class Row(ClockRow):
    """The one limit that comes next for this request; another follows when it has passed."""

    student: str
    grant: str
    asked_at: Instant
    asked_version: int


ClockEvent = (
    ConsentRequested
    | FamilyReminded
    | ConsentDisputed
    | ConsentDeclined
    | ConsentGranted
    | ConsentNarrowed
    | ConsentRevoked
    | ConsentExpired
    | RequestLapsed
    | RequestWithdrawn
)


def clocks(directory: Directory) -> Projection[ClockRow]:
    """School days are the district's: built for one directory."""
    return Projection[ClockRow](
        name="clocks",
        version=1,
        logs=("consent",),
        view=Row,
        keys=_keys,
        fold=_folding(directory.calendar),
        hears=ClockEvent,
        indexes=(("due",),),
    )


def _keys(entry: Recorded[Any]) -> Iterable[str]:
    event = entry.event
    return (case_key(event.student, event.grant),)


Fold = Callable[[ClockRow | None, Recorded[Any], str], ClockRow | None]


def _folding(calendar: Calendar) -> Fold:
    def fold(row: ClockRow | None, entry: Recorded[Any], _: str) -> ClockRow | None:
        event: ClockEvent = entry.event
        if isinstance(event, ConsentRequested):
            return _asked(calendar, event, entry)
        return _next(calendar, row, event, entry) if isinstance(row, Row) else None

    return fold


def _next(calendar: Calendar, row: Row, event: ClockEvent, entry: Recorded[Any]) -> Row | None:
    match event:
        case ConsentRequested():
            return row
        case FamilyReminded(kind=kind):
            return _since_asked(calendar, row, NEXT[kind]) if kind == row.kind else row
        case ConsentDisputed():
            due = calendar.due(entry.at, SCHOOL_DAYS[DISPUTE])
            return _running(row, entry.version, DISPUTE, due)
        case ConsentDeclined():
            return _since_asked(calendar, row, LAPSE)
        case ConsentGranted(terms=terms) | ConsentNarrowed(terms=terms):
            return _running(row, entry.version, EXPIRE, _end_of(calendar, terms.until))
        case ConsentRevoked() | ConsentExpired() | RequestLapsed() | RequestWithdrawn():
            return None


def _asked(calendar: Calendar, event: ConsentRequested, entry: Recorded[Any]) -> Row:
    return Row(
        stream=entry.stream,
        entered=entry.version,
        kind=REMIND_FIRST,
        due=calendar.due(entry.at, SCHOOL_DAYS[REMIND_FIRST]),
        student=event.student,
        grant=event.grant,
        asked_at=entry.at,
        asked_version=entry.version,
    )


def _since_asked(calendar: Calendar, row: Row, kind: str) -> Row:
    due = calendar.due(row.asked_at, SCHOOL_DAYS[kind])
    return _running(row, row.asked_version, kind, due)


def _running(row: Row, entered: int, kind: str, due: datetime) -> Row:
    return row.model_copy(update={"entered": entered, "kind": kind, "due": due})


def _end_of(calendar: Calendar, day: date) -> datetime:
    """The first instant after the day, which belongs to the permission."""
    after = day + timedelta(days=1)
    return datetime(after.year, after.month, after.day, tzinfo=calendar.zone).astimezone(UTC)
