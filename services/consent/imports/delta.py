"""A delta and what is known become commands: who changed, who is gone, whose family ended. Pure."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from libs.common.messages import Stamp
from services.consent.decider.commands import ChangedGuardian, RecordLeaving, TakeChanges
from services.consent.events import Authority, Contact, Names
from services.consent.imports.families import Adult, Families, Known, Standing, Work, adults_of
from services.consent.imports.plan import RELATIVE, SCHOOL, Step
from services.consent.roster.changes import BIRTHS, Changes, Schooling
from services.consent.roster.findings import Findings
from services.consent.roster.guard import FEW, Enrolled, Removals
from services.consent.roster.people import Person
from services.consent.roster.roles import ROLES
from services.consent.roster.students import Roster

DELETED, NO_STUDENT = "roster-deleted", "roster-role-ended"
"""Why somebody left: their row is marked for deletion, or they are a student there no more."""

Ref = Callable[[str, str], str]


@dataclass(frozen=True, eq=False)
class Delta:
    """The plan of a delta, as `Plan` is that of a bulk file; whom it does not name stays. `losses`
    counts the guardians whom each student would lose."""

    roster: Roster
    zone: str
    work: Mapping[str, Work]
    gone: Mapping[str, tuple[int, str]]
    losses: Mapping[str, int]

    def takes(self, stamp: Stamp) -> Iterator[Step]:
        for student, work in self.work.items():
            command = TakeChanges.model_construct(
                stamp=stamp,
                student=student,
                zone=self.zone,
                school=None if work.school is None else SCHOOL + work.school,
                birth_date=work.birth_date,
                roster_id=work.source,
                guardians=tuple(_guardian(ref, adult) for ref, adult in work.guardians.items()),
                ended=tuple(work.ended),
                **_about(work.person),
            )
            yield Step(student, work.line, command)

    def leaves(self, gone: Iterable[str], stamp: Stamp) -> Iterator[Step]:
        for student in gone:
            line, reason = self.gone[student]
            command = RecordLeaving(student=student, zone=self.zone, reason=reason, stamp=stamp)
            yield Step(student, line, command)

    def removals(self, enrolled: Mapping[str, Enrolled]) -> Removals:
        """Counted against the schools that somebody leaves, and those where a family loses one."""
        gone = tuple(student for student in self.gone if student in enrolled)
        losses = {student: n for student, n in self.losses.items() if student in enrolled}
        left = {enrolled[student].school for student in gone}
        losing = {enrolled[student].school for student in losses}
        students = guardians = 0
        for known in enrolled.values():
            students += known.school in left
            guardians += len(known.guardians) if known.school in losing else 0
        return Removals(gone, students, sum(losses.values()), guardians, FEW)


def asked_about(changes: Changes, ref: Ref) -> tuple[list[str], list[str]]:
    """References of students, and of adults, of whom it must be known who they are."""
    people = changes.people
    adults = dict.fromkeys((*people.guardians, *people.unsaid, *changes.kinship, *changes.gone))
    rows = (*people.guardians.values(), *people.unsaid.values())
    agents = (agent for person in rows for agent in person.agents)
    students = dict.fromkeys((*_perhaps_students(changes), *changes.gone, *agents))
    return [ref("stu_", source) for source in students], [ref("usr_", source) for source in adults]


def delta_plan(roster: Roster, known: Known, ref: Ref, zone: str) -> Delta:
    """Reports what cannot be used, and leaves out whom it is about."""
    changes = roster.changes or Changes()
    gone = _gone(changes, known, ref)
    work = _students(changes, known, ref, roster.findings)
    families = Families(changes.people, known, ref, roster.findings, gone.keys())
    left_out = families.settle(work, adults_of(changes, ref))
    work = {
        student: one
        for student, one in work.items()
        if student not in left_out and student not in gone
    }
    losses = {student: len(one.ended) for student, one in work.items() if one.ended}
    said = replace(
        roster,
        taken={student: one.school or "" for student, one in work.items()},
        present=roster.present | work.keys() | left_out,
    )
    return Delta(said, zone, work, gone, losses)


def _perhaps_students(changes: Changes) -> dict[str, None]:
    people = changes.people
    named = (*people.students, *people.unsaid, *changes.schooling, *changes.births)
    return dict.fromkeys(source for source in named if source not in people.bad)


def _gone(changes: Changes, known: Known, ref: Ref) -> dict[str, tuple[int, str]]:
    """Students who are here and leave, each with the line that says so, and why."""
    found: dict[str, tuple[int, str]] = {}
    for source, line in changes.gone.items():
        student = ref("stu_", source)
        if student in known.pupils and known.pupils[student].here:
            found[student] = (line, DELETED)
    for source, said in changes.schooling.items():
        student = ref("stu_", source)
        pupil = known.pupils.get(student)
        if pupil is not None and pupil.here and not said.schools and _ended(said, pupil):
            found[student] = (said.line, NO_STUDENT)
    return found


def _ended(said: Schooling, pupil: Standing) -> bool:
    return pupil.school in {SCHOOL + org for org in said.ended}


def _students(changes: Changes, known: Known, ref: Ref, findings: Findings) -> dict[str, Work]:
    """What the students' own rows say. A row of 1.2 whose role is not said may be anybody's: only
    of a known student it is a student's."""
    people, found = changes.people, dict[str, Work]()
    for source in _perhaps_students(changes):
        student = ref("stu_", source)
        pupil, said = known.pupils.get(student), changes.schooling.get(source)
        person = people.students.get(source) or people.unsaid.get(source)
        line, born = changes.births.get(source, (0, None))
        if pupil is None and (person is None or said is None or not said.schools):
            if said is not None and said.schools:
                findings.warning(ROLES, said.line, "userSourcedId", "unknown-user")
            elif born is not None and person is None and said is None:
                findings.warning(BIRTHS, line, "sourcedId", "unknown-user")
            continue
        school = _school(said, pupil) if said else None
        line = person.line if person else said.line if said else line
        found[student] = Work(line, source, person, school, born)
    return found


def _school(said: Schooling, pupil: Standing | None) -> str | None:
    """Where the student goes from now on; None is where they are. A second school beside the one
    that goes on is no move."""
    if not said.schools:
        return None
    stays = pupil is not None and pupil.here and not said.primary and not _ended(said, pupil)
    return None if stays else said.schools[0]


def _about(person: Person | None) -> dict[str, Any]:
    if person is None:
        return {}
    return {
        "names": _names(person),
        "grade": person.grade or None,
        "language": person.language or None,
    }


def _names(person: Person) -> Names:
    return Names.model_construct(
        given=person.given, family=person.family, middle=person.middle or None
    )


def _guardian(guardian: str, adult: Adult) -> ChangedGuardian:
    about: dict[str, Any] = {}
    if adult.relation:
        full = adult.relation != RELATIVE
        about["relation"] = adult.relation
        about["authority"] = Authority.FULL if full else Authority.NONE
    person = adult.person
    if person is not None:
        reach = (person.email or None, person.phone or None, person.sms or None)
        about["names"] = _names(person)
        about["contact"] = _contact(*reach) if any(reach) else None
    return ChangedGuardian.model_construct(guardian=guardian, **about)


def _contact(email: str | None, phone: str | None, sms: str | None) -> Contact:
    return Contact.model_construct(email=email, phone=phone, sms=sms)
