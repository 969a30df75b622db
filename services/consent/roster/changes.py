"""What a delta says of people: the rows that changed. Whom it does not name stays as they are.

Who somebody was before stands in the log, not in the file: the plan of an import brings both
together.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import NamedTuple

from services.consent.roster.archive import Archive
from services.consent.roster.findings import Findings
from services.consent.roster.people import (
    COLUMNS as USER_COLUMNS,
)
from services.consent.roster.people import (
    CONTROL,
    ID_LENGTH_MAX,
    USERS,
    People,
    file_away,
    ids,
)
from services.consent.roster.roles import COLUMNS as ROLE_COLUMNS
from services.consent.roster.roles import (
    GONE,
    RELATIONS,
    ROLES,
    STATUSES,
    STUDENT,
    Roles,
    day,
    take,
)
from services.consent.roster.table import Columns, rows

MODIFIED = "dateLastModified"
BIRTHS = "demographics.csv"
PRIMARY = "primary"


class Schooling(NamedTuple):
    """What a delta says of where a student goes: `schools` of the directory, a primary one first;
    `ended` are organisations at which the student is one no more."""

    line: int
    schools: tuple[str, ...] = ()
    primary: bool = False
    ended: tuple[str, ...] = ()


class Kinship(NamedTuple):
    """What the roles of a delta say of an adult: the relation that holds, the schools at which one
    has ended, and whether one has ended that was held at no school, so for all."""

    line: int
    relation: str = ""
    ended: tuple[str, ...] = ()
    everywhere: bool = False


@dataclass(eq=False)
class Changes:
    """By the user's sourcedId. `gone` are marked for deletion, each with its line."""

    people: People = field(default_factory=People)
    gone: dict[str, int] = field(default_factory=dict)
    schooling: dict[str, Schooling] = field(default_factory=dict)
    kinship: dict[str, Kinship] = field(default_factory=dict)
    births: dict[str, tuple[int, date]] = field(default_factory=dict)
    whole: bool = True


def delta_of(columns: Columns) -> Columns:
    """In a delta each row says whether it is there and since when that is so."""
    return Columns(
        columns.file, (*columns.names, MODIFIED), columns.required | {"status", MODIFIED}
    )


def changes(
    archive: Archive,
    version: str,
    files: frozenset[str],
    district: frozenset[str],
    today: date,
    findings: Findings,
) -> Changes:
    """`district` names the schools of the directory by their sourcedId."""
    said = _Roles()
    if ROLES in files:
        _roles(archive, today, said, findings)
    found = Changes()
    if USERS in files:
        _people(archive, version, said, found, findings)
    for source in said.active.bad:
        found.people.spoil(source)
    if version == "1.2":
        _by_roles(said, district, found, findings)
    else:
        _by_rows(district, found, findings)
    if BIRTHS in files:
        _births(archive, today, found, findings)
    found.whole = found.whole and found.people.whole and said.active.whole
    return found


@dataclass(eq=False)
class _Roles:
    active: Roles = field(default_factory=Roles)
    primary: set[str] = field(default_factory=set)
    ended: dict[str, tuple[str, ...]] = field(default_factory=dict)
    family_ended: dict[str, tuple[str, ...]] = field(default_factory=dict)


def _roles(archive: Archive, today: date, said: _Roles, findings: Findings) -> None:
    for line, row in rows(archive, delta_of(ROLE_COLUMNS), findings, may_be_empty=True):
        if not row or not row[0]:
            said.active.whole = False
            if row:
                findings.error(ROLES, line, "userSourcedId", "missing")
            continue
        user = row[0]
        said.active.lines.setdefault(user, line)
        column, code = _undated(row[6], row[7])
        if not code:
            column, code = _role(said, line, row, today, findings)
        if code:
            findings.error(ROLES, line, column, code)
            said.active.bad.add(user)


def _role(
    said: _Roles, line: int, row: tuple[str, ...], today: date, findings: Findings
) -> tuple[str, str]:
    """Files a role, one that holds or one that has ended; what is wrong with the row, or blanks."""
    user, role, org, kind, begin, end, status, _ = row
    begins, ends = day(begin, date.min), day(end, date.max)
    if begins is None or ends is None:
        return "beginDate" if begins is None else "endDate", "bad-date"
    if status.lower() == GONE or ends < today:
        ended = said.ended if role.lower() == STUDENT else said.family_ended
        if role.lower() in RELATIONS | {STUDENT}:
            ended[user] = (*ended.get(user, ()), org)
        return "", ""
    if begins > today:
        findings.warning(ROLES, line, "beginDate", "not-yet-begun")
        return "", ""
    if role.lower() == STUDENT and kind.lower() == PRIMARY:
        said.primary.add(user)
    return take(said.active, row[:7], today)


def _people(
    archive: Archive, version: str, said: _Roles, found: Changes, findings: Findings
) -> None:
    people, roles = found.people, said.active if version == "1.2" else None
    columns = delta_of(USER_COLUMNS[version])
    for line, row in rows(archive, columns, findings, may_be_empty=True):
        source = row[0] if row else ""
        if not 0 < len(source) <= ID_LENGTH_MAX or CONTROL.search(source):
            people.whole = False
            if row:
                findings.error(USERS, line, "sourcedId", "bad-text" if source else "missing")
            continue
        column, code = _undated(row[10], row[14])
        if people.known(source):
            column, code = "sourcedId", "duplicate"
        if code:
            findings.error(USERS, line, column, code)
            people.spoil(source, ids(row[9]))
            people.gone.discard(source)
            found.gone.pop(source, None)
        elif row[10].lower() == GONE:
            people.gone.add(source)
            found.gone[source] = line
        else:
            file_away(people, line, row, roles, findings, delta=True)


def _undated(status: str, modified: str) -> tuple[str, str]:
    """Column and code of what a delta's row lacks; blanks when it is sound."""
    if status.lower() not in STATUSES - {""}:
        return "status", "unknown-status" if status else "missing"
    if not modified:
        return MODIFIED, "missing"
    try:
        datetime.fromisoformat(modified)
    except ValueError:
        return MODIFIED, "bad-date"
    return "", ""


def _by_rows(district: frozenset[str], found: Changes, findings: Findings) -> None:
    """1.1: a student's own row names the organisations, all of them."""
    for source, person in list(found.people.students.items()):
        schools = tuple(org for org in person.orgs if org in district)
        if schools:
            found.schooling[source] = Schooling(person.line, schools, True)
        else:
            findings.error(USERS, person.line, "orgSourcedIds", "not-in-directory")
            found.people.spoil(source)


def _by_roles(said: _Roles, district: frozenset[str], found: Changes, findings: Findings) -> None:
    """1.2: only roles that changed are there. Who went from one organisation to another that the
    directory does not name has not left; nobody knows where they are."""
    for user in _sound(said, found, said.active.orgs.keys() | said.ended.keys()):
        orgs = said.active.orgs.get(user, ())
        schools = tuple(org for org in orgs if org in district)
        primary = user in said.primary and orgs[:1] == schools[:1]
        ended = said.ended.get(user, ())
        if ended and orgs and not schools:
            findings.error(ROLES, said.active.lines[user], "orgSourcedId", "not-in-directory")
            found.people.spoil(user)
            continue
        found.schooling[user] = Schooling(said.active.lines[user], schools, primary, ended)
    for user in _sound(said, found, said.active.relations.keys() | said.family_ended.keys()):
        relation = said.active.relations.get(user, "")
        ended = said.family_ended.get(user, ())
        everywhere = not district.issuperset(ended)
        found.kinship[user] = Kinship(said.active.lines[user], relation, ended, everywhere)


def _sound(said: _Roles, found: Changes, users: set[str]) -> Iterator[str]:
    """In the order of the file."""
    left_out = found.people.bad | found.people.gone
    return (user for user in said.active.lines if user in users and user not in left_out)


def _births(archive: Archive, today: date, found: Changes, findings: Findings) -> None:
    """Dates of birth that were stated; a blank states none. A bad one spoils the student."""
    columns = Columns(BIRTHS, ("sourcedId", "birthDate", "status"), frozenset({"birthDate"}))
    seen: set[str] = set()
    for line, row in rows(archive, delta_of(columns), findings, may_be_empty=True):
        source = row[0] if row else ""
        if not source:
            if row:
                findings.error(BIRTHS, line, "sourcedId", "missing")
            continue
        column, code = _undated(row[2], row[3])
        born = day(row[1], date.max)
        if not code and source in seen:
            column, code = "sourcedId", "duplicate"
        elif not code and row[2].lower() != GONE and (born is None or today < born < date.max):
            column, code = "birthDate", "bad-date" if born is None else "in-future"
        seen.add(source)
        if code:
            findings.error(BIRTHS, line, column, code)
            found.people.spoil(source)
            found.births.pop(source, None)
        elif row[2].lower() != GONE and born is not None and born != date.max:
            found.births[source] = (line, born)
