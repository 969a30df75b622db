"""What is due, and that rules and views keep the same stays."""

from datetime import date, timedelta
from random import Random
from typing import Any

import pytest

from libs.common.errors import Refused
from libs.common.shapes import Projection
from libs.common.testing import folded, recorded
from services.referrals.decider import commands as c
from services.referrals.decider import referrals
from services.referrals.views.clocks import NEVER, Row, clocks
from tests.referrals.histories import (
    COMMANDS,
    FINISHED,
    MONDAY,
    PATHS,
    POLICY,
    PSYCHOLOGIST,
    RAISED,
    SENT,
    TRIAGED,
    Asked,
    reached,
)
from tests.referrals.logs import (
    DIRECTORY,
    Log,
    one,
    told,
)


def test_limits_are_counted_in_school_days() -> None:
    row = one(clocks(DIRECTORY), told(*RAISED))
    assert (row.kind, row.entered, row.source) == ("awaits-triage", 1, "default")
    assert row.due == DIRECTORY.calendar.due(MONDAY, 2)
    assert DIRECTORY.calendar.local(row.due) == date(2025, 9, 19), "Wednesday is no school day"


def test_an_agreed_limit_comes_before_the_default() -> None:
    row = one(clocks(DIRECTORY), told(*SENT))
    assert (row.kind, row.source) == ("awaits-answer", "terms")
    assert row.due == DIRECTORY.calendar.due(MONDAY, 1)


def test_a_crisis_runs_fifteen_minutes_beside_the_other_clock() -> None:
    called = one(clocks(DIRECTORY), told(*RAISED, COMMANDS["CallCrisis"]))
    assert (called.kind, called.entered) == ("crisis", 2)
    assert called.due == MONDAY + timedelta(minutes=15)
    attended = told(*RAISED, COMMANDS["CallCrisis"], COMMANDS["AttendCrisis"])
    assert one(clocks(DIRECTORY), attended).kind == "awaits-triage"


def test_nothing_is_due_of_what_is_over() -> None:
    assert one(clocks(DIRECTORY), told(*PATHS["Closed"])).due == NEVER


def test_what_was_left_too_late_is_due_until_it_is_noted() -> None:
    late, state, row = (
        MONDAY + timedelta(days=30),
        reached(*RAISED),
        one(clocks(DIRECTORY), told(*RAISED)),
    )
    events = referrals.decide(state, TRIAGED[-1].stamped(late))
    entries = [recorded(events[0], "referral/ref_1", 2, 2, late, "referrals", PSYCHOLOGIST)]
    overdue = one(clocks(DIRECTORY), [*told(*RAISED), *entries])
    assert (overdue.kind, overdue.entered, overdue.due) == ("awaits-triage", 1, row.due)
    breach = c.NoteBreach(kind=overdue.kind, entered=overdue.entered, due=overdue.due)
    noted = referrals.decide(referrals.fold(events, state), Asked(breach, POLICY).stamped(late))
    entries.append(recorded(noted[0], "referral/ref_1", 3, 3, late, "referrals", POLICY))
    after = one(clocks(DIRECTORY), [*told(*RAISED), *entries])
    assert (after.kind, after.entered) == ("awaits-route", 2)


@pytest.mark.parametrize("seed", range(40))
def test_every_limit_that_is_shown_as_due_is_noted_by_the_rules(seed: int) -> None:
    """Views and rules keep the same stays: else a row would stand in the way for ever."""
    log: Log = []
    chance, state, now = Random(seed), referrals.initial, MONDAY
    projection = clocks(DIRECTORY)
    for asked in [RAISED[0], *chance.choices([*TRIAGED, *FINISHED, *COMMANDS.values()], k=40)]:
        now += timedelta(days=chance.randint(0, 12))
        for ask in (asked, *due_at(projection, log, now)):
            state = applied(state, ask, now, log)
        assert due_at(projection, log, now) == []


def due_at(projection: Projection[Any], log: Log, now: Any) -> list[Asked]:
    rows = [row for row in folded(projection, log).values() if row.due <= now]
    return [
        Asked(
            c.NoteBreach(kind=row.kind, entered=row.entered, due=row.due, source=row.source), POLICY
        )
        for row in rows
        if isinstance(row, Row)
    ]


def applied(state: Any, asked: Asked, now: Any, log: Log) -> Any:
    """The state after this, refused or not; and as long as breaches are due, they are noted."""
    try:
        events = referrals.decide(state, asked.stamped(now))
    except Refused:
        return state
    for event in events:
        number = len(log) + 1
        log.append(recorded(event, "referral/ref_1", number, number, now, "referrals", asked.by))
    after = referrals.fold(events, state)
    for breach in due_at(clocks(DIRECTORY), log, now) if events else ():
        after = applied(after, breach, now, log)
    return after
