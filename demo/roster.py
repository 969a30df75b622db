"""Writes the district's people as a OneRoster CSV zip, version 1.2 or 1.1."""

import csv
from collections.abc import Iterable, Iterator, Sequence
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import Literal
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from demo.district import District, Guardian, Staff, Student
from libs.common.messages import Role

Version = Literal["1.1", "1.2"]
Row = Sequence[str]

DISTRICT_ORG = "boston"
LEVEL = 3
"""Compression: the roster is written, sent once and thrown away."""
STAMP = (2025, 9, 1, 0, 0, 0)
ROLES = {Role.TEACHER: "teacher", Role.COUNSELOR: "counselor"}
OTHER_STAFF = "aide"

ORGS = ("sourcedId", "status", "dateLastModified", "name", "type", "identifier", "parentSourcedId")
_USERS = {
    "1.1": """
        sourcedId status dateLastModified enabledUser orgSourcedIds role username userIds
        givenName familyName middleName identifier email sms phone agentSourcedIds grades
        password metadata.language
    """,
    "1.2": """
        sourcedId status dateLastModified enabledUser username userIds givenName familyName
        middleName identifier email sms phone agentSourcedIds grades password
        userMasterIdentifier resourceSourcedIds preferredGivenName preferredMiddleName
        preferredFamilyName primaryOrgSourcedId pronouns metadata.language
    """,
}
_ROLES = """
    sourcedId status dateLastModified userSourcedId roleType role beginDate endDate
    orgSourcedId userProfileSourcedId
"""
USERS = {version: tuple(columns.split()) for version, columns in _USERS.items()}
ROLE_COLUMNS = tuple(_ROLES.split())
DEMOGRAPHICS = ("sourcedId", "status", "dateLastModified", "birthDate", "sex")


def zipped(district: District, version: Version = "1.2") -> bytes:
    """The same people give the same bytes."""
    whole = BytesIO()
    with ZipFile(whole, "w", ZIP_DEFLATED, compresslevel=LEVEL) as archive:
        _add(archive, "manifest.csv", ("propertyName", "value"), _manifest(version))
        _add(archive, "orgs.csv", ORGS, _orgs(district))
        _add(archive, "users.csv", USERS[version], _users(district, version))
        if version == "1.2":
            _add(archive, "roles.csv", ROLE_COLUMNS, _roles(district))
        born = ((s.source, "", "", s.birth.isoformat(), "") for s in district.students)
        _add(archive, "demographics.csv", DEMOGRAPHICS, born)
    return whole.getvalue()


def write(district: District, file: Path, version: Version = "1.2") -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(zipped(district, version))


def _add(archive: ZipFile, name: str, columns: Row, rows: Iterable[Row]) -> None:
    info = ZipInfo(name, STAMP)
    info.compress_type = ZIP_DEFLATED
    with archive.open(info, "w") as raw, TextIOWrapper(raw, "utf-8", newline="") as text:
        lines = csv.writer(text)
        lines.writerow(columns)
        lines.writerows(rows)


def _manifest(version: Version) -> Iterator[Row]:
    yield "manifest.version", "1.0"
    yield "oneroster.version", version
    files = ["academicSessions", "classes", "courses", "enrollments"]
    files += [] if version == "1.1" else ["userProfiles"]
    for file in files:
        yield f"file.{file}", "absent"
    present = ["demographics", "orgs", "users", *([] if version == "1.1" else ["roles"])]
    for file in present:
        yield f"file.{file}", "bulk"


def _orgs(district: District) -> Iterator[Row]:
    yield DISTRICT_ORG, "", "", "Demonstration district", "district", "", ""
    for school in district.schools:
        yield school.source, "", "", school.name, "school", "", DISTRICT_ORG


def _users(district: District, version: Version) -> Iterator[Row]:
    columns = USERS[version]
    for person in _people(district):
        yield [person.get(column, "") for column in columns]


def _people(district: District) -> Iterator[dict[str, str]]:
    """Every user as the columns that any version has."""
    children: dict[str, list[Student]] = {}
    for student in district.students:
        yield _student(student)
        for guardian in student.guardians:
            children.setdefault(guardian.source, []).append(student)
    for guardian in district.guardians:
        yield _guardian(guardian, children[guardian.source])
    for worker in district.staff:
        yield _named(worker) | {
            "role": _role(worker),
            "orgSourcedIds": worker.school,
            "primaryOrgSourcedId": worker.school,
        }


def _named(person: Student | Guardian | Staff) -> dict[str, str]:
    return {
        "sourcedId": person.source,
        "enabledUser": "true",
        "username": person.source,
        "givenName": person.given,
        "familyName": person.family,
    }


def _student(student: Student) -> dict[str, str]:
    return _named(student) | {
        "role": "student",
        "orgSourcedIds": student.school,
        "primaryOrgSourcedId": student.school,
        "agentSourcedIds": ",".join(guardian.source for guardian in student.guardians),
        "grades": student.grade,
        "metadata.language": student.language,
    }


def _guardian(guardian: Guardian, children: list[Student]) -> dict[str, str]:
    return _named(guardian) | {
        "role": guardian.relation,
        "orgSourcedIds": children[0].school,
        "primaryOrgSourcedId": children[0].school,
        "agentSourcedIds": ",".join(child.source for child in children),
        "email": guardian.email,
        "phone": guardian.phone,
    }


def _role(worker: Staff) -> str:
    return ROLES.get(worker.role, OTHER_STAFF)


def _roles(district: District) -> Iterator[Row]:
    said: set[str] = set()
    for student in district.students:
        yield _part(student.source, "student", student.school)
        for guardian in student.guardians:
            if guardian.source not in said:
                said.add(guardian.source)
                yield _part(guardian.source, guardian.relation, student.school)
    for worker in district.staff:
        yield _part(worker.source, _role(worker), worker.school)


def _part(user: str, role: str, school: str) -> Row:
    return f"r-{user}", "", "", user, "primary", role, "", "", school, ""
