"""Names and birth dates, opened; in memory only, never written, gone with the student's keys."""

from collections.abc import Iterable, Iterator
from datetime import date
from typing import Any

from libs.common.messages import Identity, Recorded, View
from libs.common.personal import KeyClass
from libs.common.shapes import Projection
from services.consent.events import (
    Names,
    StudentChanged,
    StudentEnrolled,
    StudentErased,
    StudentErasureOrdered,
    StudentLeft,
    StudentMoved,
)

OF_AGE_YEARS = 18


class Person(View):
    """A student as the search knows one. `words` are the names in lower case."""

    student: str
    school: str
    here: bool = True
    names: Identity[Names]
    birth_date: Identity[date | None] = None
    grade: Identity[str | None] = None
    words: tuple[str, ...] = ()


PersonEvent = (
    StudentEnrolled
    | StudentChanged
    | StudentMoved
    | StudentLeft
    | StudentErasureOrdered
    | StudentErased
)


def _keys(entry: Recorded[Any]) -> Iterable[str]:
    return (entry.event.student,)


def _fold(person: Person | None, entry: Recorded[Any], _: str) -> Person | None:
    event: PersonEvent = entry.event
    match event:
        case StudentEnrolled():
            return _person(event, event.school, True)
        case StudentChanged():
            return _person(event, person.school, person.here) if person else None
        case StudentMoved(school=school):
            return person.model_copy(update={"school": school}) if person else None
        case StudentLeft():
            return person.model_copy(update={"here": False}) if person else None
        case StudentErasureOrdered() | StudentErased():
            return None


def _person(event: StudentEnrolled | StudentChanged, school: str, here: bool) -> Person:
    return Person.model_construct(
        student=event.student,
        school=school,
        here=here,
        names=event.names,
        birth_date=event.birth_date,
        grade=event.grade,
        words=_words(event.names) if isinstance(event.names, Names) else (),
    )


def _words(names: Names) -> tuple[str, ...]:
    parts = (names.given, names.middle or "", names.family)
    return tuple(word for part in parts for word in part.casefold().split())


identity = Projection(
    name="identity",
    version=1,
    logs=("consent",),
    view=Person,
    keys=_keys,
    fold=_fold,
    hears=PersonEvent,
    opens=frozenset({KeyClass.IDENTITY}),
    reads=frozenset({"names", "birth_date", "grade"}),
)


def named(people: Iterable[Person], text: str, schools: frozenset[str] | None) -> Iterator[Person]:
    """Whose names begin with every word that was typed; `schools` None means all of them."""
    wanted = text.casefold().split()
    for person in people:
        if not person.here or (schools is not None and person.school not in schools):
            continue
        if all(any(word.startswith(part) for word in person.words) for part in wanted):
            yield person


def of_age(person: Person | None, today: date) -> bool:
    """Whether this student decides alone; a birth date nobody knows says no."""
    if person is None or not isinstance(person.birth_date, date):
        return False
    return birthday(person.birth_date, OF_AGE_YEARS) <= today


def birthday(born: date, years: int) -> date:
    """Who was born on 29 February has the birthday on 1 March in other years."""
    if (born.month, born.day) == (2, 29) and not _is_leap(born.year + years):
        return date(born.year + years, 3, 1)
    return born.replace(year=born.year + years)


def _is_leap(year: int) -> bool:
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
