"""What a delta does to a student's record, in every situation; what it does not say stays."""

from typing import Any

import pytest

from libs.common.testing import Scenario, sealed
from services.consent.decider import consent
from services.consent.decider.commands import (
    GUARDIANS_MAX,
    ChangedGuardian,
    TakeChanges,
)
from services.consent.events import (
    Authority,
    ConsentEvent,
    GuardianAdded,
    GuardianChanged,
    GuardianEnded,
    RequestReaddressed,
    Source,
    StudentChanged,
    StudentEnrolled,
    StudentErasureOrdered,
    StudentLeft,
    StudentMoved,
)
from tests.consent import family as f

given = Scenario(consent)
NEW = sealed("identity", "names", "new")
NEXT_GRADE = sealed("identity", "grade", "8")
BORN = sealed("identity", "birth_date", "2011")

left = StudentLeft(student=f.STUDENT, school="sch_one", reason="roster-deleted")
erased = StudentErasureOrdered(student=f.STUDENT, by="usr_registrar", approver="usr_other")
row: dict[str, Any] = {"names": NEW, "grade": NEXT_GRADE, **f.facts}
known = {**f.about, "names": NEW, "grade": NEXT_GRADE}
changed = StudentChanged(student=f.STUDENT, **known)
moved = StudentMoved(student=f.STUDENT, school="sch_two")
by_roster = f.mother_added.model_copy(update={"source": Source.ROSTER})
ROSTERED = (f.enrolled, by_roster, f.father_added)

NOTHING = TakeChanges(**f.facts)
ROW = TakeChanges(**row)
MOVE = TakeChanges(school="sch_two", **f.facts)
BOTH = TakeChanges(school="sch_two", **row)
WHOLE = TakeChanges(school="sch_two", roster_id=f.about["roster_id"], **row)
BIRTH = TakeChanges(birth_date=BORN, **f.facts)

CELLS: list[tuple[tuple[ConsentEvent, ...], TakeChanges, str | tuple[ConsentEvent, ...]]] = [
    ((), NOTHING, "unknown-student"),
    ((), ROW, "unknown-student"),
    ((), MOVE, "unknown-student"),
    (
        (),
        WHOLE,
        (
            StudentEnrolled(
                student=f.STUDENT,
                school="sch_two",
                names=NEW,
                grade=NEXT_GRADE,
                roster_id=f.about["roster_id"],
            ),
        ),
    ),
    (f.home, NOTHING, ()),
    (f.home, ROW, (changed,)),
    (f.home, MOVE, (moved,)),
    (f.home, BOTH, (changed, moved)),
    (f.home, BIRTH, (StudentChanged(student=f.STUDENT, **{**f.about, "birth_date": BORN}),)),
    ((*f.home, left), NOTHING, ()),
    ((*f.home, left), ROW, (changed,)),
    (
        (*f.home, left),
        MOVE,
        (StudentEnrolled(student=f.STUDENT, school="sch_two", **f.about),),
    ),
    ((*f.home, left), BOTH, (StudentEnrolled(student=f.STUDENT, school="sch_two", **known),)),
    ((*f.home, erased), NOTHING, "erased"),
    ((*f.home, erased), WHOLE, "erased"),
]


@pytest.mark.parametrize(("history", "command", "wanted"), CELLS)
def test_every_cell_of_the_table(history: Any, command: TakeChanges, wanted: Any) -> None:
    asked = given(*history).when(command)
    if isinstance(wanted, str):
        asked.refused(wanted)
    else:
        asked.then(*wanted)


def guardian(who: str, **more: Any) -> TakeChanges:
    return TakeChanges(guardians=(ChangedGuardian(guardian=who, **more),), **f.facts)


def test_a_guardian_changes_as_far_as_the_delta_says() -> None:
    renamed = GuardianChanged(
        student=f.STUDENT, guardian=f.MOTHER, source=Source.ROSTER, **{**f.kin(), "names": NEW}
    )
    given(*ROSTERED).when(guardian(f.MOTHER, names=NEW)).then(renamed)
    given(*ROSTERED).when(guardian(f.MOTHER)).then()
    demoted = GuardianChanged(
        student=f.STUDENT, guardian=f.MOTHER, source=Source.ROSTER, **f.kin(Authority.NONE)
    )
    none = guardian(f.MOTHER, authority=Authority.NONE)
    given(*ROSTERED).when(none).then(demoted)


def test_an_authority_that_was_settled_by_hand_stays() -> None:
    none = guardian(f.FATHER, authority=Authority.NONE)
    given(*ROSTERED).when(none).then()
    given(*ROSTERED).when(TakeChanges(ended=(f.FATHER,), **f.facts)).then()


def test_a_guardian_ends_whoever_is_left_is_asked_and_a_stranger_is_nobody() -> None:
    ended = TakeChanges(ended=(f.MOTHER, "usr_nobody"), **f.facts)
    gone = GuardianEnded(student=f.STUDENT, guardian=f.MOTHER)
    given(*ROSTERED).when(ended).then(gone)
    asked = RequestReaddressed(**f.case, asked=(f.FATHER,))
    given(*ROSTERED, f.requested).when(ended).then(gone, asked)


def test_somebody_new_needs_all_that_is_known_of_a_guardian() -> None:
    about = {name: value for name, value in f.kin().items() if name != "authority"}
    given(f.enrolled).when(guardian("usr_aunt", **about)).then()
    added = GuardianAdded(student=f.STUDENT, guardian="usr_aunt", source=Source.ROSTER, **f.kin())
    given(f.enrolled).when(guardian("usr_aunt", **f.kin())).then(added)


def test_a_record_holds_so_many_guardians() -> None:
    many = tuple(
        by_roster.model_copy(update={"guardian": f"usr_{n}"}) for n in range(GUARDIANS_MAX)
    )
    one_more = guardian("usr_aunt", **f.kin())
    given(f.enrolled, *many).when(one_more).refused("too-many-guardians")
    instead = one_more.model_copy(update={"ended": ("usr_0",)})
    given(f.enrolled, *many).when(instead).then(
        GuardianAdded(student=f.STUDENT, guardian="usr_aunt", source=Source.ROSTER, **f.kin()),
        GuardianEnded(student=f.STUDENT, guardian="usr_0"),
    )
