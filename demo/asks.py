"""One request of the demo's year: who asks what, when, about which case."""

from datetime import UTC, date, datetime, time
from typing import Any, NamedTuple

from demo.district import District, Guardian, Staff, Student
from demo.partners import CALENDAR
from libs.common.directory import Agency
from libs.common.messages import Role

MORNING = time(10)
SOON = time(10, 10)
AFTERNOON = time(14)
CLINICIANS_EACH = 4
ADULT = 18


class Who(NamedTuple):
    """What a token says about a person: subject, role, organisation."""

    sub: str
    role: Role
    org: str


class Ask(NamedTuple):
    """`case` is the demo's own name of a referral. `refused` is the code of the no that is meant
    to come back, None when a yes is."""

    at: datetime
    case: str
    student: str
    who: Who
    act: str
    body: dict[str, Any]
    refused: str | None = None


class Crew(NamedTuple):
    """Who works at one school."""

    school: str
    psychologist: Who
    counselor: Who
    social_worker: Who
    teachers: tuple[Who, ...]


def moment(day: date, hour: time = MORNING) -> datetime:
    return datetime.combine(day, hour, CALENDAR.zone).astimezone(UTC)


def of_staff(worker: Staff) -> Who:
    return Who(worker.source, worker.role, f"sch_{worker.school}")


def of_guardian(guardian: Guardian) -> Who:
    return Who(guardian.source, Role.GUARDIAN, "family")


def of_student(student: Student) -> Who:
    return Who(student.source, Role.STUDENT, "family")


def coordinator() -> Who:
    return Who("coordinator-1", Role.COORDINATOR, "district")


def registrar() -> Who:
    return Who("registrar-1", Role.REGISTRAR, "district")


def intake(agency: str) -> Who:
    return Who(f"intake-{agency.removeprefix('agy_')}", Role.INTAKE, agency)


def clinician(agency: Agency | str, number: int) -> Who:
    ref = agency if isinstance(agency, str) else agency.ref
    return Who(f"clinician-{ref.removeprefix('agy_')}-{number}", Role.CLINICIAN, ref)


def crews(district: District) -> dict[str, Crew]:
    """School source -> its crew."""
    staff: dict[str, dict[Role, list[Who]]] = {}
    for worker in district.staff:
        staff.setdefault(worker.school, {}).setdefault(worker.role, []).append(of_staff(worker))
    return {
        school: Crew(
            school,
            roles[Role.PSYCHOLOGIST][0],
            roles[Role.COUNSELOR][0],
            roles[Role.SOCIAL_WORKER][0],
            tuple(roles[Role.TEACHER]),
        )
        for school, roles in staff.items()
    }


def of_age(student: Student, day: date) -> bool:
    """Eighteen on that day."""
    birth = student.birth
    return (day.year - birth.year, (day.month, day.day)) >= (ADULT, (birth.month, birth.day))
