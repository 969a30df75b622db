"""A tiny writer of OneRoster zips for tests: rows in, bytes out, and every part can be broken."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

START = ("sourcedId", "status", "dateLastModified")
USER = ("username", "userIds", "givenName", "familyName", "middleName", "identifier")
REACH = ("email", "sms", "phone", "agentSourcedIds", "grades", "password")
USERS_11 = (*START, "enabledUser", "orgSourcedIds", "role", *USER, *REACH)
PREFERRED = ("preferredGivenName", "preferredMiddleName", "preferredFamilyName")
MASTER = ("userMasterIdentifier", "resourceSourcedIds", *PREFERRED)
USERS_12 = (*START, "enabledUser", *USER, *REACH, *MASTER, "primaryOrgSourcedId", "pronouns")
PLACE = ("beginDate", "endDate", "orgSourcedId", "userProfileSourcedId")
ROLES = (*START, "userSourcedId", "roleType", "role", *PLACE)
ORGS = (*START, "name", "type", "identifier", "parentSourcedId")
DEMOGRAPHICS = (*START, "birthDate", "sex")

STAMP = (2025, 9, 1, 0, 0, 0)
"""Made twice, a zip has the same bytes."""

Fields = Mapping[str, str]


def table(columns: Sequence[str], rows: Iterable[Fields]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(dict(row) for row in rows)
    return text.getvalue().encode()


def zipped(files: Mapping[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with ZipFile(packed, "w", ZIP_DEFLATED) as archive:
        for name, data in files.items():
            info = ZipInfo(name, STAMP)
            info.compress_type = ZIP_DEFLATED
            archive.writestr(info, data)
    return packed.getvalue()


def manifest(version: str, **modes: str) -> bytes:
    rows = [("manifest.version", "1.0"), ("oneroster.version", version)]
    files = {"orgs": "bulk", "users": "bulk", "demographics": "bulk", "classes": "absent"}
    if version == "1.2":
        files["roles"] = "bulk"
    rows += [(f"file.{name}", mode) for name, mode in {**files, **modes}.items()]
    return table(
        ("propertyName", "value"), [{"propertyName": name, "value": value} for name, value in rows]
    )


@dataclass(frozen=True)
class Zip:
    """A small, sound district; `zip.but(users=...)` replaces one file's rows."""

    version: str = "1.1"
    orgs: tuple[Fields, ...] = ()
    users: tuple[Fields, ...] = ()
    roles: tuple[Fields, ...] = ()
    demographics: tuple[Fields, ...] = ()
    raw: Mapping[str, bytes | None] = field(default_factory=dict)
    folder: str = ""

    def but(self, **changes: Any) -> "Zip":
        return replace(self, **changes)

    def broken(self, name: str, data: bytes | None) -> "Zip":
        """With these bytes for one file, or (None) without it."""
        return replace(self, raw={**self.raw, name: data})

    def files(self) -> dict[str, bytes]:
        columns = USERS_11 if self.version == "1.1" else USERS_12
        made: dict[str, bytes | None] = {
            "manifest.csv": manifest(self.version),
            "orgs.csv": table(ORGS, self.orgs),
            "users.csv": table(columns, self.users),
            "demographics.csv": table(DEMOGRAPHICS, self.demographics),
        }
        if self.version == "1.2":
            made["roles.csv"] = table(ROLES, self.roles)
        made |= self.raw
        return {self.folder + name: data for name, data in made.items() if data is not None}

    def bytes(self) -> bytes:
        return zipped(self.files())


def org(source: str, kind: str = "school") -> Fields:
    return {"sourcedId": source, "name": f"School {source}", "type": kind}


def student_row(source: str, school: str = "one", agents: str = "", **more: str) -> Fields:
    return {
        "sourcedId": source,
        "orgSourcedIds": school,
        "role": "student",
        "givenName": "Carl",
        "familyName": f"Number {source}",
        "agentSourcedIds": agents,
        "grades": "05",
        **more,
    }


def adult_row(source: str, role: str = "parent", agents: str = "", **more: str) -> Fields:
    return {
        "sourcedId": source,
        "orgSourcedIds": "one",
        "role": role,
        "givenName": "Dana",
        "familyName": f"Number {source}",
        "agentSourcedIds": agents,
        "email": f"{source}@example.org",
        **more,
    }


def district(count: int, schools: Sequence[str] = ("one", "two")) -> Zip:
    """`count` students s0, s1, … in turn at the schools, each with one parent p0, p1, …"""
    users: list[Fields] = []
    for number in range(count):
        users.append(student_row(f"s{number}", schools[number % len(schools)], f"p{number}"))
        users.append(adult_row(f"p{number}"))
    births = [{"sourcedId": f"s{n}", "birthDate": f"2014-0{n % 9 + 1}-11"} for n in range(count)]
    return Zip(
        orgs=(org("city", "district"), *map(org, schools)),
        users=tuple(users),
        demographics=tuple(births),
    )


def newer(old: Zip) -> Zip:
    """The same district as version 1.2: who somebody is moves to roles.csv."""
    moved = ("role", "orgSourcedIds")
    users = tuple({k: v for k, v in row.items() if k not in moved} for row in old.users)
    roles = tuple(
        {
            "sourcedId": f"r-{row['sourcedId']}",
            "userSourcedId": row["sourcedId"],
            "roleType": "primary",
            "role": row["role"],
            "orgSourcedId": row["orgSourcedIds"],
        }
        for row in old.users
    )
    return old.but(version="1.2", users=users, roles=roles)


MODIFIED = "2025-10-01T08:00:00.000Z"


def since(row: Fields, status: str = "active") -> Fields:
    """A row as a delta has it."""
    return {**row, "status": status, "dateLastModified": MODIFIED}


def deleted(source: str) -> Fields:
    return since({"sourcedId": source}, "tobedeleted")


def role_row(user: str, role: str, school: str, **more: str) -> Fields:
    about = {"sourcedId": f"r-{user}-{school}", "userSourcedId": user, "role": role}
    return since({**about, "orgSourcedId": school, "roleType": "primary", **more})


def delta(
    *users: Fields,
    roles: tuple[Fields, ...] = (),
    births: tuple[Fields, ...] = (),
    version: str = "1.1",
) -> Zip:
    """Changed rows only; a file without any is absent."""
    if version == "1.2":
        users = tuple(
            {n: v for n, v in row.items() if n not in ("role", "orgSourcedIds")} for row in users
        )
    modes = {
        name: "delta" if rows else "absent"
        for name, rows in (("users", users), ("roles", roles), ("demographics", births))
        if name != "roles" or version == "1.2"
    }
    absent = {f"{name}.csv": None for name, mode in modes.items() if mode == "absent"}
    return Zip(
        version=version,
        users=users,
        roles=roles,
        demographics=births,
        raw={"orgs.csv": None, **absent, "manifest.csv": manifest(version, orgs="absent", **modes)},
    )
