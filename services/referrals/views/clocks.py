"""What is due: the limit on each stay, in school days, and the fifteen minutes of a crisis.

One document a referral, showing the limit that passes first. A stay that was left in time is
forgotten; one that was left late stays until its breach is noted.
"""

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Any, Literal, NamedTuple

from libs.common.directory import Directory
from libs.common.messages import Instant, Recorded, View
from libs.common.shapes import Projection
from libs.common.timers import ClockRow
from services.referrals.events import (
    About,
    ClockBreached,
    CrisisAttended,
    CrisisCalled,
    ProgressReviewed,
    ReferralEvent,
)
from services.referrals.views.places import AWAITS_TRIAGE, CRISIS, OVER, place

CRISIS_MINUTES = 15
NEVER = datetime.fromisoformat("9999-12-31T00:00:00+00:00")
"""Nothing is due; the document only remembers where the referral stands."""


class Limit(NamedTuple):
    """School days, and who hears of the breach."""

    days: int
    hears: tuple[str, ...]


LIMITS = {
    "awaits-triage": Limit(2, ("psychologist", "coordinator")),
    "awaits-route": Limit(3, ("psychologist",)),
    "awaits-consent": Limit(10, ("sender", "coordinator")),
    "not-sent": Limit(2, ("sender",)),
    "awaits-answer": Limit(3, ("intake", "coordinator")),
    "on-waitlist": Limit(20, ("coordinator",)),
    "not-started": Limit(10, ("receiver", "coordinator")),
    "in-service": Limit(30, ("helper",)),
    "stepping-down": Limit(20, ("helper",)),
    "declined": Limit(3, ("sender",)),
    "sharing-ended": Limit(10, ("sender", "coordinator")),
    "unacknowledged": Limit(5, ("sender",)),
}
CRISIS_HEARS = ("on-call", "stand-in", "principal")


class Running(View):
    entered: int
    kind: str
    due: Instant
    source: Literal["default", "terms"]
    left: Instant | None = None
    noted: bool = False


class Row(ClockRow):
    """`entered`, `kind` and `due` are those of the limit that passes next."""

    referral: str
    school: str
    receiver: str | None = None
    attempt: int = 0
    situation: str = AWAITS_TRIAGE
    source: Literal["default", "terms"] = "default"
    hears: tuple[str, ...] = ()
    running: tuple[Running, ...] = ()


def clocks(directory: Directory) -> Projection[ClockRow]:
    """School days and agreed limits are the district's: built for one directory."""
    return Projection[ClockRow](
        name="clocks",
        version=1,
        logs=("referrals",),
        view=Row,
        keys=_keys,
        fold=_folding(directory),
        hears=About,
        indexes=(("due",), ("school", "due")),
    )


def _keys(entry: Recorded[Any]) -> Iterable[str]:
    return (entry.stream,)


def _folding(
    directory: Directory,
) -> Callable[[ClockRow | None, Recorded[Any], str], ClockRow | None]:
    def fold(row: ClockRow | None, entry: Recorded[Any], _: str) -> ClockRow | None:
        event: ReferralEvent = entry.event
        known = row if isinstance(row, Row) else _begun(entry)
        situation = place(event, known.situation or AWAITS_TRIAGE)
        moved = situation != known.situation or event.attempt != known.attempt
        running = _crisis(_noted(known.running, event), entry)
        if moved or isinstance(event, ProgressReviewed):
            running = _left(running, event.at, crisis=False)
            if situation not in OVER:
                running = (*running, _stay(directory, situation, entry))
        return _shown(known, running, situation, event)

    return fold


def _begun(entry: Recorded[Any]) -> Row:
    event: ReferralEvent = entry.event
    return Row(
        stream=entry.stream,
        entered=entry.version,
        kind=AWAITS_TRIAGE,
        due=NEVER,
        referral=event.referral,
        school=event.school,
        situation="",
    )


def _stay(directory: Directory, situation: str, entry: Recorded[Any]) -> Running:
    """The agreement's own limit comes before the default."""
    event: ReferralEvent = entry.event
    terms = directory.terms_by_pair.get((event.school, event.receiver or ""))
    agreed = terms.limits.get(situation) if terms else None
    days = LIMITS[situation].days if agreed is None else agreed
    return Running(
        entered=entry.version,
        kind=situation,
        due=directory.calendar.due(event.at, days),
        source="default" if agreed is None else "terms",
    )


def _noted(running: tuple[Running, ...], event: ReferralEvent) -> tuple[Running, ...]:
    if not isinstance(event, ClockBreached):
        return running
    found = []
    for one in running:
        if (one.entered, one.kind) != (event.entered, event.kind):
            found.append(one)
        elif one.left is None:
            found.append(one.model_copy(update={"noted": True}))
    return tuple(found)


def _crisis(running: tuple[Running, ...], entry: Recorded[Any]) -> tuple[Running, ...]:
    event: ReferralEvent = entry.event
    if isinstance(event, CrisisAttended):
        return _left(running, event.at, crisis=True)
    called = any(one.kind == CRISIS and one.left is None for one in running)
    if not isinstance(event, CrisisCalled) or called:
        return running
    due = event.at + timedelta(minutes=CRISIS_MINUTES)
    return (*running, Running(entered=entry.version, kind=CRISIS, due=due, source="default"))


def _left(running: tuple[Running, ...], at: datetime, *, crisis: bool) -> tuple[Running, ...]:
    found = []
    for one in running:
        if one.left is not None or (one.kind == CRISIS) != crisis:
            found.append(one)
        elif not one.noted and at > one.due:
            found.append(one.model_copy(update={"left": at}))
    return tuple(found)


def _shown(row: Row, running: tuple[Running, ...], situation: str, event: ReferralEvent) -> Row:
    waits = sorted((one for one in running if not one.noted), key=lambda one: one.due)
    changes: dict[str, object] = {
        "school": event.school,
        "receiver": event.receiver,
        "attempt": event.attempt,
        "situation": situation,
        "running": running,
        "due": NEVER,
        "hears": (),
    }
    for one in waits[:1]:
        hears = CRISIS_HEARS if one.kind == CRISIS else LIMITS[one.kind].hears
        changes |= {"entered": one.entered, "kind": one.kind, "due": one.due}
        changes |= {"source": one.source, "hears": hears}
    return row.model_copy(update=changes)
