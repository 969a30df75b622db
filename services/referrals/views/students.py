"""Whom a referral is about: school, standing and guardians from consent's log, open referrals ours.

`students` is for the edge; `open_referrals` finds duplicates; `enrolments` is a policy's memory.
"""

from collections.abc import Iterable
from datetime import date
from typing import Any, Literal

from libs.common.messages import Identity, Recorded, View
from libs.common.shapes import Projection
from services.consent.events import (
    Authority,
    Contact,
    GuardianAdded,
    GuardianChanged,
    GuardianEnded,
    Names,
    RightsPassed,
    StudentChanged,
    StudentEnrolled,
    StudentErased,
    StudentErasureOrdered,
    StudentLeft,
    StudentMoved,
)
from services.referrals.events import (
    About,
    ConcernRaised,
    OutcomeAcknowledged,
    ReferralClosed,
    ReferralEvent,
    ReferralMoved,
    ReferralReopened,
    ReferralRouted,
    ReferralWithdrawn,
)

Standing = Literal["enrolled", "left", "erased"]
SCHOOLS_MAX = 50


class Kin(View):
    guardian: str
    names: Identity[Names]
    relation: Identity[str]
    contact: Identity[Contact | None] = None
    decides: bool
    starts: date | None = None
    until: date | None = None

    def decides_on(self, day: date) -> bool:
        began = self.starts is None or self.starts <= day
        return self.decides and began and (self.until is None or day <= self.until)


class Student(View):
    """Names and contacts are sealed; they leave by the packet only."""

    student: str
    school: str
    standing: Standing = "enrolled"
    adult: bool = False
    names: Identity[Names | None] = None
    birth_date: Identity[date | None] = None
    grade: Identity[str | None] = None
    language: Identity[str | None] = None
    kin: dict[str, Kin]


Roster = (
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


def _student_keys(entry: Recorded[Any]) -> Iterable[str]:
    return (entry.event.student,)


def _student(known: Student | None, entry: Recorded[Any], _: str) -> Student | None:
    event: Roster = entry.event
    match event:
        case StudentEnrolled():
            return Student.model_construct(
                student=event.student,
                school=event.school,
                adult=known.adult if known else False,
                kin=known.kin if known else {},
                **_named(event),
            )
        case StudentErasureOrdered() | StudentErased():
            school = known.school if known else ""
            return Student(student=event.student, school=school, standing="erased", kin={})
        case _:
            return known.model_copy(update=_changed(known, event)) if known else None


def _changed(known: Student, event: Roster) -> dict[str, object]:
    match event:
        case StudentChanged():
            return _named(event)
        case StudentMoved():
            return {"school": event.school}
        case StudentLeft():
            return {"standing": "left"}
        case GuardianAdded() | GuardianChanged():
            return {"kin": {**known.kin, event.guardian: _kin(event)}}
        case GuardianEnded():
            return {"kin": {ref: kin for ref, kin in known.kin.items() if ref != event.guardian}}
        case RightsPassed():
            return {"adult": True}
        case StudentEnrolled() | StudentErasureOrdered() | StudentErased():
            return {}


def _named(event: StudentEnrolled | StudentChanged) -> dict[str, Any]:
    names = ("names", "birth_date", "grade", "language")
    return {name: getattr(event, name) for name in names}


def _kin(event: GuardianAdded | GuardianChanged) -> Kin:
    return Kin.model_construct(
        guardian=event.guardian,
        names=event.names,
        relation=event.relation,
        contact=event.contact,
        decides=event.authority == Authority.FULL,
        starts=event.starts,
        until=event.until,
    )


class Open(View):
    """A student's open referrals: which, and for which service."""

    student: str
    referrals: dict[str, str | None]


OpenEvent = (
    ConcernRaised
    | ReferralRouted
    | ReferralReopened
    | ReferralClosed
    | ReferralWithdrawn
    | OutcomeAcknowledged
)


def _open_keys(entry: Recorded[Any]) -> Iterable[str]:
    return (entry.event.student,)


def _open(known: Open | None, entry: Recorded[Any], _: str) -> Open | None:
    event: OpenEvent = entry.event
    referrals = dict(known.referrals) if known else {}
    match event:
        case ConcernRaised() | ReferralReopened():
            referrals[event.referral] = None
        case ReferralRouted():
            referrals[event.referral] = event.service
        case ReferralClosed() | ReferralWithdrawn() | OutcomeAcknowledged():
            referrals.pop(event.referral, None)
    return Open(student=event.student, referrals=dict(sorted(referrals.items())))


class Enrolment(View):
    """Where the roster says a student is, and where their open referrals believe it.

    `schools` are all that the roster has named, oldest first: a referral that names one of which
    the roster has not spoken yet is ahead of the roster, not behind.
    """

    student: str
    schools: tuple[str, ...] = ()
    gone: Literal["student-left", "erased"] | None = None
    referrals: dict[str, str]


Enrolling = StudentEnrolled | StudentMoved | StudentLeft | StudentErasureOrdered | StudentErased
Placed = (
    ConcernRaised
    | ReferralReopened
    | ReferralMoved
    | ReferralClosed
    | ReferralWithdrawn
    | OutcomeAcknowledged
)


def _enrolment_keys(entry: Recorded[Any]) -> Iterable[str]:
    return (entry.event.student,)


def _enrolment(known: Enrolment | None, entry: Recorded[Any], _: str) -> Enrolment | None:
    event: Enrolling | Placed = entry.event
    doc = known or Enrolment.model_construct(student=event.student, referrals={})
    if isinstance(event, About):
        return doc.model_copy(update={"referrals": _believed(doc.referrals, event)})
    match event:
        case StudentEnrolled() | StudentMoved():
            schools = (*doc.schools, event.school)[-SCHOOLS_MAX:]
            gone = doc.gone if isinstance(event, StudentMoved) else None
            return doc.model_copy(update={"schools": schools, "gone": gone})
        case StudentLeft():
            return doc.model_copy(update={"gone": "student-left"})
        case StudentErasureOrdered() | StudentErased():
            return doc.model_copy(update={"gone": "erased"})


def _believed(referrals: dict[str, str], event: ReferralEvent) -> dict[str, str]:
    others = {ref: school for ref, school in referrals.items() if ref != event.referral}
    if isinstance(event, ConcernRaised | ReferralReopened | ReferralMoved):
        others[event.referral] = event.school
    return dict(sorted(others.items()))


students = Projection[Student](
    name="students",
    version=1,
    logs=("consent",),
    view=Student,
    keys=_student_keys,
    fold=_student,
    hears=Roster,
    gates=True,
)

open_referrals = Projection[Open](
    name="open",
    version=1,
    logs=("referrals",),
    view=Open,
    keys=_open_keys,
    fold=_open,
    hears=OpenEvent,
)

enrolments = Projection[Enrolment](
    name="enrolments",
    version=1,
    logs=("consent", "referrals"),
    view=Enrolment,
    keys=_enrolment_keys,
    fold=_enrolment,
    hears=Enrolling | Placed,
)
