"""A roster becomes references and commands: who is taken, who is gone. Pure."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID, uuid5

from libs.common.directory import Directory
from libs.common.messages import Stamp
from services.consent.decider.commands import (
    RecordLeaving,
    RosterGuardian,
    TakeChanges,
    TakeRoster,
)
from services.consent.events import Authority, Contact, Names
from services.consent.roster.findings import Findings
from services.consent.roster.guard import Enrolled, Removals, removals
from services.consent.roster.people import People
from services.consent.roster.students import Guardian, Roster, Student

SCHOOL = "sch_"
"""A school's reference is this and the sourcedId of its organisation."""
LEFT_REASON = "not-on-roster"
RELATIVE = "relative"
"""The one relation of a roster that has no authority to decide."""


class Step(NamedTuple):
    """One student to ask about; `line` is where the file says so, 0 for who is not in it."""

    ref: str
    line: int
    command: TakeRoster | TakeChanges | RecordLeaving


@dataclass(frozen=True, eq=False)
class Plan:
    """A roster with the references of its people, by sourcedId."""

    roster: Roster
    students: Mapping[str, str]
    guardians: Mapping[str, str]
    zone: str

    def takes(self, stamp: Stamp) -> Iterator[Step]:
        """Made one by one: a whole district never stands in memory twice."""
        for student in self.roster.students():
            yield Step(self.students[student.source], student.line, self._take(student, stamp))

    def part(self, sources: Iterable[str]) -> "Plan":
        """Of these students alone, in this order: what `takes` needs, and nothing else."""
        whole = self.roster
        taken = {source: whole.taken[source] for source in sources}
        families = {source: whole.families.get(source, ()) for source in taken}
        adults = {adult for family in families.values() for adult in family}
        people = People(
            {source: whole.people.students[source] for source in taken},
            {adult: whole.people.guardians[adult] for adult in adults},
        )
        births = {source: whole.births[source] for source in taken if source in whole.births}
        return Plan(
            Roster(Findings(), taken=taken, families=families, births=births, people=people),
            {source: self.students[source] for source in taken},
            {adult: self.guardians[adult] for adult in adults},
            self.zone,
        )

    def removals(self, enrolled: Mapping[str, Enrolled]) -> Removals:
        """Nobody, when nobody is there, or the file has rows of which nobody knows whom they are
        about."""
        if not self.roster.whole or not enrolled:
            return Removals()
        schools = {SCHOOL + school for school in self.roster.schools}
        present = {self.students[source] for source in self.roster.present}
        families = {
            self.students[source]: {self.guardians[g] for g in self.roster.families.get(source, ())}
            for source in self.roster.taken
        }
        return removals(enrolled, schools, present, families)

    def leaves(self, gone: Iterable[str], stamp: Stamp) -> Iterator[Step]:
        for ref in gone:
            command = RecordLeaving(student=ref, zone=self.zone, reason=LEFT_REASON, stamp=stamp)
            yield Step(ref, 0, command)

    def _take(self, student: Student, stamp: Stamp) -> TakeRoster:
        """Built without checking again what the reader of the file has checked."""
        return TakeRoster.model_construct(
            stamp=stamp,
            student=self.students[student.source],
            zone=self.zone,
            school=SCHOOL + student.school,
            names=_names(student),
            birth_date=student.birth_date,
            grade=student.grade or None,
            language=student.language or None,
            roster_id=student.source,
            guardians=tuple(map(self._guardian, student.guardians)),
        )

    def _guardian(self, adult: Guardian) -> RosterGuardian:
        reach = (adult.email or None, adult.phone or None, adult.sms or None)
        return RosterGuardian.model_construct(
            guardian=self.guardians[adult.source],
            names=_names(adult),
            relation=adult.relation,
            contact=_contact(*reach) if any(reach) else None,
            authority=Authority.NONE if adult.relation == RELATIVE else Authority.FULL,
        )


def _names(person: Student | Guardian) -> Names:
    return Names.model_construct(
        given=person.given, family=person.family, middle=person.middle or None
    )


def _contact(email: str | None, phone: str | None, sms: str | None) -> Contact:
    return Contact.model_construct(email=email, phone=phone, sms=sms)


def planned(roster: Roster, ref: Callable[[str, str], str], zone: str) -> Plan:
    """`ref` gives the reference of a prefix and a sourcedId."""
    return Plan(
        roster,
        {source: ref("stu_", source) for source in roster.present},
        {source: ref("usr_", source) for source in roster.people.guardians},
        zone,
    )


def school_sources(directory: Directory) -> frozenset[str]:
    """The sourcedIds of the directory's schools."""
    return frozenset(
        school.ref.removeprefix(SCHOOL)
        for school in directory.schools
        if school.ref.startswith(SCHOOL)
    )


def command_id(taking: UUID, ref: str) -> UUID:
    """One for each import and student: an interrupted import finds what it did already, and a file
    that is sent again later, under another key, is not swallowed."""
    return uuid5(taking, ref)
