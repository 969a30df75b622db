"""A student comes, changes, moves, leaves, is erased."""

from datetime import date

from libs.common.messages import Event, Identity
from services.consent.events.words import Names


class StudentEnrolled(Event):
    student: str
    school: str
    names: Identity[Names]
    birth_date: Identity[date | None] = None
    grade: Identity[str | None] = None
    language: Identity[str | None] = None
    roster_id: Identity[str]


class StudentChanged(Event):
    """The whole of what is known now."""

    student: str
    names: Identity[Names]
    birth_date: Identity[date | None] = None
    grade: Identity[str | None] = None
    language: Identity[str | None] = None
    roster_id: Identity[str]


class StudentMoved(Event):
    """`waiting`: the requests that move to the other school's queue with the student."""

    student: str
    school: str
    waiting: tuple[str, ...] = ()


class StudentLeft(Event):
    student: str
    school: str
    reason: str


class StudentErasureOrdered(Event):
    """From here on the record is erased; the keys are destroyed next."""

    student: str
    by: str
    approver: str


class StudentErased(Event):
    """The keys are gone. `horizon`: the day after which no backup holds them either."""

    student: str
    classes: tuple[str, ...]
    keys: int
    horizon: date
