"""Who somebody is: student of which schools; parent, guardian or relative (roles.csv of 1.2)."""

from dataclasses import dataclass, field
from datetime import date
from typing import NamedTuple

from services.consent.roster.archive import Archive
from services.consent.roster.findings import Findings
from services.consent.roster.table import Columns, rows

STUDENT = "student"
RELATIONS = frozenset({"parent", "guardian", "relative"})
STAFF = frozenset(
    (
        "administrator", "aide", "proctor", "teacher",
        "counselor", "principal", "districtadministrator", "siteadministrator",
        "systemadministrator",
    )
)  # fmt: skip
GONE = "tobedeleted"
STATUSES = frozenset({"", "active", "inactive", GONE})
ROLES = "roles.csv"
COLUMNS = Columns(
    ROLES,
    ("userSourcedId", "role", "orgSourcedId", "roleType", "beginDate", "endDate", "status"),
    frozenset({"userSourcedId", "role", "orgSourcedId"}),
)


class Parts(NamedTuple):
    """A student of `orgs` and / or an adult in this relation; neither: staff, or nobody today."""

    orgs: tuple[str, ...]
    relation: str


@dataclass(eq=False)
class Roles:
    """By the user's sourcedId. `bad` have a row that cannot be used."""

    orgs: dict[str, tuple[str, ...]] = field(default_factory=dict)
    relations: dict[str, str] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)
    bad: set[str] = field(default_factory=set)
    whole: bool = True

    def of(self, source: str, primary_org: str) -> Parts | None:
        """None when this person's roles are unusable. A primary organisation comes first."""
        if source in self.bad:
            return None
        orgs = self.orgs.get(source, ())
        if primary_org in orgs[1:]:
            orgs = (primary_org, *(org for org in orgs if org != primary_org))
        return Parts(orgs, self.relations.get(source, ""))


def roles(archive: Archive, today: date, findings: Findings) -> Roles:
    """Roles that hold today: marked for deletion, over or not yet begun count as absent."""
    found = Roles()
    for line, row in rows(archive, COLUMNS, findings):
        if not row or not row[0]:
            found.whole = False
            if row:
                findings.error(ROLES, line, "userSourcedId", "missing")
            continue
        found.lines.setdefault(row[0], line)
        if row[6].lower() == GONE:
            continue
        column, code = take(found, row, today)
        if code:
            findings.error(ROLES, line, column, code)
            found.bad.add(row[0])
    return found


def take(found: Roles, row: tuple[str, ...], today: date) -> tuple[str, str]:
    """What is wrong with the row, by column and code; ("", "") when it was taken."""
    user, role, org, kind, begin, end, status = row
    role = role.lower()
    if status.lower() not in STATUSES:
        return "status", "unknown-status"
    if begin or end:
        begins, ends = day(begin, date.min), day(end, date.max)
        if begins is None or ends is None:
            return "beginDate" if begins is None else "endDate", "bad-date"
        if not begins <= today <= ends:
            return "", ""
    if role == STUDENT:
        if not org:
            return "orgSourcedId", "missing"
        before = found.orgs.get(user, ())
        if org not in before:
            found.orgs[user] = (org, *before) if kind.lower() == "primary" else (*before, org)
    elif role in RELATIONS:
        found.relations[user] = min(role, found.relations.get(user, role))
    elif role not in STAFF and not role.startswith("ext:"):
        return "role", "unknown-role" if role else "missing"
    return "", ""


def day(text: str, absent: date) -> date | None:
    """A date as YYYY-MM-DD, `absent` when there is none, None when it is something else."""
    if not text:
        return absent
    if len(text) != 10:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None
