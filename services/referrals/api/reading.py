"""What people see: inbox, queue, waits, clocks, own concerns, a referral's story, a need's."""

from datetime import datetime
from typing import Any

from libs.common.errors import Missing
from libs.common.messages import Actor, Role
from libs.common.ports import PAGE_MAX, Query
from libs.common.web.http import Question, Routes
from services.referrals.api.doors import (
    AGENCY,
    FAMILY,
    STAFF,
    Doors,
    at_school,
    is_family,
    the_student,
)
from services.referrals.api.replies import (
    ClockItem,
    ClockPage,
    InboxItem,
    InboxPage,
    Listing,
    NeedReply,
    OfStudent,
    Paging,
    PartReply,
    QueuePage,
    WaitItem,
    Waits,
)
from services.referrals.events import SCHOOL
from services.referrals.views.clocks import Row
from services.referrals.views.places import ON_WAITLIST
from services.referrals.views.queues import InboxRow, inbox, queue
from services.referrals.views.stories import Need, needs
from services.referrals.views.students import Student
from services.referrals.views.waits import Wait, turns_in_order, waits

routes = Routes[Doors]("referrals")
SECONDS_A_DAY = 86_400


@routes.query(
    "GET",
    "/v1/agencies/{agency}/inbox",
    InboxPage,
    roles={*AGENCY, Role.COORDINATOR},
    params=Listing,
    reads=(inbox, waits),
)
async def agency_inbox(question: Question[Listing], doors: Doors) -> InboxPage:
    """Who waits for this agency; no name, no words."""
    agency, asked = question.path["agency"], question.params
    _agency_or_missing(question.actor, agency, doors)
    query = _listing({"agency": agency}, asked, question.actor, ("rank", "sent_at"))
    found = await doors.views.find(inbox, query, asked.cursor)
    listed = {row.service for row in found.items if row.situation == ON_WAITLIST}
    places: dict[str, int] = {}
    for service in sorted(listed):
        where = {"agency": agency, "service": service}
        lists = await doors.views.find(waits, Query(where=where, limit=PAGE_MAX))
        places |= {ref: number for number, ref in enumerate(turns_in_order(lists.items), 1)}
    items = tuple(_inbox_item(row, places.get(row.referral), question.now) for row in found.items)
    return InboxPage(items=items, next=found.next)


@routes.query(
    "GET",
    "/v1/schools/{school}/queue",
    QueuePage,
    roles={*STAFF, Role.COORDINATOR},
    params=Listing,
    reads=(queue,),
)
async def school_queue(question: Question[Listing], doors: Doors) -> QueuePage:
    """This school's open referrals, or all in one situation."""
    asked, school = question.params, _school_or_missing(question, doors)
    order = ("since",) if asked.mine else ("rank", "since")
    where: dict[str, str | bool] = {"school": school}
    if asked.situation is None and not asked.mine:
        where["open"] = True
    found = await doors.views.find(
        queue, _listing(where, asked, question.actor, order), asked.cursor
    )
    return QueuePage(items=found.items, next=found.next)


@routes.query(
    "GET",
    "/v1/schools/{school}/waits",
    Waits,
    roles={*STAFF, Role.COORDINATOR},
    params=Paging,
    reads=(waits,),
)
async def school_waits(question: Question[Paging], doors: Doors) -> Waits:
    """How long this school's students wait, for whom and for what."""
    asked, school = question.params, _school_or_missing(question, doors)
    query = Query(where={"school": school}, limit=asked.limit)
    found = await doors.views.find(waits, query, asked.cursor)
    items = tuple(_wait_item(wait, question.now) for wait in found.items)
    return Waits(items=items, next=found.next)


@routes.query(
    "GET",
    "/v1/schools/{school}/clocks",
    ClockPage,
    roles={*STAFF, Role.COORDINATOR},
    params=Paging,
)
async def school_clocks(question: Question[Paging], doors: Doors) -> ClockPage:
    """Which limit passes next for each referral of this school, and who hears of it."""
    asked, school = question.params, _school_or_missing(question, doors)
    query = Query(where={"school": school}, order=("due",), limit=asked.limit)
    found = await doors.views.find(doors.clocks, query, asked.cursor)
    rows = [row for row in found.items if isinstance(row, Row) and row.hears]
    items = tuple(
        ClockItem(**{name: getattr(row, name) for name in ClockItem.model_fields}) for row in rows
    )
    return ClockPage(items=items, next=found.next)


@routes.query(
    "GET",
    "/v1/concerns",
    QueuePage,
    roles={Role.TEACHER, *STAFF, *FAMILY},
    params=Paging,
    reads=(queue,),
)
async def own_concerns(question: Question[Paging], doors: Doors) -> QueuePage:
    """What became of the concerns that the asker raised."""
    asked = question.params
    query = Query({"raiser": question.actor.sub}, ("raised_at",), limit=asked.limit)
    found = await doors.views.find(queue, query, asked.cursor)
    return QueuePage(items=found.items, next=found.next)


@routes.query(
    "GET",
    "/v1/referrals",
    QueuePage,
    roles={*STAFF, *FAMILY},
    params=OfStudent,
    reads=(queue,),
)
async def of_student(question: Question[OfStudent], doors: Doors) -> QueuePage:
    """All referrals for one student."""
    asked = question.params
    student = await the_student(doors, asked.student)
    if not _may_see_student(question.actor, student, question.now, doors):
        raise Missing
    query = Query({"student": asked.student}, ("raised_at",), limit=asked.limit)
    found = await doors.views.find(queue, query, asked.cursor)
    return QueuePage(items=found.items, next=found.next)


@routes.query(
    "GET",
    "/v1/needs/{need}",
    NeedReply,
    roles={*STAFF, *FAMILY, Role.COORDINATOR},
    reads=(needs,),
)
async def need_story(question: Question[Any], doors: Doors) -> NeedReply:
    """Everything that was tried for one trouble, and how many receivers until help began."""
    need = await doors.views.get(needs, question.path["need"])
    if need is None:
        raise Missing
    student = await the_student(doors, need.student)
    if not _may_see_student(question.actor, student, question.now, doors):
        raise Missing
    if question.actor.role not in FAMILY:
        need = _of_the_school(need)
    parts = tuple(
        PartReply(**{name: getattr(part, name) for name in PartReply.model_fields})
        for part in need.parts.values()
    )
    return NeedReply(
        need=need.need,
        student=need.student,
        attempts_until_served=need.attempts_until_served(),
        parts=parts,
    )


def _of_the_school(need: Need) -> Need:
    """What an agency refers onward is not the school's to see."""
    ours = {ref: part for ref, part in need.parts.items() if part.sender == SCHOOL}
    return need.model_copy(update={"parts": ours})


def _may_see_student(actor: Actor, student: Student, now: datetime, doors: Doors) -> bool:
    if actor.role in FAMILY:
        return is_family(actor, student, doors.today(now))
    return at_school(actor, student.school, doors)


def _agency_or_missing(actor: Actor, agency: str, doors: Doors) -> None:
    ours = actor.org == (doors.directory.district if actor.role == Role.COORDINATOR else agency)
    if not ours or agency not in doors.directory.agency_by_ref:
        raise Missing


def _school_or_missing(question: Question[Any], doors: Doors) -> str:
    school = question.path["school"]
    if school not in doors.directory.school_by_ref:
        raise Missing
    if not at_school(question.actor, school, doors):
        raise Missing
    return school


def _listing(where: dict[str, Any], asked: Listing, actor: Actor, order: tuple[str, ...]) -> Query:
    if asked.mine:
        where["helper"] = actor.sub
    elif asked.situation is not None:
        where["situation"] = asked.situation
    return Query(where, order, limit=asked.limit)


def _days(since: datetime, now: datetime) -> int:
    return int((now - since).total_seconds()) // SECONDS_A_DAY


def _inbox_item(row: InboxRow, position: int | None, now: datetime) -> InboxItem:
    waited = _days(row.sent_at, now)
    return InboxItem(**row.model_dump(), position=position, waited_days=waited)


def _wait_item(wait: Wait, now: datetime) -> WaitItem:
    since = [turn.since for turn in wait.turns.values()]
    return WaitItem(
        school=wait.school,
        agency=wait.agency,
        service=wait.service,
        waiting=len(since),
        listed=sum(turn.listed for turn in wait.turns.values()),
        oldest_days=_days(min(since), now) if since else None,
        served=wait.served,
        mean_days=wait.waited_seconds // wait.served // SECONDS_A_DAY if wait.served else None,
        declined=wait.declined,
    )
