"""Reads a test's zip as a registrar's would be read, on a fixed day at two known schools."""

from collections.abc import Iterator
from datetime import date

from services.consent.roster.findings import Problem, Weight
from services.consent.roster.students import Roster, Student, read
from tests.consent.zips import Zip, district

TODAY = date(2025, 9, 15)
SCHOOLS = frozenset({"one", "two"})
FATAL, ERROR, WARNING = Weight.FATAL, Weight.ERROR, Weight.WARNING
TWO = district(2)
TWO_IDS = frozenset({"s0", "s1"})


def taken(made: Zip | bytes) -> Roster:
    return read(made if isinstance(made, bytes) else made.bytes(), SCHOOLS, TODAY)


def students(made: Zip) -> Iterator[Student]:
    return taken(made).students()


def problems(made: Zip | bytes) -> list[Problem]:
    return taken(made).findings.listed
