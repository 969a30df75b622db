"""A family is asked and reminded; a school sees who waits; and may this go there now?"""

from typing import Annotated

from pydantic import ConfigDict, Field

from libs.common.errors import Malformed, Missing
from libs.common.messages import Actor, Message, Role
from libs.common.ports import Query
from libs.common.web.http import Asked, Order, Question, Routes
from services.consent.api.doors import (
    AGENCY,
    FAMILY,
    SCHOOL_STAFF,
    Doors,
    check_parties,
    check_school,
    check_yours,
    is_district,
    is_yours,
    order,
)
from services.consent.decider.commands import Remind, RequestConsent, WithdrawRequest
from services.consent.events import DISTRICT, Purpose, RecordClass, Token
from services.consent.views.access import Deny, access, access_key, clauses, may
from services.consent.views.family import Waiting, requests
from services.consent.views.identity import of_age
from services.consent.views.students import Pupil, students

PAGE_REQUESTS = 50
STAFF = SCHOOL_STAFF | {Role.COORDINATOR}
SENTENCES = {
    "unknown-student": "There is no such student.",
    "student-left": "The student has left the district.",
    "no-grant": "The family has not allowed anything to this recipient.",
    "not-yet": "The permission begins later.",
    "revoked": "The family has taken the permission back.",
    "expired": "The permission is over.",
    "rights-passed": "The student is of age and has not allowed this.",
    "class-not-covered": "The family has not allowed this kind of record.",
    "purpose-not-covered": "The family has not allowed this purpose.",
}

routes = Routes[Doors]("consent")


@routes.command(
    "POST",
    "/v1/students/{student}/requests",
    RequestConsent,
    roles={*STAFF, Role.INTAKE},
    status=201,
)
async def request_consent(asked: Asked[RequestConsent], doors: Doors) -> Order:
    """Asks everybody who may decide for this student."""
    student, terms = asked.path["student"], asked.body.terms
    if asked.actor.role == Role.INTAKE:
        await _check_own_family(doors, asked.actor, student)
        if asked.actor.org not in {terms.holder, terms.recipient}:
            raise Malformed("not-your-own", "#/terms", status=422)
    else:
        await check_yours(doors, asked.actor, student)
    check_parties(doors, terms)
    return order(doors, asked, student)


async def _check_own_family(doors: Doors, actor: Actor, student: str) -> None:
    """An agency knows the families that have allowed it something, and no other."""
    if await doors.views.get(access, access_key(student, actor.org)) is None:
        raise Missing


@routes.command("POST", "/v1/students/{student}/withdrawals", WithdrawRequest, roles=STAFF)
async def withdraw_request(asked: Asked[WithdrawRequest], doors: Doors) -> Order:
    """The family need not answer any more."""
    if asked.body.grant is None:
        raise Malformed("missing", "#/grant", status=422)
    await check_yours(doors, asked.actor, asked.path["student"])
    return order(doors, asked, asked.path["student"])


@routes.command("POST", "/v1/students/{student}/reminders", Remind, roles=STAFF)
async def remind(asked: Asked[Remind], doors: Doors) -> Order:
    """Reminds the family by hand, once a day."""
    await check_yours(doors, asked.actor, asked.path["student"])
    return order(doors, asked, asked.path["student"])


class RequestsPage(Message):
    items: tuple[Waiting, ...]
    next: str | None = None


class PageParams(Message):
    cursor: str | None = None


@routes.query(
    "GET",
    "/v1/schools/{school}/consent-requests",
    RequestsPage,
    roles=STAFF,
    params=PageParams,
    reads=(requests,),
)
async def school_requests(question: Question[PageParams], doors: Doors) -> RequestsPage:
    """Which families have not settled what they were asked, longest wait first."""
    school = question.path["school"]
    check_school(doors, question.actor, school)
    query = Query(where={"school": school}, order=("since",), limit=PAGE_REQUESTS)
    page = await doors.views.find(requests, query, question.params.cursor)
    return RequestsPage(items=page.items, next=page.next)


class MayQuestion(Message):
    """May `recipient` see this class of record of this student, for this purpose, now?"""

    model_config = ConfigDict(validate_by_name=True)

    student: Token
    recipient: Token
    record_class: Annotated[RecordClass, Field(alias="class")]
    purpose: Purpose
    holder: Token = DISTRICT


class MayAnswer(Message):
    """A yes names the permission, its version and the commit that made it; a no says why."""

    allow: bool
    grant: str | None = None
    version: int | None = None
    position: str | None = None
    code: str | None = None
    sentence: str | None = None


@routes.query(
    "POST",
    "/v1/may",
    MayAnswer,
    roles={*STAFF, *FAMILY, *AGENCY, Role.REGISTRAR},
    body=MayQuestion,
    reads=(students, access),
)
async def may_see(question: Question[MayQuestion], doors: Doors) -> MayAnswer:
    """Advice of this moment. Holder and family hear why not; to others a no is nothing at all."""
    asked = question.params
    pupil = await doors.views.get(students, asked.student)
    hears_why = _hears_why(question.actor, asked, pupil, doors)
    asks_for_itself = question.actor.role in AGENCY and question.actor.org == asked.recipient
    if not hears_why and not asks_for_itself:
        raise Missing
    allowed = await doors.views.get(access, access_key(asked.student, asked.recipient))
    today = doors.directory.calendar.local(question.now)
    answer = may(
        pupil,
        clauses(allowed),
        asked.record_class,
        asked.purpose,
        today,
        holder=asked.holder,
        of_age=of_age(doors.identity.get(asked.student), today),
    )
    if not isinstance(answer, Deny):
        return MayAnswer(allow=True, **answer._asdict())
    if not hears_why:
        raise Missing
    return MayAnswer(allow=False, code=answer.code, sentence=SENTENCES[answer.code])


def _hears_why(actor: Actor, asked: MayQuestion, pupil: Pupil | None, doors: Doors) -> bool:
    if actor.role in AGENCY:
        return actor.org == asked.holder
    if pupil is None:
        return actor.role not in FAMILY and is_district(doors, actor)
    return is_yours(doors, actor, pupil)
