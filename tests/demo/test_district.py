"""The district is as large as the article's, and nobody in it is real."""

from collections import Counter
from datetime import date

from demo.district import AGES, SEPTEMBER, District, Household, district
from demo.partners import CALENDAR, CARL_AGENCY, school_days
from libs.common.directory import Directory


def test_it_has_the_figures_of_the_article(boston: District, directory: Directory) -> None:
    served = {terms.school for terms in directory.terms}
    found = {
        "schools": len(boston.schools),
        "students": len(boston.students),
        "agencies": len(directory.agencies),
        "served": len(served),
        "without a partner": len({school.ref for school in boston.schools} - served),
    }
    assert found == {
        "schools": 127,
        "students": 57_000,
        "agencies": 13,
        "served": 90,
        "without a partner": 37,
    }


def test_every_agency_works_somewhere_on_terms_it_can_keep(directory: Directory) -> None:
    assert {terms.agency for terms in directory.terms} == {a.ref for a in directory.agencies}
    for terms in directory.terms:
        assert terms.services <= directory.agency_by_ref[terms.agency].services
        assert terms.school in directory.school_by_ref


def test_the_same_seed_gives_the_same_people() -> None:
    assert district(900).students == district(900).students
    assert district(900).students != district(900, seed=1).students


def test_no_two_students_share_a_name_and_no_two_people_an_id(boston: District) -> None:
    assert len({(student.given, student.family) for student in boston.students}) == 57_000
    sources = [student.source for student in boston.students]
    sources += [guardian.source for guardian in boston.guardians]
    sources += [worker.source for worker in boston.staff]
    assert len(set(sources)) == len(sources)
    assert len({guardian.email for guardian in boston.guardians}) == len(boston.guardians)


def test_every_student_has_somebody_who_decides_and_some_have_two_who_may_differ(
    boston: District,
) -> None:
    homes = Counter(student.household for student in boston.students)
    assert set(homes) == set(Household)
    for student in boston.students:
        assert any(guardian.decides for guardian in student.guardians)
        if student.household is Household.APART:
            one, other = student.guardians
            assert one.decides
            assert other.decides


def test_every_student_is_of_the_age_of_their_grade(boston: District) -> None:
    for student in boston.students:
        oldest = SEPTEMBER.replace(year=SEPTEMBER.year - AGES[student.grade] - 1)
        assert oldest < student.birth <= SEPTEMBER.replace(year=oldest.year + 1)


def test_carl_goes_to_a_school_that_his_agency_serves(
    boston: District, directory: Directory
) -> None:
    assert (f"sch_{boston.carl.school}", CARL_AGENCY) in directory.terms_by_pair


def test_school_is_held_on_boston_school_days() -> None:
    days = school_days()
    assert (days[0], days[-1]) == (date(2025, 9, 4), date(2026, 6, 30))
    assert not CALENDAR.is_school_day(date(2025, 11, 11))
    assert not CALENDAR.is_school_day(date(2026, 4, 21))
    assert CALENDAR.is_school_day(date(2025, 9, 15))
