"""The promises of consent's read models: who may see what, who waits, what is due."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from libs.common.directory import Calendar, Directory
from libs.common.messages import Event
from libs.common.shapes import Projection
from libs.common.testing import folded, streamed
from services.consent.events import (
    Cause,
    ConsentNarrowed,
    FamilyReminded,
    GuardianEnded,
    Names,
    Purpose,
    RecordClass,
    Reply,
    RightsPassed,
    Rule,
    StudentEnrolled,
    StudentErased,
    StudentErasureOrdered,
    StudentLeft,
    StudentMoved,
)
from services.consent.views.access import Access, Allow, Deny, Live, access, clauses, may
from services.consent.views.clocks import clocks
from services.consent.views.family import family, requests
from services.consent.views.identity import Person, birthday, identity, named, of_age
from services.consent.views.students import Pupil, children, students
from tests.consent import family as f

CALENDAR = Calendar(first=date(2025, 9, 4), last=date(2026, 6, 18))
DIRECTORY = Directory(schools=(), agencies=(), calendar=CALENDAR)
KEY = "stu_1:agy_one"
CASE = "stu_1:g1"

left = StudentLeft(student=f.STUDENT, school="sch_one", reason="moved-away")
ordered = StudentErasureOrdered(student=f.STUDENT, by="usr_a", approver="usr_b")
erased = StudentErased(student=f.STUDENT, classes=(), keys=1, horizon=date(2025, 10, 27))
narrowed = ConsentNarrowed(
    **f.case, version=2, terms=f.narrower, rule=Rule.NO_BEATS_YES, signer=f.MOTHER
)
moved = StudentMoved(student=f.STUDENT, school="sch_two", waiting=("g1",))


def after(projection: Projection[Any], *events: Event, at: datetime = f.NOON) -> dict[str, Any]:
    return folded(projection, streamed(events, "student/stu_1", "consent", at))


def question(
    events: Sequence[Event],
    record_class: RecordClass = RecordClass.GRADES,
    purpose: Purpose = Purpose.REFERRAL,
    today: date = f.TODAY,
    **more: Any,
) -> Allow | Deny:
    pupil = after(students, *events).get(f.STUDENT)
    allowed = after(access, *events).get(KEY)
    return may(pupil, clauses(allowed), record_class, purpose, today, **more)


def test_what_was_allowed_may_be_seen_and_the_answer_names_the_permission() -> None:
    shard = streamed(f.open_history, "student/stu_1", "consent")[-1].position
    assert question(f.open_history) == Allow("g1", 1, str(shard))


DENIED: list[tuple[str, Sequence[Event], dict[str, Any]]] = [
    ("unknown-student", (), {}),
    ("unknown-student", (*f.open_history, ordered), {}),
    ("unknown-student", (*f.open_history, ordered, erased), {}),
    ("student-left", (*f.open_history, left), {}),
    ("no-grant", f.asked_history, {}),
    ("no-grant", f.open_history, {"holder": "agy_two"}),
    ("not-yet", f.open_history, {"today": f.TODAY - timedelta(days=1)}),
    ("revoked", f.ended_history, {}),
    ("expired", f.open_history, {"today": date(2026, 7, 1)}),
    ("expired", (*f.open_history, f.expired(Cause.EVENT)), {}),
    ("rights-passed", f.open_history, {"of_age": True}),
    ("rights-passed", (*f.open_history, RightsPassed(student=f.STUDENT)), {}),
    ("rights-passed", (*f.open_history, f.expired(Cause.RIGHTS_PASSED)), {}),
    ("class-not-covered", f.open_history, {"record_class": RecordClass.IEP}),
    ("class-not-covered", (*f.open_history, narrowed), {}),
    ("purpose-not-covered", f.open_history, {"purpose": Purpose.BILLING}),
]


@pytest.mark.parametrize(("code", "events", "asked"), DENIED)
def test_a_no_gives_its_first_reason(
    code: str, events: Sequence[Event], asked: dict[str, Any]
) -> None:
    assert question(events, **asked) == Deny(code)


def test_the_last_day_is_a_day_of_permission() -> None:
    assert isinstance(question(f.open_history, today=date(2026, 6, 30)), Allow)


def test_what_the_student_allowed_outlives_the_birthday() -> None:
    history = (*f.asked_history, f.granted(f.OWN))
    assert isinstance(question(history, of_age=True), Allow)


def test_of_several_permissions_the_one_that_lasts_longest_answers() -> None:
    opened = f.granted(f.MOTHER)
    shorter = f.terms(until=date(2025, 12, 1))
    others = (
        opened.model_copy(update={"grant": "a0", "terms": shorter}),
        opened.model_copy(update={"grant": "g0"}),
    )
    answer = question((*f.open_history, *others))
    assert isinstance(answer, Allow)
    assert answer.grant == "g0"


def test_a_permission_that_ended_hides_none_that_lives() -> None:
    longer = f.terms(until=date(2027, 6, 30))
    ended = f.granted(f.MOTHER, what=longer).model_copy(update={"grant": "g9"})
    over = f.revoked.model_copy(update={"grant": "g9"})
    assert isinstance(question((*f.open_history, ended, over)), Allow)
    answer = question((*f.open_history, ended, over), RecordClass.IEP)
    assert answer == Deny("class-not-covered")


def test_an_erased_family_leaves_no_trace_of_what_was_allowed() -> None:
    history = (*f.open_history, ordered, f.expired(Cause.ERASED), erased)
    assert after(access, *history) == {}
    assert after(students, *history) == {}


def test_the_family_reads_what_was_asked_said_and_allowed() -> None:
    story = after(family, *f.disputed_history)[CASE]
    assert (story.situation, story.requested, story.version) == ("disputed", f.wide, 0)
    assert [(said.signer, said.reply) for said in story.said] == [
        (f.MOTHER, Reply.NO),
        (f.FATHER, Reply.YES),
    ]
    story = after(family, *f.open_history, narrowed)[CASE]
    assert (story.situation, story.terms, story.version) == ("open", f.narrower, 2)
    assert story.position == "consent:15:7"


@pytest.mark.parametrize(
    ("events", "situation", "by"),
    [
        (f.ended_history, "ended", f.MOTHER),
        ((*f.open_history, f.expired(Cause.DATE)), "ended", "date"),
        ((*f.asked_history, f.withdrawn), "ended", "asked-no-more"),
        (f.declined_history, "declined", None),
        ((*f.declined_history, f.mother_yes), "asked", None),
        ((*f.disputed_history, f.mother_yes), "asked", None),
    ],
)
def test_the_family_reads_how_it_ended(
    events: Sequence[Event], situation: str, by: str | None
) -> None:
    story = after(family, *events)[CASE]
    assert (story.situation, story.ended_by) == (situation, by)


def test_a_school_sees_who_waits_until_it_is_settled() -> None:
    row = after(requests, *f.asked_history)[CASE]
    assert (row.school, row.recipient, row.situation) == ("sch_one", "agy_one", "asked")
    assert after(requests, *f.disputed_history)[CASE].situation == "disputed"
    assert after(requests, *f.open_history) == {}
    assert after(requests, *f.asked_history, f.withdrawn) == {}


def test_a_request_moves_to_the_new_school_with_the_student() -> None:
    assert after(requests, *f.asked_history, moved)[CASE].school == "sch_two"
    assert after(students, *f.asked_history, moved)[f.STUDENT].school == "sch_two"


def test_guardians_come_and_go_with_their_authority() -> None:
    pupil: Pupil = after(students, *f.home)[f.STUDENT]
    assert [kin.guardian for kin in pupil.guardians] == [f.MOTHER, f.FATHER]
    ended = GuardianEnded(student=f.STUDENT, guardian=f.MOTHER)
    pupil = after(students, *f.home, ended)[f.STUDENT]
    assert [kin.guardian for kin in pupil.guardians] == [f.FATHER]


def test_a_guardian_finds_the_own_children() -> None:
    found = after(children, *f.home)
    assert found[f.MOTHER].students == (f.STUDENT,)
    ended = GuardianEnded(student=f.STUDENT, guardian=f.MOTHER)
    assert after(children, *f.home, ended).keys() == {f.FATHER}


def clock(*events: Event) -> tuple[str, str, int] | None:
    row = after(clocks(DIRECTORY), *events).get(CASE)
    return (row.kind, CALENDAR.local(row.due).isoformat(), row.entered) if row else None


def reminded(kind: str) -> FamilyReminded:
    return FamilyReminded(student=f.STUDENT, grant="g1", kind=kind, on=f.TODAY)


def test_a_family_is_reminded_after_3_and_6_school_days_and_asked_no_more_after_20() -> None:
    first, again = reminded("remind-3"), reminded("remind-6")
    assert clock(*f.asked_history) == ("remind-3", "2025-09-19", 4)
    assert clock(*f.asked_history, first) == ("remind-6", "2025-09-24", 4)
    assert clock(*f.asked_history, first, reminded("by-hand")) == ("remind-6", "2025-09-24", 4)
    assert clock(*f.asked_history, first, again) == ("lapse-20", "2025-10-14", 4)


def test_a_dispute_has_a_clock_of_its_own() -> None:
    assert clock(*f.disputed_history) == ("disputed-2", "2025-09-18", 8)
    after_it = clock(*f.disputed_history, reminded("disputed-2"))
    assert after_it == ("lapse-20", "2025-10-14", 4)


def test_what_is_given_runs_until_its_last_day_is_over() -> None:
    assert clock(*f.open_history) == ("expire", "2026-07-01", 6)
    assert clock(*f.ended_history) is None
    assert clock(*f.asked_history, f.withdrawn) is None


def opened(given: str, family_name: str, born: date, student: str = f.STUDENT) -> StudentEnrolled:
    names = Names(given=given, family=family_name)
    return StudentEnrolled(
        student=student, school="sch_one", names=names, birth_date=born, roster_id="S-1"
    )


ana = opened("Ana María", "López Díaz", date(2012, 5, 4))


def test_a_student_is_found_by_the_beginning_of_any_name() -> None:
    people = list(after(identity, ana).values())
    for words in ("ana", "LÓPEZ ana", "maría", "Díaz"):
        assert [person.student for person in named(people, words, None)] == [f.STUDENT], words
    assert list(named(people, "ana smith", None)) == []


def test_a_school_finds_its_own_students_only() -> None:
    people = list(after(identity, ana).values())
    assert list(named(people, "ana", frozenset({"sch_two"}))) == []
    assert len(list(named(people, "ana", frozenset({"sch_one"})))) == 1


def test_who_left_or_was_erased_is_not_found() -> None:
    assert list(named(after(identity, ana, left).values(), "ana", None)) == []
    assert after(identity, ana, ordered) == {}


def test_names_whose_key_is_gone_are_not_found() -> None:
    assert list(named(after(identity, f.enrolled).values(), "ana", None)) == []


def test_who_is_of_age_is_known_on_the_day() -> None:
    person: Person = after(identity, ana)[f.STUDENT]
    assert not of_age(person, date(2030, 5, 3))
    assert of_age(person, date(2030, 5, 4))
    assert not of_age(None, date(2030, 5, 4))
    assert not of_age(after(identity, f.enrolled)[f.STUDENT], date(2030, 5, 4))


def test_a_birthday_on_the_29th_of_february_is_kept_on_the_1st_of_march() -> None:
    assert birthday(date(2012, 2, 29), 18) == date(2030, 3, 1)
    assert birthday(date(2012, 2, 29), 20) == date(2032, 2, 29)


def test_documents_survive_being_written_down() -> None:
    for projection in (students, access, family, requests, clocks(DIRECTORY)):
        for document in after(projection, *f.open_history, narrowed).values():
            written = document.model_dump(mode="json")
            assert projection.view.model_validate(written) == document


def test_may_is_answered_from_two_small_documents() -> None:
    live = Live(
        grant="g1",
        version=1,
        holder="district",
        classes=f.wide.classes,
        purposes=f.wide.purposes,
        starts=f.TODAY,
        until=f.wide.until,
        own=False,
        position="consent:15:6",
    )
    wanted = Access(student=f.STUDENT, recipient="agy_one", grants=(live,))
    assert after(access, *f.open_history) == {KEY: wanted}


def test_the_end_of_a_day_is_the_district_s_midnight() -> None:
    row = after(clocks(DIRECTORY), *f.open_history)[CASE]
    assert row.due == datetime(2026, 7, 1, 4, 0, tzinfo=UTC)
