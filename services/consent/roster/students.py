"""A roster zip becomes students with their guardians: `read` is the way into this room."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from datetime import date
from typing import NamedTuple

from services.consent.roster.archive import Archive
from services.consent.roster.changes import Changes, changes
from services.consent.roster.findings import Findings, Unusable, Weight
from services.consent.roster.manifest import Manifest, manifest
from services.consent.roster.people import USERS, People, Person, people
from services.consent.roster.roles import GONE, ROLES, STATUSES, Roles, day, roles
from services.consent.roster.table import Columns, rows

GUARDIANS_MAX = 20
"""Guardians of one student at most: one commit holds them all."""
SCHOOL = "school"
ORGS = Columns("orgs.csv", ("sourcedId", "type", "status"), frozenset({"sourcedId", "type"}))
DEMOGRAPHICS = Columns(
    "demographics.csv",
    ("sourcedId", "birthDate", "status"),
    frozenset({"sourcedId", "birthDate"}),
)


class Guardian(NamedTuple):
    """`relation` is parent, guardian or relative. What is absent is empty."""

    source: str
    given: str
    middle: str
    family: str
    relation: str
    email: str
    phone: str
    sms: str


class Student(NamedTuple):
    """`school` is the sourcedId of the one school that the student goes to."""

    line: int
    source: str
    school: str
    given: str
    middle: str
    family: str
    birth_date: date | None
    grade: str
    language: str
    guardians: tuple[Guardian, ...]


@dataclass(frozen=True, eq=False)
class Roster:
    """What one file says. `present` also names students whose rows cannot be used: the file says
    that they are there. When not `whole`, who is absent from the file must not be taken for gone.
    """

    findings: Findings
    version: str = ""
    schools: frozenset[str] = frozenset()
    present: frozenset[str] = frozenset()
    whole: bool = False
    taken: dict[str, str] = field(default_factory=dict)
    """Student -> school."""
    families: dict[str, tuple[str, ...]] = field(default_factory=dict)
    births: dict[str, date] = field(default_factory=dict)
    people: People = field(default_factory=People)
    changes: Changes | None = None
    """What a delta says; nothing else above says anything of it but `findings`, `version`."""

    def students(self) -> Iterator[Student]:
        """The usable ones, made one by one."""
        adults = self.people.guardians
        for source, school in self.taken.items():
            person = self.people.students[source]
            yield Student(
                person.line,
                source,
                school,
                person.given,
                person.middle,
                person.family,
                self.births.get(source),
                person.grade,
                person.language,
                tuple(_guardian(ref, adults[ref]) for ref in self.families.get(source, ())),
            )

    def fatal(self) -> bool:
        return self.findings.total(Weight.FATAL) > 0

    def errors(self) -> int:
        return self.findings.total(Weight.ERROR)


def read(data: bytes, district: Collection[str], today: date) -> Roster:
    """Never raises for what the bytes hold: it stands in the findings. `district` names the schools
    of the directory by their sourcedId."""
    findings = Findings()
    try:
        archive = Archive(data)
        held = manifest(archive, findings)
        if held is not None and held.delta:
            return _delta(archive, held, frozenset(district), today, findings)
        if held is not None:
            return _roster(archive, held, frozenset(district), today, findings)
    except Unusable as broken:
        findings.fatal(broken.file, broken.line, "", broken.code)
    return Roster(findings)


def _delta(
    archive: Archive, held: Manifest, district: frozenset[str], today: date, findings: Findings
) -> Roster:
    found = changes(archive, held.version, held.files, district, today, findings)
    if findings.total(Weight.FATAL):
        return Roster(findings)
    return Roster(
        findings,
        held.version,
        present=frozenset(found.people.bad),
        whole=found.whole,
        people=found.people,
        changes=found,
    )


def _roster(
    archive: Archive, held: Manifest, district: frozenset[str], today: date, findings: Findings
) -> Roster:
    orgs = _orgs(archive, findings)
    said = roles(archive, today, findings) if ROLES in held.files else Roles()
    found = people(archive, held.version, said, findings)
    _strangers(said, found, findings)
    births = {}
    if DEMOGRAPHICS.file in held.files:
        births = _births(archive, found, today, findings)
    if findings.total(Weight.FATAL):
        return Roster(findings)
    present = found.students.keys() | found.bad
    taken = _at_schools(found, orgs, district, findings)
    families = _families(found, taken, findings)
    return Roster(
        findings,
        held.version,
        frozenset(org for org, (_, kind) in orgs.items() if kind == SCHOOL) & district,
        frozenset(present),
        found.whole and said.whole,
        taken,
        families,
        births,
        found,
    )


def _orgs(archive: Archive, findings: Findings) -> dict[str, tuple[int, str]]:
    """sourcedId -> (line, type); a twice-named organisation keeps its first row."""
    found: dict[str, tuple[int, str]] = {}
    for line, row in rows(archive, ORGS, findings):
        if not row or not row[0]:
            if row:
                findings.error(ORGS.file, line, "sourcedId", "missing")
        elif row[0] in found:
            findings.error(ORGS.file, line, "sourcedId", "duplicate")
        elif row[2].lower() not in STATUSES:
            findings.error(ORGS.file, line, "status", "unknown-status")
        elif row[2].lower() != GONE:
            found[row[0]] = (line, row[1].lower())
    return found


def _strangers(said: Roles, found: People, findings: Findings) -> None:
    for user, line in said.lines.items():
        if not found.known(user):
            findings.warning(ROLES, line, "userSourcedId", "unknown-user")


def _births(archive: Archive, found: People, today: date, findings: Findings) -> dict[str, date]:
    """Dates of birth; a bad one spoils the student, because rights hang on the birthday."""
    births: dict[str, date] = {}
    seen: set[str] = set()
    for line, row in rows(archive, DEMOGRAPHICS, findings):
        source = row[0] if row else ""
        if not row or row[2].lower() == GONE:
            continue
        if source not in found.students:
            if not found.known(source):
                findings.warning(DEMOGRAPHICS.file, line, "sourcedId", "unknown-user")
            continue
        born = day(row[1], date.max)
        if source in seen:
            findings.error(DEMOGRAPHICS.file, line, "sourcedId", "duplicate")
            found.spoil(source)
        elif born is None or today < born < date.max:
            code = "bad-date" if born is None else "in-future"
            findings.error(DEMOGRAPHICS.file, line, "birthDate", code)
            found.spoil(source)
        elif born != date.max:
            births[source] = born
        seen.add(source)
    return births


def _at_schools(
    found: People,
    orgs: dict[str, tuple[int, str]],
    district: frozenset[str],
    findings: Findings,
) -> dict[str, str]:
    """Student -> school: the first school among their organisations. A school that the directory
    does not name is reported once, at its own row."""
    taken: dict[str, str] = {}
    foreign: set[str] = set()
    for source, person in found.students.items():
        school = next((org for org in person.orgs if orgs.get(org, (0, ""))[1] == SCHOOL), None)
        if school is None:
            strange = any(org not in orgs for org in person.orgs)
            code = "unknown-org" if strange else "no-school"
            findings.error(USERS, person.line, "orgSourcedIds", code)
        elif school in district:
            taken[source] = school
        elif school not in foreign:
            foreign.add(school)
            findings.error(ORGS.file, orgs[school][0], "sourcedId", "not-in-directory")
    return taken


def _families(
    found: People, taken: dict[str, str], findings: Findings
) -> dict[str, tuple[str, ...]]:
    """Student -> guardians, as either end names the other. A guardian with a bad row takes the
    student out as well: otherwise a slip of the pen would end that guardian's authority."""
    families: dict[str, dict[str, None]] = {}
    for source in list(taken):
        person = found.students[source]
        if source in found.kin or not found.bad.isdisjoint(person.agents):
            _leave_out(taken, source, person, "unusable-guardian", findings)
        for agent in person.agents:
            if agent in found.guardians:
                families.setdefault(source, {})[agent] = None
            elif agent not in found.gone and agent not in found.bad:
                code = "not-a-guardian" if found.known(agent) else "unknown-user"
                findings.warning(USERS, person.line, "agentSourcedIds", code)
    for source, adult in found.guardians.items():
        for agent in adult.agents:
            if agent in taken:
                families.setdefault(agent, {})[source] = None
            elif not found.known(agent):
                findings.warning(USERS, adult.line, "agentSourcedIds", "unknown-user")
    for source, family in families.items():
        if len(family) > GUARDIANS_MAX:
            person = found.students[source]
            _leave_out(taken, source, person, "too-many-guardians", findings)
    return {source: tuple(family) for source, family in families.items()}


def _leave_out(
    taken: dict[str, str], source: str, person: Person, code: str, findings: Findings
) -> None:
    if taken.pop(source, None) is not None:
        findings.error(USERS, person.line, "agentSourcedIds", code)


def _guardian(source: str, adult: Person) -> Guardian:
    return Guardian(
        source,
        adult.given,
        adult.middle,
        adult.family,
        adult.relation,
        adult.email,
        adult.phone,
        adult.sms,
    )
