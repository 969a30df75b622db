"""The sender's side and the family: raise, decide, choose, send, end."""

from collections.abc import Collection
from datetime import datetime
from typing import TypeVar

from libs.common.errors import Missing
from libs.common.messages import Command, Dep, Role
from libs.common.web.http import Asked, Order, Routes
from services.consent.events import Purpose, RecordClass
from services.referrals.api.doors import (
    FAMILY,
    STAFF,
    Doors,
    at_school,
    cover_for,
    holder_of,
    is_family,
    is_self,
    is_serving,
    situation_of,
    stream_of,
    student_stream,
    the_student,
    touched,
)
from services.referrals.decider.commands import (
    Acknowledge,
    AddConcern,
    AttendCrisis,
    ChangeTier,
    Close,
    Cover,
    Raise,
    RecordMeeting,
    Reopen,
    Route,
    Send,
    SettleCrisis,
    TakeOn,
    Triage,
    Withdraw,
)
from services.referrals.decider.states import Referral, Unraised
from services.referrals.events import SCHOOL
from services.referrals.views.stories import needs
from services.referrals.views.students import Student, open_referrals, students

C = TypeVar("C", bound=Command)
routes = Routes[Doors]("referrals")

TO_REFER = ((RecordClass.REFERRAL, Purpose.REFERRAL),)
SENDERS = frozenset({*STAFF, Role.COORDINATOR, Role.CLINICIAN})
"""A clinician sends onward referrals only."""
DUPLICATES_MAX = 16
"""Of so many other open referrals, where each was read is put on record."""


@routes.command(
    "POST",
    "/v1/referrals",
    Raise,
    roles={Role.TEACHER, *STAFF, *FAMILY, Role.CLINICIAN},
    status=201,
)
async def raise_concern(asked: Asked[Raise], doors: Doors) -> Order:
    """A concern begins a referral; urgency `crisis` waits for nothing and calls help at once."""
    body, referral = asked.body, asked.ref("ref_")
    student = await the_student(doors, body.student)
    await _may_raise(asked, student, doors)
    need = await _need(body, doors) or asked.ref("need_")
    known = await doors.views.get(open_referrals, body.student)
    others = tuple(ref for ref in (known.referrals if known else {}) if ref != referral)
    deps = await doors.views.seen(students, "consent", student_stream(body.student))
    for other in others[:DUPLICATES_MAX]:
        deps += await doors.views.seen(open_referrals, "referrals", stream_of(other))
    facts = {
        "referral": referral,
        "new_need": need,
        "school": student.school,
        "standing": student.standing,
        "duplicates": others,
    }
    command = body.model_copy(update=facts)
    return Order(stream_of(referral), command, deps, {"referral": referral, "need": need})


async def _may_raise(asked: Asked[Raise], student: Student, doors: Doors) -> None:
    """Staff for the students of their school, families for their own, a clinician for whom they
    help already (the parent referral says so)."""
    actor, parent = asked.actor, asked.body.parent
    if actor.role == Role.CLINICIAN:
        if parent is None or not is_serving(actor, await situation_of(doors, parent)):
            raise Missing
    elif actor.role == Role.STUDENT:
        if not is_self(actor, student.student):
            raise Missing
    elif actor.role == Role.GUARDIAN:
        if not is_family(actor, student, doors.today(asked.now)):
            raise Missing
    elif not at_school(actor, student.school, doors):
        raise Missing
    if parent is not None:
        state = await situation_of(doors, parent)
        if isinstance(state, Unraised) or state.referral.about.student != student.student:
            raise Missing


async def _need(body: Raise, doors: Doors) -> str | None:
    """The need it belongs to: the caller's word, else the parent's."""
    if body.need is not None:
        known = await doors.views.get(needs, body.need)
        if known is None or known.student != body.student:
            raise Missing
        return body.need
    if body.parent is None:
        return None
    state = await situation_of(doors, body.parent)
    return None if isinstance(state, Unraised) else state.referral.about.need


@routes.command("POST", "/v1/referrals/{referral}/meetings", RecordMeeting, roles=STAFF)
async def record_meeting(asked: Asked[RecordMeeting], doors: Doors) -> Order:
    """What was said with the family, and whether they agree."""
    referral = asked.path["referral"]
    await touched(doors, asked.actor, referral, asked.now)
    command = asked.body.model_copy(update={"today": doors.today(asked.now)})
    return Order(stream_of(referral), command)


@routes.command("POST", "/v1/referrals/{referral}/take-on", TakeOn, roles=STAFF)
async def take_on(asked: Asked[TakeOn], doors: Doors) -> Order:
    """Who asks this gives the help at school."""
    referral = asked.path["referral"]
    await touched(doors, asked.actor, referral, asked.now)
    command = asked.body.model_copy(update={"year_end": doors.year_end(asked.now)})
    return Order(stream_of(referral), command)


@routes.command("POST", "/v1/referrals/{referral}/route", Route, roles=SENDERS)
async def route(asked: Asked[Route], doors: Doors) -> Order:
    """Chooses who is asked: the school itself, or an agency whose agreement names the service."""
    referral = await touched(doors, asked.actor, asked.path["referral"], asked.now)
    about, body = referral.about, asked.body
    student = await the_student(doors, about.student)
    known = await doors.views.get(open_referrals, about.student)
    others = known.referrals.items() if known else ()
    cover, deps = await _cover(referral, body.receiver, asked.now, doors)
    deps += await doors.views.seen(students, "consent", student_stream(about.student))
    facts = {
        "agreed": _agreed(doors, about.school, body.receiver, body.service, asked.now),
        "standing": student.standing,
        "duplicates": tuple(
            ref for ref, service in others if service == body.service and ref != about.referral
        ),
        "cover": cover,
        "year_end": doors.year_end(asked.now),
    }
    return Order(stream_of(about.referral), body.model_copy(update=facts), deps)


@routes.command("POST", "/v1/referrals/{referral}/send", Send, roles=SENDERS)
async def send(asked: Asked[Send], doors: Doors) -> Order:
    """Tells the receiver that somebody needs their help; the body goes by the packet."""
    referral = await touched(doors, asked.actor, asked.path["referral"], asked.now)
    about = referral.about
    student = await the_student(doors, about.student)
    receiver, service = about.receiver or "", about.service or ""
    cover, deps = await _cover(referral, receiver, asked.now, doors)
    deps += await doors.views.seen(students, "consent", student_stream(about.student))
    facts = {
        "agreed": _agreed(doors, about.school, receiver, service, asked.now),
        "standing": student.standing,
        "cover": cover,
    }
    return Order(stream_of(about.referral), asked.body.model_copy(update=facts), deps)


async def _cover(
    referral: Referral, receiver: str, now: datetime, doors: Doors
) -> tuple[Cover | None, tuple[Dep, ...]]:
    if receiver == SCHOOL:
        return None, ()
    student, holder = referral.about.student, holder_of(referral, doors)
    return await cover_for(doors, student, receiver, holder, TO_REFER, doors.today(now))


def _agreed(doors: Doors, school: str, receiver: str, service: str, now: datetime) -> bool:
    """An agreement in force on this day lets this receiver offer this service at this school."""
    terms = doors.directory.terms_by_pair.get((school, receiver))
    if terms is None or service not in terms.services:
        return False
    return terms.until is None or doors.today(now) <= terms.until


def _plain(path: str, body: type[C], name: str, roles: Collection[Role], told: str) -> None:
    """A command that needs no fact from a view."""

    async def order(asked: Asked[C], doors: Doors) -> Order:
        referral = asked.path["referral"]
        await touched(doors, asked.actor, referral, asked.now)
        return Order(stream_of(referral), asked.body)

    order.__name__, order.__doc__ = name, told
    routes.command("POST", f"/v1/referrals/{{referral}}/{path}", body, roles=roles)(order)


_TEACHERS_TOO = {Role.TEACHER, *STAFF}
_FAMILY_TOO = {Role.COORDINATOR, *STAFF, *FAMILY}
_plain("concerns", AddConcern, "add_concern", {*_TEACHERS_TOO, *FAMILY}, "Adds what somebody saw.")
_plain(
    "triage",
    Triage,
    "triage",
    {Role.PSYCHOLOGIST, Role.CLINICIAN},
    "The first decision: tier, services, and whether it may leave the school.",
)
_plain("tier", ChangeTier, "change_tier", {Role.PSYCHOLOGIST}, "Another tier, with evidence.")
_plain(
    "acknowledge",
    Acknowledge,
    "acknowledge",
    {*_TEACHERS_TOO, Role.CLINICIAN},
    "The outcome was read, on the side that sent the referral.",
)
_plain("close", Close, "close", {Role.COORDINATOR, *STAFF}, "Ends without help, and says why.")
_plain("withdraw", Withdraw, "withdraw", _FAMILY_TOO, "Takes it back; nobody is asked any more.")
_plain("reopen", Reopen, "reopen", {Role.COORDINATOR, *STAFF}, "Begins anew, with a note.")
_plain("crisis/attended", AttendCrisis, "attend_crisis", STAFF, "Somebody is with the student.")
_plain("crisis/settled", SettleCrisis, "settle_crisis", STAFF, "What was done in a crisis.")
