"""Which families a delta changes. Pure.

A family is a link that either end names. A delta may hold one end only, and many rosters fill one
end only. So a link is over when the adult is deleted or in no such role any more, when a row that
names others names this one no more, or when both rows are there and neither names the other. An
empty list alone ends nothing.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import NamedTuple

from services.consent.decider.commands import GUARDIANS_MAX
from services.consent.imports.plan import SCHOOL
from services.consent.roster.changes import Changes
from services.consent.roster.findings import Findings
from services.consent.roster.people import USERS, People, Person

AGENTS = "agentSourcedIds"
Ref = Callable[[str, str], str]


class Standing(NamedTuple):
    """A student as known now. `guardians` are all; those `by_hand` no roster ends."""

    school: str
    here: bool
    guardians: frozenset[str] = frozenset()
    by_hand: frozenset[str] = frozenset()


class Known(NamedTuple):
    """Whom a delta may be about, by reference: students, and the students of adults."""

    pupils: Mapping[str, Standing]
    children: Mapping[str, tuple[str, ...]]


class Adult(NamedTuple):
    """What a delta says of an adult, with the students whom it names. `ended` are the schools whose
    families they leave, or `everywhere`; `relation` is empty where nothing is said of it."""

    line: int
    person: Person | None = None
    relation: str = ""
    students: frozenset[str] = frozenset()
    gone: bool = False
    ended: tuple[str, ...] = ()
    everywhere: bool = False

    def leaves(self, school: str) -> bool:
        """Whether they are no guardian any more of who goes to this school."""
        if self.gone:
            return True
        ended = self.everywhere or school.removeprefix(SCHOOL) in self.ended
        return ended and not self.relation


@dataclass(eq=False)
class Work:
    """What is asked about one student; None and nothing where the delta says nothing."""

    line: int
    source: str | None = None
    person: Person | None = None
    school: str | None = None
    birth_date: date | None = None
    guardians: dict[str, Adult] = field(default_factory=dict)
    ended: list[str] = field(default_factory=list)


def adults_of(changes: Changes, ref: Ref) -> dict[str, Adult]:
    """By reference; one whose row does not say a role is an adult if students are known of them."""
    people, found = changes.people, dict[str, Adult]()
    for source, person in (*people.guardians.items(), *people.unsaid.items()):
        students = frozenset(ref("stu_", agent) for agent in person.agents)
        found[ref("usr_", source)] = Adult(person.line, person, person.relation, students)
    for source, kin in changes.kinship.items():
        guardian = ref("usr_", source)
        known = found.get(guardian, Adult(kin.line, relation=kin.relation))
        found[guardian] = known._replace(ended=kin.ended, everywhere=kin.everywhere)
    for source, line in changes.gone.items():
        found[ref("usr_", source)] = Adult(line, gone=True)
    return found


@dataclass(eq=False)
class Families:
    people: People
    known: Known
    ref: Ref
    findings: Findings
    gone: Collection[str]

    def settle(self, work: dict[str, Work], adults: Mapping[str, Adult]) -> set[str]:
        """Writes guardians into the work, also of students whom the delta names by their family
        alone; says who is left out."""
        naming = self._naming(work, adults)
        left_out = {student for student in work if self._unusable(work[student])}
        for student, by_adult in naming.items():
            if student in left_out or student in self.gone:
                continue
            one = work.get(student)
            if one is None:
                one = Work(min(adults[guardian].line for guardian in by_adult))
            self._link(student, one, by_adult, adults)
            if len(one.guardians) > GUARDIANS_MAX:
                self.findings.error(USERS, one.line, AGENTS, "too-many-guardians")
                left_out.add(student)
            elif student in work or one.guardians or one.ended:
                work[student] = one
        return left_out

    def _naming(
        self, work: Mapping[str, Work], adults: Mapping[str, Adult]
    ) -> dict[str, list[str]]:
        """Every student to look at, with the adults of the delta who have to do with them."""
        naming: dict[str, list[str]] = {student: [] for student in work}
        bad = {self.ref("stu_", source) for source in self.people.bad}
        for guardian, adult in adults.items():
            children = self.known.children.get(guardian, ())
            for student in dict.fromkeys((*children, *sorted(adult.students))):
                if student in naming or student in self.known.pupils:
                    naming.setdefault(student, []).append(guardian)
                elif adult.relation and student not in bad:
                    self.findings.warning(USERS, adult.line, AGENTS, "unknown-user")
        return naming

    def _unusable(self, one: Work) -> bool:
        """A bad row must not end a guardian: who is named in one, or names one, is left out."""
        agents = one.person.agents if one.person else ()
        unusable = one.source in self.people.kin or not self.people.bad.isdisjoint(agents)
        if unusable:
            self.findings.error(USERS, one.line, AGENTS, "unusable-guardian")
        return unusable

    def _link(
        self, student: str, one: Work, by_adult: Iterable[str], adults: Mapping[str, Adult]
    ) -> None:
        pupil = self.known.pupils.get(student)
        school = one.school or (pupil.school if pupil else "")
        linked = pupil.guardians if pupil else frozenset()
        agents = one.person.agents if one.person else ()
        named = dict.fromkeys(self.ref("usr_", agent) for agent in agents)
        for guardian in dict.fromkeys((*named, *by_adult, *sorted(linked))):
            adult = adults.get(guardian)
            by_either = guardian in named or (adult is not None and student in adult.students)
            if guardian in linked:
                over = not by_either and _over(one.person, adult)
                if over or (adult is not None and adult.leaves(school)):
                    self._end(one, guardian, adult, pupil)
                elif adult is not None and (adult.person or adult.relation):
                    one.guardians[guardian] = adult
            elif by_either:
                self._begin(one, guardian, adult)

    def _end(self, one: Work, guardian: str, adult: Adult | None, pupil: Standing | None) -> None:
        if pupil is None or guardian not in pupil.by_hand:
            one.ended.append(guardian)
            return
        line = adult.line if adult is not None else one.line
        self.findings.warning(USERS, line, "", "settled-by-hand")

    def _begin(self, one: Work, guardian: str, adult: Adult | None) -> None:
        """Somebody new to this family needs a row that says who they are."""
        if adult is not None and adult.person is not None and adult.relation:
            one.guardians[guardian] = adult
        elif adult is None or not adult.gone:
            self.findings.warning(USERS, one.line, AGENTS, "guardian-not-said")


def _over(student: Person | None, adult: Adult | None) -> bool:
    """Whether the silence of both ends ends it."""
    row = adult.person if adult is not None else None
    if student is not None and row is not None:
        return True
    return bool(student and student.agents) or bool(row and row.agents)
