"""What the routes of consent may use, and which students are whose."""

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from typing import Any, TypeVar

from libs.common.commit import shard_of
from libs.common.directory import Directory
from libs.common.errors import Malformed, Missing
from libs.common.handle import Answer, Ask, Handler
from libs.common.memory import InMemory
from libs.common.messages import Actor, Dep, Role
from libs.common.personal import Sealed
from libs.common.ports import Clock
from libs.common.sealing import Keyring, Refs
from libs.common.views import Views
from libs.common.web.http import Asked, Order
from services.consent.decider.commands import ConsentCommand, StudentCommand
from services.consent.decider.states import Enrolled, Left, Student, own_name
from services.consent.events import ConsentEvent, Rule, Terms
from services.consent.imports.taking import Imports
from services.consent.views.identity import Person, of_age
from services.consent.views.students import Pupil, students

LOG = "consent"
SCHOOL_STAFF = frozenset({Role.PSYCHOLOGIST, Role.COUNSELOR, Role.SOCIAL_WORKER})
FAMILY = frozenset({Role.GUARDIAN, Role.STUDENT})
AGENCY = frozenset({Role.INTAKE, Role.CLINICIAN})

C = TypeVar("C", bound=StudentCommand)


@dataclass(frozen=True)
class Doors:
    """`handler` decides about students; `identity` is the in-memory view of names, birthdays."""

    handle: Callable[[Ask[Any]], Awaitable[Answer]]
    handler: Handler[Student, ConsentCommand, ConsentEvent]
    clock: Clock
    keyring: Keyring
    refs: Refs
    views: Views
    directory: Directory
    identity: InMemory[Person]
    imports: Imports


def stream_of(student: str) -> str:
    return f"student/{student}"


def is_district(doors: Doors, actor: Actor) -> bool:
    return actor.org == doors.directory.district


def works_for(doors: Doors, actor: Actor, school: str) -> bool:
    """Staff of the student's school, or of the district."""
    return actor.role not in FAMILY | AGENCY and actor.org in {school, doors.directory.district}


def is_family(actor: Actor, student: str, guardians: Collection[str]) -> bool:
    """A guardian on record, or the student; whether they may decide is the rules' question."""
    if actor.role == Role.STUDENT:
        return actor.sub == own_name(student)
    return actor.role == Role.GUARDIAN and actor.sub in guardians


async def check_yours(doors: Doors, actor: Actor, student: str) -> None:
    """Raises Missing for a student who is not there or not yours: family, school, district. A yes
    rests on the log, a no is looked up in the view too."""
    if actor.role not in FAMILY and is_district(doors, actor):
        return
    state = (await doors.handler.newest(stream_of(student))).state
    if isinstance(state, Enrolled | Left):
        file = state.file
        if is_family(actor, student, file.guardians) or works_for(doors, actor, file.school):
            return
    pupil = await doors.views.get(students, student)
    if pupil is None or not is_yours(doors, actor, pupil):
        raise Missing


def is_yours(doors: Doors, actor: Actor, pupil: Pupil) -> bool:
    guardians = {kin.guardian for kin in pupil.guardians}
    return is_family(actor, pupil.student, guardians) or works_for(doors, actor, pupil.school)


def check_school(doors: Doors, actor: Actor, school: str) -> None:
    """Raises Missing for a school that is not there or not yours."""
    if school not in doors.directory.school_by_ref:
        raise Missing
    if actor.org not in {school, doors.directory.district}:
        raise Missing


def check_parties(doors: Doors, terms: Terms) -> None:
    """Holder and recipient are the district or an agency that the directory lists."""
    known = {doors.directory.district, *doors.directory.agency_by_ref}
    for field, party in (("holder", terms.holder), ("recipient", terms.recipient)):
        if party not in known:
            raise Malformed("unknown-party", f"#/terms/{field}", status=422)


def order(doors: Doors, asked: Asked[C], student: str, **more: Any) -> Order:
    """The command with its facts: whose stream, which date it is in the district, whose word counts
    there, whether the student is of age."""
    facts: dict[str, Any] = {
        "student": student,
        "zone": doors.directory.calendar.timezone,
        "rule": Rule(doors.directory.rule),
        **more,
    }
    stream = stream_of(student)
    deps: tuple[Dep, ...] = ()
    if "of_age" in type(asked.body).facts:
        today = doors.directory.calendar.local(asked.now)
        facts["of_age"] = of_age(doors.identity.get(student), today)
        deps = doors.identity.seen(LOG, shard_of(stream))
    wanted = {name: fact for name, fact in facts.items() if name in type(asked.body).facts}
    return Order(stream, asked.body.model_copy(update=wanted), deps)


def plain(value: str | Sealed) -> str:
    """At the edge a caller's personal value is still plaintext."""
    if isinstance(value, Sealed):
        raise TypeError("sealed before the edge")
    return value
