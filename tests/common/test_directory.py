"""A limit in school days ends when the district's people expect it to, clock changes included."""

from datetime import UTC, date, datetime, timedelta

import pytest

from libs.common.directory import Agency, Calendar, Directory, School, Terms

THANKSGIVING = frozenset({date(2025, 11, 26), date(2025, 11, 27), date(2025, 11, 28)})
CALENDAR = Calendar(
    first=date(2025, 9, 4),
    last=date(2026, 6, 18),
    closed=THANKSGIVING | {date(2025, 11, 11), date(2025, 10, 13)},
)


def utc(month: int, day: int, hour: int = 0, minute: int = 0, year: int = 2025) -> datetime:
    return datetime(year, month, day, hour, minute, tzinfo=UTC)


@pytest.mark.parametrize(
    ("at", "school_days", "due"),
    [
        pytest.param(utc(9, 15, 16), 2, utc(9, 18, 4), id="Monday and two days: all of Wednesday"),
        pytest.param(utc(9, 19, 16), 1, utc(9, 23, 4), id="a weekend does not count"),
        pytest.param(utc(10, 10, 16), 1, utc(10, 15, 4), id="nor does a holiday"),
        pytest.param(utc(11, 25, 16), 3, utc(12, 4, 5), id="nor a recess"),
        pytest.param(utc(10, 31, 16), 1, utc(11, 4, 5), id="clocks go back in between"),
        pytest.param(utc(3, 6, 16, year=2026), 1, utc(3, 10, 4, year=2026), id="clocks go on"),
        pytest.param(utc(9, 16, 3, 59), 1, utc(9, 17, 4), id="late on Monday is Monday"),
        pytest.param(utc(9, 16, 4), 1, utc(9, 18, 4), id="midnight in Boston is Tuesday"),
        pytest.param(utc(9, 20, 16), 1, utc(9, 23, 4), id="asked on a Saturday"),
        pytest.param(utc(9, 15, 16), 0, utc(9, 16, 4), id="no day: the end of today"),
        pytest.param(utc(7, 1, 16), 2, utc(7, 4, 4), id="in summer every weekday counts"),
    ],
)
def test_a_limit_ends_with_the_last_of_its_school_days(
    at: datetime, school_days: int, due: datetime
) -> None:
    assert CALENDAR.due(at, school_days) == due


def test_a_longer_limit_never_ends_earlier() -> None:
    for hours in range(0, 24 * 400, 7):
        at = utc(9, 1) + timedelta(hours=hours)
        ends = [CALENDAR.due(at, days) for days in (0, 1, 2, 3, 10, 20)]
        assert ends == sorted(set(ends))
        assert ends[0] > at


def test_a_limit_asked_later_never_ends_earlier() -> None:
    starts = [utc(9, 1) + timedelta(hours=hours) for hours in range(0, 24 * 400, 7)]
    ends = [CALENDAR.due(at, 3) for at in starts]
    assert ends == sorted(ends)


def test_the_end_of_a_day_is_midnight_where_the_district_is() -> None:
    for day in range(400):
        end = CALENDAR.due(utc(9, 1, 16) + timedelta(days=day), 0)
        assert end.astimezone(CALENDAR.zone).strftime("%H:%M:%S") == "00:00:00"


def test_a_day_with_two_one_o_clocks_is_still_one_day() -> None:
    first, second = utc(11, 2, 5, 30), utc(11, 2, 6, 30)
    assert first.astimezone(CALENDAR.zone).hour == second.astimezone(CALENDAR.zone).hour == 1
    assert CALENDAR.local(first) == CALENDAR.local(second) == date(2025, 11, 2)
    assert CALENDAR.due(first, 1) == CALENDAR.due(second, 1)


def test_a_calendar_without_school_days_does_not_search_for_ever() -> None:
    closed = frozenset(date(2025, 1, 1) + timedelta(days=n) for n in range(2_000))
    shut = Calendar(first=date(2025, 1, 1), last=date(2030, 1, 1), closed=closed)
    assert shut.due(utc(9, 15, 16), 1) > utc(9, 15, year=2027)


def test_a_directory_is_found_by_reference() -> None:
    school, agency = (
        School(ref="sch_one", name="One"),
        Agency(ref="agy_one", name="Harbor", services=frozenset({"counseling"})),
    )
    terms = Terms(school="sch_one", agency="agy_one", services=frozenset({"counseling"}))
    directory = Directory(schools=(school,), agencies=(agency,), terms=(terms,), calendar=CALENDAR)
    assert directory.school_by_ref == {"sch_one": school}
    assert directory.agency_by_ref == {"agy_one": agency}
    assert directory.terms_by_pair == {("sch_one", "agy_one"): terms}
    assert Directory.model_validate_json(directory.model_dump_json()) == directory
