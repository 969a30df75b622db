"""Schools, agencies, terms and the school calendar, as the partnerships view will give them.

Until that service stands they come from the file that `DIRECTORY_FILE` names: JSON of `Directory`.
"""

from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property
from zoneinfo import ZoneInfo

from pydantic import Field

from libs.common.messages import View

YEAR_DAYS_MAX = 800
"""A search for a school day gives up beyond this many calendar days."""


class School(View):
    ref: str
    name: str


class Agency(View):
    ref: str
    name: str
    services: frozenset[str]


class Terms(View):
    """What one agreement lets one agency do at one school. `limits`: clock kind -> school days."""

    school: str
    agency: str
    services: frozenset[str]
    until: date | None = None
    limits: dict[str, int] = Field(default_factory=dict)


class Calendar(View):
    """The days school is held: weekdays from `first` to `last` that are not `closed`."""

    timezone: str = "America/New_York"
    first: date
    last: date
    closed: frozenset[date] = frozenset()

    @cached_property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)

    def local(self, at: datetime) -> date:
        """The district's date at this instant."""
        return at.astimezone(self.zone).date()

    def is_school_day(self, day: date) -> bool:
        """Outside the year it knows, every weekday counts, so that no clock ever stands still."""
        return day.weekday() < 5 and day not in self.closed

    def due(self, at: datetime, school_days: int) -> datetime:
        """The end (in UTC) of the n-th school day after the local day of `at`."""
        day = self.local(at)
        for _ in range(YEAR_DAYS_MAX):
            if school_days == 0:
                break
            day += timedelta(days=1)
            school_days -= self.is_school_day(day)
        return datetime.combine(day + timedelta(days=1), time(), self.zone).astimezone(UTC)


class Directory(View):
    """`rule` says whose word counts when guardians differ: no-beats-yes, either or both."""

    district: str = "district"
    schools: tuple[School, ...]
    agencies: tuple[Agency, ...]
    terms: tuple[Terms, ...] = ()
    calendar: Calendar
    rule: str = "no-beats-yes"

    @cached_property
    def school_by_ref(self) -> dict[str, School]:
        return {school.ref: school for school in self.schools}

    @cached_property
    def agency_by_ref(self) -> dict[str, Agency]:
        return {agency.ref: agency for agency in self.agencies}

    @cached_property
    def terms_by_pair(self) -> dict[tuple[str, str], Terms]:
        """(school, agency) -> terms."""
        return {(terms.school, terms.agency): terms for terms in self.terms}
