"""The family's word: asked for, given, narrowed, taken back; what stands, and what was said."""

from libs.common.errors import Missing
from libs.common.messages import Identity, Message, Role
from libs.common.ports import Query
from libs.common.web.http import Asked, Order, Question, Routes
from services.consent.api.doors import (
    FAMILY,
    SCHOOL_STAFF,
    Doors,
    check_parties,
    check_yours,
    is_yours,
    order,
    works_for,
)
from services.consent.decider.commands import Decline, Grant, Narrow, Revoke
from services.consent.decider.states import own_name
from services.consent.events import Authority, Names
from services.consent.views.family import Story, family
from services.consent.views.identity import of_age
from services.consent.views.students import Kin, Pupil, children, students

SIGNING = FAMILY | SCHOOL_STAFF | {Role.REGISTRAR}
"""The family signs; staff record what was signed on paper, by phone or in person."""
PAGE_STORIES = 50

routes = Routes[Doors]("consent")


@routes.command("POST", "/v1/students/{student}/grants", Grant, roles=SIGNING)
async def grant(asked: Asked[Grant], doors: Doors) -> Order:
    """A yes, to what was asked or to less; or before anybody asked."""
    await check_yours(doors, asked.actor, asked.path["student"])
    check_parties(doors, asked.body.terms)
    return order(doors, asked, asked.path["student"])


@routes.command("POST", "/v1/students/{student}/declines", Decline, roles=SIGNING)
async def decline(asked: Asked[Decline], doors: Doors) -> Order:
    """A no to a request."""
    await check_yours(doors, asked.actor, asked.path["student"])
    return order(doors, asked, asked.path["student"])


@routes.command("POST", "/v1/students/{student}/revocations", Revoke, roles=SIGNING)
async def revoke(asked: Asked[Revoke], doors: Doors) -> Order:
    """Takes back one permission, or every one when none is named."""
    await check_yours(doors, asked.actor, asked.path["student"])
    return order(doors, asked, asked.path["student"])


@routes.command("POST", "/v1/students/{student}/narrowings", Narrow, roles=FAMILY)
async def narrow(asked: Asked[Narrow], doors: Doors) -> Order:
    """Less than was allowed: fewer classes, fewer purposes, a shorter time."""
    await check_yours(doors, asked.actor, asked.path["student"])
    check_parties(doors, asked.body.terms)
    return order(doors, asked, asked.path["student"])


class FamilyPage(Message):
    """A student as the family sees it: who decides, what was asked, allowed, ended."""

    student: str
    school: str
    situation: str
    names: Identity[Names | None] = None
    grade: Identity[str | None] = None
    passed: bool
    guardians: tuple[Kin, ...]
    requests: tuple[Story, ...]
    next: str | None = None


class PageParams(Message):
    cursor: str | None = None


@routes.query(
    "GET",
    "/v1/students/{student}/family",
    FamilyPage,
    roles={*FAMILY, *SCHOOL_STAFF, Role.REGISTRAR},
    params=PageParams,
    reads=(students, family),
    opens=True,
)
async def family_view(question: Question[PageParams], doors: Doors) -> FamilyPage:
    """What was asked of the family, allowed, and ended, and by whom."""
    student = question.path["student"]
    pupil = await doors.views.get(students, student)
    if pupil is None or pupil.situation == "erasing" or not _may_read(question, doors, pupil):
        raise Missing
    query = Query(where={"student": student}, order=("grant",), limit=PAGE_STORIES)
    page = await doors.views.find(family, query, question.params.cursor)
    return FamilyPage(
        student=student,
        school=pupil.school,
        situation=pupil.situation,
        names=pupil.names,
        grade=pupil.grade,
        passed=pupil.passed,
        guardians=pupil.guardians,
        requests=page.items,
        next=page.next,
    )


def _may_read(question: Question[PageParams], doors: Doors, pupil: Pupil) -> bool:
    """Staff of the school; the student; a guardian while entitled, which ends at 18."""
    actor = question.actor
    if works_for(doors, actor, pupil.school) or actor.sub == own_name(pupil.student):
        return True
    today = doors.directory.calendar.local(question.now)
    if pupil.passed or of_age(doors.identity.get(pupil.student), today):
        return False
    return actor.role == Role.GUARDIAN and any(
        kin.guardian == actor.sub
        and kin.authority is Authority.FULL
        and (kin.starts is None or kin.starts <= today)
        and (kin.until is None or today <= kin.until)
        for kin in pupil.guardians
    )


class Child(Message):
    student: str
    school: str
    names: Identity[Names | None] = None
    grade: Identity[str | None] = None


class ChildrenPage(Message):
    items: tuple[Child, ...]


@routes.query(
    "GET",
    "/v1/children",
    ChildrenPage,
    roles=FAMILY,
    reads=(students, children),
    opens=True,
)
async def own_children(question: Question[Message], doors: Doors) -> ChildrenPage:
    """The students that a guardian is on record for; a student finds the own record."""
    actor = question.actor
    if actor.role == Role.STUDENT:
        refs: tuple[str, ...] = ("stu_" + actor.sub.removeprefix("usr_"),)
    else:
        known = await doors.views.get(children, actor.sub)
        refs = known.students if known else ()
    found = await doors.views.many(students, refs)
    pupils = (found[ref] for ref in refs if ref in found)
    items = (
        Child(student=p.student, school=p.school, names=p.names, grade=p.grade)
        for p in pupils
        if p.situation != "erasing" and is_yours(doors, actor, p)
    )
    return ChildrenPage(items=tuple(items))
