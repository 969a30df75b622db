"""Who works with the district: 13 agencies at 90 of its schools, and the calendar they share.

The agencies are invented. Written as the directory file that the services read.
"""

from datetime import date, timedelta
from pathlib import Path
from random import Random

from demo.district import CARL_SCHOOL
from demo.schools import School
from libs.common.directory import Agency, Calendar, Directory, Terms
from libs.common.directory import School as Place

SERVED = 90
SECOND_AGENCY_SHARE = 0.4
SEED = 13

FIRST_DAY = date(2025, 9, 4)
LAST_DAY = date(2026, 6, 30)
AGREED_UNTIL = date(2028, 6, 30)
"""Agreements outlive the year that is played, so that `make run` can go on."""

COUNSELING = "counseling"
FAMILY_THERAPY = "family-therapy"
HOME_SUPPORT = "home-support"
GROUP = "group"
PSYCHIATRY = "psychiatry"
MENTORING = "mentoring"

AGENCIES = tuple(
    Agency(ref=f"agy_{ref}", name=name, services=frozenset(services))
    for ref, name, services in (
        ("harborlight", "Harbor Light Family Services", {FAMILY_THERAPY, HOME_SUPPORT, COUNSELING}),
        ("bluehill", "Blue Hill Counseling Center", {COUNSELING, GROUP}),
        ("neponset", "Neponset Youth Clinic", {COUNSELING, PSYCHIATRY}),
        ("fourcorners", "Four Corners Child Guidance", {COUNSELING, FAMILY_THERAPY}),
        ("eastpoint", "East Point Behavioral Health", {COUNSELING, PSYCHIATRY, GROUP}),
        ("stonybrook", "Stony Brook Family Center", {FAMILY_THERAPY, HOME_SUPPORT, COUNSELING}),
        ("mapleway", "Mapleway Home Visiting", {HOME_SUPPORT, COUNSELING}),
        ("openhand", "Open Hand Mentors", {MENTORING, COUNSELING}),
        ("riverstreet", "River Street Therapy Group", {COUNSELING, GROUP}),
        ("longwharf", "Long Wharf Trauma Services", {COUNSELING, FAMILY_THERAPY, PSYCHIATRY}),
        ("fieldstone", "Fieldstone Adolescent Care", {COUNSELING, PSYCHIATRY, GROUP}),
        ("newroots", "New Roots Community Health", {COUNSELING, FAMILY_THERAPY, MENTORING}),
        ("cornerhouse", "Corner House Wraparound", {COUNSELING, HOME_SUPPORT, MENTORING}),
    )
)
CARL_AGENCY = AGENCIES[0].ref


def _days(first: date, last: date) -> frozenset[date]:
    return frozenset(first + timedelta(days=n) for n in range((last - first).days + 1))


CLOSED = frozenset(
    {
        date(2025, 10, 13),
        date(2025, 11, 11),
        date(2026, 1, 19),
        date(2026, 5, 25),
        date(2026, 6, 19),
    }
).union(
    _days(date(2025, 11, 27), date(2025, 11, 28)),
    _days(date(2025, 12, 24), date(2026, 1, 2)),
    _days(date(2026, 2, 16), date(2026, 2, 20)),
    _days(date(2026, 4, 20), date(2026, 4, 24)),
)
CALENDAR = Calendar(first=FIRST_DAY, last=LAST_DAY, closed=CLOSED)


def school_days() -> tuple[date, ...]:
    return tuple(day for day in sorted(_days(FIRST_DAY, LAST_DAY)) if CALENDAR.is_school_day(day))


def directory(schools: tuple[School, ...], seed: int = SEED) -> Directory:
    """Every agency at about ten schools; 37 schools have no partner at all."""
    chance = Random(seed)  # noqa: S311 - invented agreements are no secret
    others = [school.ref for school in schools if school.source != CARL_SCHOOL]
    served = [f"sch_{CARL_SCHOOL}", *chance.sample(others, SERVED - 1)]
    terms = []
    for number, school in enumerate(served):
        partners = [AGENCIES[number % len(AGENCIES)]]
        if chance.random() < SECOND_AGENCY_SHARE:
            partners.append(AGENCIES[(number + chance.randrange(1, len(AGENCIES))) % len(AGENCIES)])
        terms += [_terms(school, agency) for agency in partners]
    return Directory(
        schools=tuple(Place(ref=school.ref, name=school.name) for school in schools),
        agencies=AGENCIES,
        terms=tuple(terms),
        calendar=CALENDAR,
    )


def _terms(school: str, agency: Agency) -> Terms:
    return Terms(school=school, agency=agency.ref, services=agency.services, until=AGREED_UNTIL)


def write(found: Directory, file: Path) -> None:
    file.write_text(found.model_dump_json(indent=1), encoding="utf-8")
