"""A student comes, changes school, leaves, comes of age, is erased."""

from services.consent.decider.authority import following
from services.consent.decider.commands import (
    Enroll,
    NoteErased,
    OrderErasure,
    PassRights,
    RecordLeaving,
    TakeRoster,
)
from services.consent.decider.ending import all_end
from services.consent.decider.guardians import listed_guardians
from services.consent.decider.refusals import refused
from services.consent.decider.states import (
    NO_GUARDIANS,
    Asked,
    Cases,
    Disputed,
    Enrolled,
    Erased,
    File,
    Left,
    Open,
    Student,
    Unknown,
    own_name,
)
from services.consent.events import (
    Cause,
    ConsentEvent,
    RightsPassed,
    StudentChanged,
    StudentEnrolled,
    StudentErased,
    StudentErasureOrdered,
    StudentLeft,
    StudentMoved,
)


def enroll(state: Student, command: Enroll | TakeRoster) -> list[ConsentEvent]:
    match state:
        case Unknown() | Left():
            return [
                StudentEnrolled.model_construct(
                    student=command.student,
                    school=command.school,
                    names=command.names,
                    birth_date=command.birth_date,
                    grade=command.grade,
                    language=command.language,
                    roster_id=command.roster_id,
                )
            ]
        case Enrolled(file=file, cases=cases):
            return [*changed(file, command), *_moved(file, cases, command)]
        case Erased():
            raise refused("erased")


def take_roster(state: Student, command: TakeRoster) -> list[ConsentEvent]:
    """The student and the guardians, one after the other in one commit."""
    match state:
        case Unknown():
            known = NO_GUARDIANS
        case Enrolled(file=file) | Left(file=file):
            known = file.guardians
        case Erased():
            raise refused("erased")
    guardians = listed_guardians(command.student, known, command.guardians)
    return following(state, [*enroll(state, command), *guardians], command.today)


def record_leaving(state: Student, command: RecordLeaving) -> list[ConsentEvent]:
    match state:
        case Unknown():
            raise refused("unknown-student")
        case Enrolled(file=file, cases=cases):
            left = StudentLeft(student=file.student, school=file.school, reason=command.reason)
            return [left, *all_end(cases.values(), file.student, Cause.LEFT)]
        case Left() | Erased():
            return []


def order_erasure(state: Student, command: OrderErasure) -> list[ConsentEvent]:
    match state:
        case Unknown():
            raise refused("unknown-student")
        case Enrolled(file=file, cases=cases) | Left(file=file, cases=cases):
            by = command.stamp.actor.sub
            if by == command.approver:
                raise refused("same-person")
            if not command.approved:
                raise refused("not-approved")
            if command.on_hold:
                raise refused("record-on-hold")
            ordered = StudentErasureOrdered(student=file.student, by=by, approver=command.approver)
            return [ordered, *all_end(cases.values(), file.student, Cause.ERASED)]
        case Erased():
            return []


def note_erased(state: Student, command: NoteErased) -> list[ConsentEvent]:
    match state:
        case Unknown():
            raise refused("unknown-student")
        case Enrolled() | Left():
            return []
        case Erased(student=student, noted=noted):
            if noted:
                return []
            erased = StudentErased(
                student=student,
                classes=command.classes,
                keys=command.keys,
                horizon=command.horizon,
            )
            return [erased]


def pass_rights(state: Student, command: PassRights) -> list[ConsentEvent]:
    """What guardians allowed ends, and what they were asked is the student's to answer; what the
    student allowed stays."""
    match state:
        case Unknown() | Erased():
            return []
        case Enrolled(file=file, cases=cases) | Left(file=file, cases=cases):
            if file.passed or not command.of_age:
                return []
            passed = RightsPassed(student=file.student)
            own = own_name(file.student)
            given = [c for c in cases.values() if isinstance(c, Open) and c.signer != own]
            ended = all_end(given, file.student, Cause.RIGHTS_PASSED)
            return following(state, [passed, *ended], command.today)


def changed(file: File, command: Enroll | TakeRoster) -> list[ConsentEvent]:
    changed = StudentChanged.model_construct(
        student=file.student,
        names=command.names,
        birth_date=command.birth_date,
        grade=command.grade,
        language=command.language,
        roster_id=command.roster_id,
    )
    known = StudentChanged.model_construct(
        student=file.student,
        names=file.names,
        birth_date=file.birth_date,
        grade=file.grade,
        language=file.language,
        roster_id=file.roster_id,
    )
    return [] if changed == known else [changed]


def _moved(file: File, cases: Cases, command: Enroll | TakeRoster) -> list[ConsentEvent]:
    if file.school == command.school:
        return []
    waiting = sorted(g for g, case in cases.items() if isinstance(case, Asked | Disputed))
    moved = StudentMoved(student=file.student, school=command.school, waiting=tuple(waiting))
    return [moved]
