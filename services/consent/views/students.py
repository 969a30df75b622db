"""Who is this student to the platform: school, situation, guardians and their authority."""

from collections.abc import Iterable
from datetime import date
from typing import Any, Literal

from libs.common.messages import Identity, Recorded, View
from libs.common.shapes import Projection
from services.consent.events import (
    Authority,
    GuardianAdded,
    GuardianChanged,
    GuardianEnded,
    Names,
    RightsPassed,
    Source,
    StudentChanged,
    StudentEnrolled,
    StudentErased,
    StudentErasureOrdered,
    StudentLeft,
    StudentMoved,
)


class Kin(View):
    """One guardian. Names and relation are sealed; the rest are clear."""

    guardian: str
    names: Identity[Names]
    relation: Identity[str]
    authority: Authority
    starts: date | None = None
    until: date | None = None
    source: Source


class Pupil(View):
    """`situation` erasing: ordered, the keys are about to go; then the document goes."""

    student: str
    school: str
    situation: Literal["enrolled", "left", "erasing"] = "enrolled"
    names: Identity[Names | None] = None
    grade: Identity[str | None] = None
    language: Identity[str | None] = None
    guardians: tuple[Kin, ...] = ()
    passed: bool = False


StudentEvent = (
    StudentEnrolled
    | StudentChanged
    | StudentMoved
    | StudentLeft
    | StudentErasureOrdered
    | StudentErased
    | GuardianAdded
    | GuardianChanged
    | GuardianEnded
    | RightsPassed
)


def _keys(entry: Recorded[Any]) -> Iterable[str]:
    return (entry.event.student,)


def _fold(pupil: Pupil | None, entry: Recorded[Any], _: str) -> Pupil | None:
    event: StudentEvent = entry.event
    if isinstance(event, StudentEnrolled):
        return _enrolled(pupil, event)
    if pupil is None or isinstance(event, StudentErased):
        return None
    return _changed(pupil, event)


def _enrolled(pupil: Pupil | None, event: StudentEnrolled) -> Pupil:
    return Pupil.model_construct(
        student=event.student,
        school=event.school,
        names=event.names,
        grade=event.grade,
        language=event.language,
        guardians=pupil.guardians if pupil else (),
        passed=pupil.passed if pupil else False,
    )


def _changed(
    pupil: Pupil,
    event: StudentChanged
    | StudentMoved
    | StudentLeft
    | StudentErasureOrdered
    | GuardianAdded
    | GuardianChanged
    | GuardianEnded
    | RightsPassed,
) -> Pupil:
    match event:
        case StudentChanged(names=names, grade=grade, language=language):
            about = {"names": names, "grade": grade, "language": language}
            return pupil.model_copy(update=about)
        case StudentMoved(school=school):
            return pupil.model_copy(update={"school": school})
        case StudentLeft():
            return pupil.model_copy(update={"situation": "left"})
        case StudentErasureOrdered():
            return Pupil(student=pupil.student, school=pupil.school, situation="erasing")
        case GuardianAdded() | GuardianChanged():
            others = _without(pupil, event.guardian)
            return pupil.model_copy(update={"guardians": (*others, _kin(event))})
        case GuardianEnded(guardian=guardian):
            return pupil.model_copy(update={"guardians": _without(pupil, guardian)})
        case RightsPassed():
            return pupil.model_copy(update={"passed": True})


def _without(pupil: Pupil, guardian: str) -> tuple[Kin, ...]:
    return tuple(kin for kin in pupil.guardians if kin.guardian != guardian)


def _kin(event: GuardianAdded | GuardianChanged) -> Kin:
    return Kin.model_construct(
        guardian=event.guardian,
        names=event.names,
        relation=event.relation,
        authority=event.authority,
        starts=event.starts,
        until=event.until,
        source=event.source,
    )


students = Projection(
    name="students",
    version=1,
    logs=("consent",),
    view=Pupil,
    keys=_keys,
    fold=_fold,
    hears=StudentEvent,
    indexes=(("school", "situation", "student"), ("situation", "student")),
    gates=True,
)


class Children(View):
    """The students of whom somebody is a guardian; sorted, for siblings' shards have no order."""

    guardian: str
    students: tuple[str, ...]


def _guardian_keys(entry: Recorded[Any]) -> Iterable[str]:
    return (entry.event.guardian,)


def _fold_children(known: Children | None, entry: Recorded[Any], guardian: str) -> Children | None:
    event: GuardianAdded | GuardianEnded = entry.event
    others = tuple(ref for ref in known.students if ref != event.student) if known else ()
    if isinstance(event, GuardianAdded):
        return Children.model_construct(
            guardian=guardian, students=tuple(sorted((*others, event.student)))
        )
    return Children.model_construct(guardian=guardian, students=others) if others else None


children = Projection(
    name="children",
    version=1,
    logs=("consent",),
    view=Children,
    keys=_guardian_keys,
    fold=_fold_children,
    hears=GuardianAdded | GuardianEnded,
    gates=True,
)
