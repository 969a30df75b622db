"""The people of the demo's district: 57,000 synthetic students in families, and the school staff.

Pure and seeded: the same seed gives the same people. No two students share given and family name.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from functools import cached_property
from random import Random
from typing import NamedTuple, TypeVar

from demo.names import FAMILY, GIVEN
from demo.schools import GRADES, School, schools, seats
from libs.common.messages import Role

T = TypeVar("T")

STUDENTS = 57_000
SEED = 20250904
TEACHERS_EACH = 4
SEPTEMBER = date(2025, 9, 1)
AGES = {"PK": 4, "KG": 5} | {f"{grade:02}": grade + 5 for grade in range(1, 13)}
LANGUAGES = {"en": 58, "es": 22, "ht": 5, "zh": 4, "pt": 4, "vi": 3, "so": 2, "ar": 2}
SIBLINGS = {1: 55, 2: 33, 3: 12}

CARL_SCHOOL = "4201"
CARL_GRADE = "03"


class Household(StrEnum):
    TWO_PARENTS = "two parents"
    ONE_PARENT = "one parent"
    KIN = "a relative who decides, another who does not"
    APART = "parents who live apart"


HOUSEHOLDS = {
    Household.TWO_PARENTS: 54,
    Household.ONE_PARENT: 27,
    Household.KIN: 7,
    Household.APART: 12,
}


class Guardian(NamedTuple):
    """`relation` is the roster's word: a relative has no authority to decide."""

    source: str
    given: str
    family: str
    relation: str
    email: str
    phone: str

    @property
    def decides(self) -> bool:
        return self.relation != "relative"


class Student(NamedTuple):
    source: str
    given: str
    family: str
    birth: date
    grade: str
    language: str
    school: str
    guardians: tuple[Guardian, ...]
    household: Household


class Staff(NamedTuple):
    source: str
    given: str
    family: str
    role: Role
    school: str


@dataclass(frozen=True)
class District:
    schools: tuple[School, ...]
    students: tuple[Student, ...]
    staff: tuple[Staff, ...]

    @cached_property
    def guardians(self) -> tuple[Guardian, ...]:
        """Everybody once, in the order of their children."""
        found = {g.source: g for student in self.students for g in student.guardians}
        return tuple(found.values())

    @cached_property
    def carl(self) -> Student:
        return self.students[0]


def district(students: int = STUDENTS, seed: int = SEED) -> District:
    chance = Random(seed)  # noqa: S311 - invented people are no secret
    places = schools()
    people = tuple(_Families(chance).all(places, students))
    return District(places, people, tuple(_staff(places, chance)))


class _Families:
    """Gives out names, ids and homes, one family after the other."""

    def __init__(self, chance: Random) -> None:
        self.chance = chance
        self.student = self.guardian = 0
        self.unused = {family: _shuffled(GIVEN, chance) for family in FAMILY}

    def all(self, places: tuple[School, ...], students: int) -> Iterator[Student]:
        yield self._carl()
        sizes = seats(places, students, self.chance)
        sizes[CARL_SCHOOL] -= 1
        for school in places:
            yield from self._school(school, sizes[school.source])

    def _school(self, school: School, left: int) -> Iterator[Student]:
        while left > 0:
            children = min(left, _one_of(SIBLINGS, self.chance))
            yield from self._family(school, children)
            left -= children

    def _family(self, school: School, children: int) -> Iterator[Student]:
        family = self.chance.choice(FAMILY)
        while len(self.unused[family]) < children:
            family = self.chance.choice(FAMILY)
        household = _one_of(HOUSEHOLDS, self.chance)
        language = _one_of(LANGUAGES, self.chance)
        guardians = self._guardians(family, household)
        for _ in range(children):
            grade = self.chance.choice(GRADES[school.level])
            yield Student(
                self._student_id(),
                self.unused[family].pop(),
                family,
                self._birth(grade),
                grade,
                language,
                school.source,
                guardians,
                household,
            )

    def _guardians(self, family: str, household: Household) -> tuple[Guardian, ...]:
        other = self.chance.choice(FAMILY)
        match household:
            case Household.TWO_PARENTS:
                return self._adult(family, "parent"), self._adult(family, "parent")
            case Household.ONE_PARENT:
                return (self._adult(family, "parent"),)
            case Household.KIN:
                return self._adult(other, "guardian"), self._adult(family, "relative")
            case Household.APART:
                return self._adult(family, "parent"), self._adult(other, "parent")

    def _adult(self, family: str, relation: str, given: str | None = None) -> Guardian:
        self.guardian += 1
        given = given or self.chance.choice(GIVEN)
        email = f"{given}.{family}.{self.guardian}@family.example".lower()
        phone = f"+1617555{self.chance.randrange(10_000):04}"
        return Guardian(f"g{self.guardian:06}", given, family, relation, email, phone)

    def _student_id(self) -> str:
        self.student += 1
        return f"s{self.student:06}"

    def _birth(self, grade: str) -> date:
        """Old enough on 1 September, and less than a year more."""
        youngest = SEPTEMBER.replace(year=SEPTEMBER.year - AGES[grade])
        return youngest - timedelta(days=self.chance.randrange(365))

    def _carl(self) -> Student:
        mother = self._adult("Ashcombe", "parent", "Denise")
        birth = self._birth(CARL_GRADE)
        return Student(
            self._student_id(),
            "Carl",
            "Ashcombe",
            birth,
            CARL_GRADE,
            "en",
            CARL_SCHOOL,
            (mother,),
            Household.ONE_PARENT,
        )


STAFFING = {
    Role.PSYCHOLOGIST: 1,
    Role.COUNSELOR: 1,
    Role.SOCIAL_WORKER: 1,
    Role.TEACHER: TEACHERS_EACH,
}


def _staff(places: tuple[School, ...], chance: Random) -> Iterator[Staff]:
    for school in places:
        for role, count in STAFFING.items():
            for number in range(1, count + 1):
                source = f"{role.value}-{school.source}-{number}"
                yield Staff(
                    source, chance.choice(GIVEN), chance.choice(FAMILY), role, school.source
                )


def _shuffled(names: tuple[str, ...], chance: Random) -> list[str]:
    return chance.sample(names, len(names))


def _one_of(weights: dict[T, int], chance: Random) -> T:
    return chance.choices(tuple(weights), tuple(weights.values()))[0]
