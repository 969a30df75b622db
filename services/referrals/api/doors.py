"""What the routes may use, and whose a referral is: not there and not yours are the same answer."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from libs.common.directory import Directory
from libs.common.errors import Missing
from libs.common.handle import Answer, Ask, Known
from libs.common.memory import InMemory
from libs.common.messages import Actor, Dep, Role
from libs.common.ports import Clock
from libs.common.sealing import Keyring, Refs
from libs.common.shapes import Projection
from libs.common.timers import ClockRow
from libs.common.views import Views
from services.consent.events import Purpose, RecordClass
from services.referrals.decider.commands import Cover, ReferralCommand
from services.referrals.decider.states import (
    AGENCY_ROLES,
    AwaitingConsent,
    Held,
    InService,
    Ready,
    Referral,
    Situation,
    SteppingDown,
    Unraised,
)
from services.referrals.events import SCHOOL, ConcernRaised
from services.referrals.views.clocks import clocks
from services.referrals.views.sharing import Covering, covered, covering, covering_key
from services.referrals.views.stories import Line, Story, lines
from services.referrals.views.students import Student, students

STAFF = frozenset({Role.PSYCHOLOGIST, Role.COUNSELOR, Role.SOCIAL_WORKER})
FAMILY = frozenset({Role.GUARDIAN, Role.STUDENT})
AGENCY = frozenset({Role.INTAKE, Role.CLINICIAN})
YEAR_DAYS = 365
Needed = tuple[tuple[RecordClass, Purpose], ...]


@dataclass(frozen=True)
class Doors:
    """`known` reads a referral's situation; `fresh` is this process's own fold of what families
    allow, with `monotonic` to tell how fresh."""

    handle: Callable[[Ask[ReferralCommand]], Awaitable[Answer]]
    known: Callable[[str], Awaitable[Known[Situation]]]
    clock: Clock
    keyring: Keyring
    refs: Refs
    views: Views
    directory: Directory
    fresh: InMemory[Covering]
    monotonic: Callable[[], float]

    @property
    def clocks(self) -> Projection[ClockRow]:
        return clocks(self.directory)

    def today(self, now: datetime) -> date:
        return self.directory.calendar.local(now)

    def year_end(self, now: datetime) -> date:
        """Consent is asked for until the school year ends; in the summer, for a year."""
        last, today = self.directory.calendar.last, self.today(now)
        return last if today <= last else today + timedelta(days=YEAR_DAYS)


def stream_of(referral: str) -> str:
    return f"referral/{referral}"


def student_stream(student: str) -> str:
    return f"student/{student}"


async def situation_of(doors: Doors, referral: str) -> Situation:
    return (await doors.known(stream_of(referral))).state


async def the_student(doors: Doors, student: str) -> Student:
    found = await doors.views.get(students, student)
    if found is None:
        raise Missing
    return found


async def lines_of(doors: Doors, story: Story) -> list[Line]:
    keys = story.lines()
    found = await doors.views.many(lines, keys)
    return [found[key] for key in keys if key in found]


def at_school(actor: Actor, school: str, doors: Doors) -> bool:
    return actor.org in (school, doors.directory.district)


def is_family(actor: Actor, student: Student, today: date) -> bool:
    """A guardian who decides today, or the student who has come of age."""
    if actor.role == Role.STUDENT:
        return student.adult and is_self(actor, student.student)
    kin = student.kin.get(actor.sub)
    return kin is not None and kin.decides_on(today) and not student.adult


def is_self(actor: Actor, student: str) -> bool:
    """A person's and a student's reference share the digest of the roster's id."""
    return actor.sub.partition("_")[2] == student.partition("_")[2]


def has_reached(actor: Actor, state: Situation) -> bool:
    """An agency knows of a referral once it was sent; a former receiver has known of it."""
    if isinstance(state, Unraised) or actor.org not in _receivers(state.referral):
        return False
    held_early = isinstance(state, Held) and isinstance(state.was, Ready)
    unsent = held_early or isinstance(state, AwaitingConsent | Ready)
    return not (unsent and state.referral.about.receiver == actor.org)


def _receivers(referral: Referral) -> set[str]:
    return {receiver for receiver, _ in referral.tried}


def is_receiver(actor: Actor, state: Situation) -> bool:
    """The receiver of now, whom the referral has reached."""
    if isinstance(state, Unraised):
        return False
    return state.referral.about.receiver == actor.org and has_reached(actor, state)


def is_serving(actor: Actor, state: Situation) -> bool:
    return isinstance(state, InService | SteppingDown) and is_receiver(actor, state)


async def touched(doors: Doors, actor: Actor, referral: str, now: datetime) -> Referral:
    """The referral, when it is theirs on the sender's or the family's side. Raises Missing."""
    state = await situation_of(doors, referral)
    if isinstance(state, Unraised):
        raise Missing
    about = state.referral.about
    if actor.role in AGENCY_ROLES:
        yes = about.sender == actor.org
    elif actor.role in FAMILY:
        student = await the_student(doors, about.student)
        yes = is_family(actor, student, doors.today(now))
    else:
        yes = about.sender == SCHOOL and at_school(actor, about.school, doors)
        if actor.role == Role.TEACHER:
            yes = yes and _raised_by(actor, state.referral)
    if not yes:
        raise Missing
    return state.referral


def _raised_by(actor: Actor, referral: Referral) -> bool:
    concern = referral.last(ConcernRaised)
    return concern is not None and concern.raiser == actor.sub


async def answered(doors: Doors, actor: Actor, referral: str) -> Referral:
    """The referral, when it is (or was) theirs on the receiver's side. Raises Missing."""
    state = await situation_of(doors, referral)
    if isinstance(state, Unraised):
        raise Missing
    about = state.referral.about
    if actor.role in AGENCY_ROLES:
        yes = has_reached(actor, state)
    else:
        yes = about.sender == SCHOOL and at_school(actor, about.school, doors)
    if not yes:
        raise Missing
    return state.referral


def holder_of(referral: Referral, doors: Doors) -> str:
    sender = referral.about.sender
    return doors.directory.district if sender == SCHOOL else sender


async def cover_for(
    doors: Doors,
    student: str,
    recipient: str,
    holder: str,
    needed: Needed,
    today: date,
) -> tuple[Cover | None, tuple[Dep, ...]]:
    """The grant that covers the first of these that any covers, and where that was read."""
    view = await doors.views.get(covering, covering_key(student, recipient))
    deps = await doors.views.seen(covering, "consent", student_stream(student))
    for record_class, purpose in needed:
        found = covered(view, record_class, purpose, today, holder)
        if found is not None:
            cover = Cover(grant=found.grant, version=found.version, classes=found.classes)
            return cover, deps
    return None, deps
