"""The promises about a student's record and guardians, one test each."""

from datetime import date
from typing import Any

import pytest

from libs.common.testing import Scenario, sealed
from services.consent.decider import consent
from services.consent.decider.commands import (
    GUARDIANS_MAX,
    AddGuardian,
    ChangeGuardian,
    EndGuardian,
    Enroll,
    NoteErased,
    OrderErasure,
    PassRights,
    RecordLeaving,
    RosterGuardian,
    TakeRoster,
)
from services.consent.events import (
    Authority,
    Cause,
    ConsentEvent,
    GuardianAdded,
    GuardianChanged,
    GuardianEnded,
    RequestWithdrawn,
    RightsPassed,
    Source,
    StudentChanged,
    StudentErased,
    StudentErasureOrdered,
    StudentLeft,
    StudentMoved,
)
from tests.consent import family as f

given = Scenario(consent)

enroll = Enroll(school="sch_one", **f.about, **f.facts)
leave = RecordLeaving(reason="moved-away", **f.facts)
order = OrderErasure(approver="usr_other", approval="apr_1", approved=True, **f.facts)
noted = NoteErased(classes=("identity",), keys=1, horizon=date(2025, 10, 27), **f.facts)
add = AddGuardian(
    guardian=f.MOTHER, subject=sealed("identity", "subject", "G-1"), **f.kin(), **f.facts
)
change = ChangeGuardian(guardian=f.MOTHER, **f.kin(Authority.NONE), **f.facts)
end = EndGuardian(guardian=f.MOTHER, **f.facts)
pass_rights = PassRights(of_age=True, **f.facts)
roster = TakeRoster(
    school="sch_one",
    guardians=(RosterGuardian(guardian=f.MOTHER, **f.kin()),),
    **f.about,
    **f.facts,
)

left = StudentLeft(student=f.STUDENT, school="sch_one", reason="moved-away")
ordered = StudentErasureOrdered(student=f.STUDENT, by=f.registrar.sub, approver="usr_other")
erased = StudentErased(student=f.STUDENT, classes=("identity",), keys=1, horizon=date(2025, 10, 27))
passed = RightsPassed(student=f.STUDENT)
mother_changed = GuardianChanged(
    student=f.STUDENT, guardian=f.MOTHER, source=Source.HAND, **f.kin(Authority.NONE)
)
mother_ended = GuardianEnded(student=f.STUDENT, guardian=f.MOTHER)
mother_listed = GuardianAdded(student=f.STUDENT, guardian=f.MOTHER, source=Source.ROSTER, **f.kin())
Events = tuple[ConsentEvent, ...]
Wanted = str | Events

SITUATIONS: dict[str, Events] = {
    "unknown": (),
    "enrolled": f.home,
    "left": (*f.home, left),
    "erased": (*f.home, ordered),
}
WANTED: list[tuple[Any, tuple[Wanted, Wanted, Wanted, Wanted]]] = [
    (enroll, ((f.enrolled,), (), (f.enrolled,), "erased")),
    (roster, ((f.enrolled, mother_listed), (), (f.enrolled,), "erased")),
    (leave, ("unknown-student", (left,), (), ())),
    (order, ("unknown-student", (ordered,), (ordered,), ())),
    (noted, ("unknown-student", (), (), (erased,))),
    (add, ("unknown-student", (), (), "erased")),
    (change, ("unknown-student", (mother_changed,), (mother_changed,), "erased")),
    (end, ("unknown-student", (mother_ended,), (mother_ended,), "erased")),
    (pass_rights, ((), (passed,), (passed,), ())),
    (f.ask, ("unknown-student", (f.requested,), "student-left", "erased")),
    (f.less, ("unknown-student", "unknown-grant", "student-left", "erased")),
    (f.say_no, ("unknown-student", "unknown-grant", "unknown-grant", "unknown-grant")),
    (f.take_all_back, ("unknown-student", (), (), ())),
]
CELLS = [
    pytest.param(history, command, wanted, id=f"{type(command).__name__}-{name}")
    for command, row in WANTED
    for (name, history), wanted in zip(SITUATIONS.items(), row, strict=True)
]


@pytest.mark.parametrize(("history", "command", "wanted"), CELLS)
def test_every_cell_of_the_table(history: Events, command: Any, wanted: Wanted) -> None:
    by = f.mother if command in (f.less, f.say_no, f.take_all_back) else f.registrar
    when = given(*history).when(command, by=by)
    if isinstance(wanted, str):
        when.refused(wanted)
    else:
        when.then(*wanted)


def test_a_change_on_the_roster_is_one_event_and_a_move_another() -> None:
    renamed = {**f.about, "names": sealed("identity", "names", "anna")}
    command = Enroll(school="sch_two", **renamed, **f.facts)
    moved = StudentMoved(student=f.STUDENT, school="sch_two", waiting=("g1",))
    given(*f.asked_history).when(command).then(StudentChanged(student=f.STUDENT, **renamed), moved)


def test_everything_ends_when_a_student_leaves() -> None:
    waiting = f.requested.model_copy(update={"grant": "g2"})
    gone = RequestWithdrawn(**{**f.ends, "grant": "g2"}, cause=Cause.LEFT)
    given(*f.open_history, waiting).when(leave).then(left, f.expired(Cause.LEFT), gone)


def test_who_comes_back_finds_guardians_and_no_permission() -> None:
    history = (*f.open_history, left, f.expired(Cause.LEFT), f.enrolled)
    given(*history).when(add).then()
    new_words = f.say_yes.model_copy(update={"proof": f.proof(assurance="high")})
    given(*history).when(new_words, by=f.mother).refused("ended")


def test_an_erasure_takes_two_persons() -> None:
    alone = order.model_copy(update={"approver": f.registrar.sub})
    given(*f.home).when(alone, by=f.registrar).refused("same-person")
    unheard = order.model_copy(update={"approved": False})
    given(*f.home).when(unheard, by=f.registrar).refused("not-approved")


def test_a_record_on_hold_is_not_erased() -> None:
    held = order.model_copy(update={"on_hold": True})
    given(*f.home).when(held, by=f.registrar).refused("record-on-hold")


def test_everything_ends_when_a_record_is_erased() -> None:
    given(*f.open_history).when(order, by=f.registrar).then(ordered, f.expired(Cause.ERASED))


def test_that_the_keys_are_gone_is_noted_once() -> None:
    other = noted.model_copy(update={"keys": 0})
    given(*f.home, ordered, erased).when(other).then()


def test_what_guardians_allowed_ends_when_the_student_comes_of_age() -> None:
    given(*f.open_history).when(pass_rights).then(passed, f.expired(Cause.RIGHTS_PASSED))


def test_what_the_student_allowed_stays() -> None:
    history = (*f.asked_history, f.granted(f.OWN))
    given(*history).when(pass_rights).then(passed)


def test_no_rights_pass_before_the_birthday() -> None:
    given(*f.home).when(PassRights(of_age=False, **f.facts)).then()


def test_nobody_is_changed_who_is_not_known() -> None:
    given(f.enrolled).when(change).refused("unknown-guardian")


def test_a_record_holds_so_many_guardians() -> None:
    history: list[ConsentEvent] = [
        f.enrolled,
        *(f.mother_added.model_copy(update={"guardian": f"usr_{n}"}) for n in range(GUARDIANS_MAX)),
    ]
    given(*history).when(add).refused("too-many-guardians")


def test_who_is_gone_from_the_roster_is_ended() -> None:
    nobody = roster.model_copy(update={"guardians": ()})
    given(f.enrolled, mother_listed).when(nobody).then(mother_ended)


def test_no_roster_changes_what_was_settled_by_hand() -> None:
    history = (f.enrolled, f.mother_added, mother_changed)
    given(*history).when(roster).then()
    nobody = roster.model_copy(update={"guardians": ()})
    given(*history).when(nobody).then()


def test_a_roster_keeps_names_current_beside_a_court_order() -> None:
    history = (f.enrolled, f.mother_added, mother_changed)
    renamed = {**f.kin(), "names": sealed("identity", "names", "eve")}
    entry = RosterGuardian(guardian=f.MOTHER, **renamed)
    wanted = GuardianChanged(
        student=f.STUDENT,
        guardian=f.MOTHER,
        source=Source.HAND,
        **{**renamed, "authority": Authority.NONE},
    )
    given(*history).when(roster.model_copy(update={"guardians": (entry,)})).then(wanted)
