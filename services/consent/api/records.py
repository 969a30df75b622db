"""The registrar keeps the record: students, guardians, leaving, erasure; and finds a student."""

from itertools import islice
from typing import Annotated, Literal

from pydantic import Field

from libs.common.errors import Malformed
from libs.common.messages import Identity, Message, Role
from libs.common.ports import Query
from libs.common.web.http import Asked, Nothing, Order, Question, Routes
from services.consent.api.doors import (
    SCHOOL_STAFF,
    Doors,
    check_school,
    check_yours,
    is_district,
    order,
    plain,
)
from services.consent.decider.commands import (
    AddGuardian,
    ChangeGuardian,
    EndGuardian,
    Enroll,
    OrderErasure,
    RecordLeaving,
)
from services.consent.events import Names, Token
from services.consent.views.identity import named
from services.consent.views.students import students

FOUND_MAX = 50
LOOKED_UP_MAX = 500
RosterId = Annotated[str, Field(min_length=1, max_length=256)]
PAGE_STUDENTS = 50
SearchText = Annotated[str, Field(min_length=2, max_length=100)]

routes = Routes[Doors]("consent")


class StudentRef(Message):
    student: str


class GuardianRef(Message):
    guardian: str


@routes.command(
    "POST", "/v1/students", Enroll, roles={Role.REGISTRAR}, status=201, reply=StudentRef
)
async def enroll(asked: Asked[Enroll], doors: Doors) -> Order:
    """Puts a student on record. The same roster id is the same student."""
    if asked.body.school not in doors.directory.school_by_ref:
        raise Malformed("unknown-school", "#/school", status=422)
    check_school(doors, asked.actor, asked.body.school)
    student = doors.refs.of("stu_", plain(asked.body.roster_id))
    return order(doors, asked, student)._replace(result={"student": student})


@routes.command("POST", "/v1/students/{student}/leaving", RecordLeaving, roles={Role.REGISTRAR})
async def record_leaving(asked: Asked[RecordLeaving], doors: Doors) -> Order:
    """The student has left; everything that was asked or allowed ends."""
    await check_yours(doors, asked.actor, asked.path["student"])
    return order(doors, asked, asked.path["student"])


@routes.command(
    "POST",
    "/v1/students/{student}/guardians",
    AddGuardian,
    roles={Role.REGISTRAR},
    status=201,
    reply=GuardianRef,
)
async def add_guardian(asked: Asked[AddGuardian], doors: Doors) -> Order:
    """An adult of the student, with the authority that holds from and until when."""
    await check_yours(doors, asked.actor, asked.path["student"])
    guardian = doors.refs.of("usr_", plain(asked.body.subject))
    ordered = order(doors, asked, asked.path["student"], guardian=guardian)
    return ordered._replace(result={"guardian": guardian})


@routes.command(
    "POST",
    "/v1/students/{student}/guardians/{guardian}",
    ChangeGuardian,
    roles={Role.REGISTRAR},
)
async def change_guardian(asked: Asked[ChangeGuardian], doors: Doors) -> Order:
    """What is known of a guardian now, such as after a court order. No roster changes it back."""
    await check_yours(doors, asked.actor, asked.path["student"])
    return order(doors, asked, asked.path["student"], guardian=asked.path["guardian"])


@routes.command(
    "POST",
    "/v1/students/{student}/guardians/{guardian}/end",
    EndGuardian,
    roles={Role.REGISTRAR},
)
async def end_guardian(asked: Asked[EndGuardian], doors: Doors) -> Order:
    """No longer a guardian. What they allowed stays until somebody entitled ends it."""
    await check_yours(doors, asked.actor, asked.path["student"])
    return order(doors, asked, asked.path["student"], guardian=asked.path["guardian"])


class Approval(Message):
    approver: str
    approval: str


@routes.query(
    "POST",
    "/v1/students/{student}/erasure/approvals",
    Approval,
    roles={Role.REGISTRAR},
    body=Nothing,
)
async def approve_erasure(question: Question[Nothing], doors: Doors) -> Approval:
    """A code with which somebody else may order this erasure today."""
    student, approver = question.path["student"], question.actor.sub
    await check_yours(doors, question.actor, student)
    today = doors.directory.calendar.local(question.now).isoformat()
    return Approval(approver=approver, approval=_approval(doors, student, approver, today))


@routes.command("POST", "/v1/students/{student}/erasure", OrderErasure, roles={Role.REGISTRAR})
async def order_erasure(asked: Asked[OrderErasure], doors: Doors) -> Order:
    """Erases the record, with the approval of somebody else. It cannot be undone."""
    student = asked.path["student"]
    await check_yours(doors, asked.actor, student)
    today = doors.directory.calendar.local(asked.now).isoformat()
    wanted = _approval(doors, student, asked.body.approver, today)
    return order(doors, asked, student, approved=asked.body.approval == wanted)


def _approval(doors: Doors, student: str, approver: str, today: str) -> str:
    return doors.refs.of("apr_", f"erasure|{student}|{approver}|{today}")


class Listed(Message):
    student: str
    school: str
    situation: str
    names: Identity[Names | None] = None
    grade: Identity[str | None] = None


class ListedPage(Message):
    items: tuple[Listed, ...]
    next: str | None = None


class ListedParams(Message):
    situation: Literal["enrolled", "left"] = "enrolled"
    cursor: str | None = None


@routes.query(
    "GET",
    "/v1/schools/{school}/students",
    ListedPage,
    roles={Role.REGISTRAR, *SCHOOL_STAFF},
    params=ListedParams,
    reads=(students,),
    opens=True,
)
async def school_students(question: Question[ListedParams], doors: Doors) -> ListedPage:
    """The students of a school, page by page."""
    school = question.path["school"]
    check_school(doors, question.actor, school)
    where = {"school": school, "situation": question.params.situation}
    query = Query(where=where, order=("student",), limit=PAGE_STUDENTS)
    page = await doors.views.find(students, query, question.params.cursor)
    items = tuple(
        Listed(
            student=pupil.student,
            school=pupil.school,
            situation=pupil.situation,
            names=pupil.names,
            grade=pupil.grade,
        )
        for pupil in page.items
    )
    return ListedPage(items=items, next=page.next)


class Lookup(Message):
    """Students' ids in the roster."""

    roster_ids: Annotated[tuple[RosterId, ...], Field(min_length=1, max_length=LOOKED_UP_MAX)]


class LookedUp(Message):
    """Their references, in the same order; null for who is not on the roster."""

    students: tuple[str | None, ...]


@routes.query(
    "POST", "/v1/students/lookup", LookedUp, roles={Role.REGISTRAR}, body=Lookup, reads=(students,)
)
async def look_up(question: Question[Lookup], doors: Doors) -> LookedUp:
    """Which reference is which student of the roster, for a system that knows the roster's ids."""
    refs = [doors.refs.of("stu_", roster_id) for roster_id in question.params.roster_ids]
    known = await doors.views.many(students, refs)
    district, org = is_district(doors, question.actor), question.actor.org
    yours = {ref for ref, pupil in known.items() if district or pupil.school == org}
    return LookedUp(students=tuple(ref if ref in yours else None for ref in refs))


class Search(Message):
    """The beginning of any of the student's names; several words narrow it down."""

    names: SearchText
    school: Token | None = None


class Match(Message):
    student: str
    school: str
    names: Names
    grade: str | None = None


class Matches(Message):
    """`more`: there are others, so type more of the name."""

    items: tuple[Match, ...]
    more: bool


@routes.query(
    "POST",
    "/v1/students/search",
    Matches,
    roles={Role.REGISTRAR, *SCHOOL_STAFF},
    body=Search,
    reads=(lambda doors: doors.identity,),
)
async def search_students(question: Question[Search], doors: Doors) -> Matches:
    """Students by name, of the caller's own school or, for the district, of any."""
    schools = None if is_district(doors, question.actor) else frozenset({question.actor.org})
    if question.params.school is not None:
        check_school(doors, question.actor, question.params.school)
        schools = frozenset({question.params.school})
    people = named(doors.identity.values(), question.params.names, schools)
    found = tuple(
        Match(
            student=person.student,
            school=person.school,
            names=person.names,
            grade=person.grade if isinstance(person.grade, str) else None,
        )
        for person in islice(people, FOUND_MAX + 1)
        if isinstance(person.names, Names)
    )
    return Matches(items=found[:FOUND_MAX], more=len(found) > FOUND_MAX)
