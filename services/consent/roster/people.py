"""Rows of users.csv become people by their sourcedId."""

import re
from dataclasses import dataclass, field
from operator import gt
from typing import NamedTuple

from services.consent.roster.archive import Archive
from services.consent.roster.findings import Findings, Weight
from services.consent.roster.roles import (
    GONE,
    RELATIONS,
    STAFF,
    STATUSES,
    STUDENT,
    Parts,
    Roles,
)
from services.consent.roster.table import Columns, rows

USERS = "users.csv"
LANGUAGE = "metadata.language"
"""OneRoster has no column for the family's language; this extension column may carry its tag."""
TEXTS = ("givenName", "familyName", "middleName", "email", "sms", "phone", "grades", LANGUAGE)
LENGTHS_MAX = (200, 200, 200, 320, 60, 60, 60, 35)
NAMED = ("givenName", "familyName")
ID_LENGTH_MAX = 255
NAMES = (
    "sourcedId", *TEXTS, "agentSourcedIds", "status", "role", "orgSourcedIds", "primaryOrgSourcedId"
)  # fmt: skip
ALWAYS = frozenset({"sourcedId", "givenName", "familyName", "grades", "agentSourcedIds"})
COLUMNS = {
    "1.1": Columns(USERS, NAMES, ALWAYS | {"role", "orgSourcedIds"}),
    "1.2": Columns(USERS, NAMES, ALWAYS),
}
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")


class Person(NamedTuple):
    """One row, names with single spaces. What is absent is empty."""

    line: int
    given: str
    family: str
    middle: str
    email: str
    sms: str
    phone: str
    grade: str
    language: str
    agents: tuple[str, ...]
    orgs: tuple[str, ...]
    relation: str


@dataclass(eq=False)
class People:
    """`bad` have an unusable row, `kin` are named in one, `gone` are marked for deletion, `others`
    are neither student nor family. `whole`: no row was so bad that nobody knows whom it is about.
    `unsaid`: of whom a delta of 1.2 has a row and no role.
    """

    students: dict[str, Person] = field(default_factory=dict)
    guardians: dict[str, Person] = field(default_factory=dict)
    others: set[str] = field(default_factory=set)
    gone: set[str] = field(default_factory=set)
    unsaid: dict[str, Person] = field(default_factory=dict)
    bad: set[str] = field(default_factory=set)
    kin: set[str] = field(default_factory=set)
    whole: bool = True

    def known(self, source: str) -> bool:
        return (
            source in self.students
            or source in self.guardians
            or source in self.others
            or source in self.gone
            or source in self.unsaid
            or source in self.bad
        )

    def spoil(self, source: str, kin: tuple[str, ...] = ()) -> None:
        """The file is taken to say nothing about this one."""
        for people in (self.students, self.guardians, self.unsaid):
            taken = people.pop(source, None)
            self.kin.update(taken.agents if taken else ())
        self.kin.update(kin)
        self.bad.add(source)


def people(archive: Archive, version: str, roles: Roles, findings: Findings) -> People:
    """Everyone in users.csv; who they are stands in the row (1.1) or in `roles` (1.2)."""
    found = People()
    for line, row in rows(archive, COLUMNS[version], findings):
        source = row[0] if row else ""
        if not 0 < len(source) <= ID_LENGTH_MAX or CONTROL.search(source):
            found.whole = False
            if row:
                findings.error(USERS, line, "sourcedId", "bad-text" if source else "missing")
        elif found.known(source):
            findings.error(USERS, line, "sourcedId", "duplicate")
            found.spoil(source, ids(row[9]))
        elif row[10].lower() == GONE:
            found.gone.add(source)
        else:
            file_away(found, line, row, roles if version == "1.2" else None, findings)
    return found


def file_away(
    found: People,
    line: int,
    row: tuple[str, ...],
    roles: Roles | None,
    findings: Findings,
    *,
    delta: bool = False,
) -> None:
    """Files one row, of columns that begin with NAMES. In a delta, whose role `roles` do not say
    is known already, or nobody."""
    source = row[0]
    if row[10].lower() not in STATUSES:
        findings.error(USERS, line, "status", "unknown-status")
        found.spoil(source, ids(row[9]))
        return
    parts = _parts_in_row(line, row, findings) if roles is None else roles.of(source, row[13])
    if parts is None:
        found.spoil(source, ids(row[9]))
    elif not parts.orgs and not parts.relation and not (delta and roles):
        found.others.add(source)
    else:
        person = _person(line, row, parts, findings)
        if person is None:
            found.spoil(source, ids(row[9]))
            return
        if not parts.orgs and not parts.relation:
            found.unsaid[source] = person
        if parts.orgs:
            found.students[source] = person
        if parts.relation:
            found.guardians[source] = person


def _parts_in_row(line: int, row: tuple[str, ...], findings: Findings) -> Parts | None:
    role = row[11].lower()
    if role == STUDENT:
        orgs = ids(row[12])
        if not orgs:
            findings.error(USERS, line, "orgSourcedIds", "missing")
        return Parts(orgs, "") if orgs else None
    if role in RELATIONS:
        return Parts((), role)
    if role in STAFF:
        return Parts((), "")
    findings.error(USERS, line, "role", "unknown-role" if role else "missing")
    return None


def _person(line: int, row: tuple[str, ...], parts: Parts, findings: Findings) -> Person | None:
    texts = row[1:9]
    joined = "".join(texts)
    plain = joined.isprintable() and "  " not in joined
    if not plain:
        texts = tuple(" ".join(text.split()) for text in texts)
    given, family, middle, email, sms, phone, grades, language = texts
    sound = plain and given and family and not any(map(gt, map(len, texts), LENGTHS_MAX))
    if not sound and _spoiled(line, texts, findings):
        return None
    grade = grades.partition(",")[0]  # of several, the first
    return Person(
        line, given, family, middle, email, sms, phone, grade, language,
        ids(row[9]), parts.orgs, parts.relation,
    )  # fmt: skip


def _spoiled(line: int, texts: tuple[str, ...], findings: Findings) -> bool:
    before = findings.total(Weight.ERROR)
    for name, text, length_max in zip(TEXTS, texts, LENGTHS_MAX, strict=True):
        if len(text) > length_max or CONTROL.search(text):
            findings.error(USERS, line, name, "bad-text")
        elif not text and name in NAMED:
            findings.error(USERS, line, name, "missing")
    return findings.total(Weight.ERROR) > before


def ids(field: str) -> tuple[str, ...]:
    """A list of sourcedIds within one field, each once."""
    if "," not in field:
        return (field,) if field else ()
    return tuple(dict.fromkeys(part for part in map(str.strip, field.split(",")) if part))
