"""Reads a roster file, says how it would be received, and stores nothing."""

import asyncio
from collections.abc import Collection, Iterator
from datetime import date
from time import monotonic
from typing import Any

from libs.common.directory import Directory
from libs.common.errors import Behind
from libs.common.messages import Position
from libs.common.ports import PAGE_MAX, SHARDS, Query
from libs.common.service import Running
from libs.common.shapes import Projection
from services.consent.events import Source
from services.consent.imports.asking import Job, Wish
from services.consent.imports.delta import Delta, asked_about, delta_plan
from services.consent.imports.families import Known, Standing
from services.consent.imports.plan import Plan, planned, school_sources
from services.consent.imports.progress import Progress
from services.consent.roster.changes import Changes
from services.consent.roster.guard import Enrolled
from services.consent.roster.students import read
from services.consent.views.students import Pupil, children, students

VIEW_SECONDS_MAX = 10.0
"""The guard waits this long for the view of who is enrolled to reach the log's heads."""
VIEW_PAUSE_SECONDS = 0.05

ACCEPTED = "accepted"
UNREADABLE, BAD_ROWS, TOO_MANY = "unreadable-roster", "bad-rows", "too-many-removed"


async def judged(
    running: Running, directory: Directory, data: bytes, wish: Wish, progress: Progress
) -> Job:
    """Fills in the progress. Reads in a thread of its own: a district's file takes seconds."""
    calendar = directory.calendar

    def plan_of(today: date) -> Plan:
        roster = read(data, school_sources(directory), today)
        return planned(roster, running.refs.of, calendar.timezone)

    plan: Plan | Delta
    plan = await asyncio.to_thread(plan_of, calendar.local(running.clock.now()))
    views = (students,) if plan.roster.changes is None else (students, children)
    known = {} if plan.roster.fatal() else await enrolled(running, views)
    if plan.roster.changes is not None:
        of_whom = await _of_whom(running, plan.roster.changes)
        asked = (plan.roster, of_whom, running.refs.of, calendar.timezone)
        plan = await asyncio.to_thread(delta_plan, *asked)
    removals = await asyncio.to_thread(plan.removals, known)
    progress.roster, progress.removals = plan.roster, removals
    progress.students = len(plan.roster.taken) + len(removals.gone)
    if plan.roster.fatal():
        progress.would_be = UNREADABLE
    elif plan.roster.errors() and not wish.skip_bad_rows:
        progress.would_be = BAD_ROWS
    elif removals.too_many(wish.allow_removals):
        progress.would_be = TOO_MANY
    else:
        progress.would_be = ACCEPTED
    return Job(wish, plan, known, progress)


async def enrolled(
    running: Running, views: Collection[Projection[Any]] = (students,)
) -> dict[str, Enrolled]:
    """Everybody enrolled now, once these views have seen the whole log. Raises Behind."""
    ends = [await running.store.head(shard) for shard in range(SHARDS)]
    targets = [end.position for end in ends if end is not None]
    if not targets:
        return {}
    until = monotonic() + VIEW_SECONDS_MAX
    while not all([await _seen(running, targets, view) for view in views]):
        if monotonic() > until:
            raise Behind("the view of students is behind")
        await asyncio.sleep(VIEW_PAUSE_SECONDS)
    found: dict[str, Enrolled] = {}
    query = Query(where={"situation": "enrolled"}, order=("student",), limit=PAGE_MAX)
    page = await running.views.find(students, query)
    while True:
        found |= {pupil.student: _known(pupil) for pupil in page.items}
        if page.next is None:
            return found
        page = await running.views.find(students, query, page.next)


async def _seen(running: Running, targets: Collection[Position], view: Projection[Any]) -> bool:
    try:
        return await running.views.reached(view, targets)
    except Behind:  # it is being built for the first time
        return False


async def _of_whom(running: Running, changes: Changes) -> Known:
    """Who they are whom a delta may be about, left students among them."""
    refs, adults = await asyncio.to_thread(asked_about, changes, running.refs.of)
    families: dict[str, tuple[str, ...]] = {}
    for some in _pages(adults):
        found = await running.views.many(children, some)
        families |= {ref: known.students for ref, known in found.items()}
    refs += [student for known in families.values() for student in known]
    pupils: dict[str, Standing] = {}
    for some in _pages(list(dict.fromkeys(refs))):
        found_here = await running.views.many(students, some)
        pupils |= {ref: _pupil(pupil) for ref, pupil in found_here.items()}
    return Known(pupils, families)


def _pages(refs: list[str]) -> Iterator[list[str]]:
    return (refs[start : start + PAGE_MAX] for start in range(0, len(refs), PAGE_MAX))


def _pupil(pupil: Pupil) -> Standing:
    everybody = frozenset(kin.guardian for kin in pupil.guardians)
    by_hand = frozenset(kin.guardian for kin in pupil.guardians if kin.source is Source.HAND)
    return Standing(pupil.school, pupil.situation == "enrolled", everybody, by_hand)


def _known(pupil: Pupil) -> Enrolled:
    by_roster = (kin.guardian for kin in pupil.guardians if kin.source is Source.ROSTER)
    return Enrolled(pupil.school, frozenset(by_roster))
