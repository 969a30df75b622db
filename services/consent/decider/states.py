"""The situations a student's stream can be in, and what is remembered in each."""

from collections.abc import Mapping
from datetime import date

from libs.common.messages import Identity, Record, State
from services.consent.events import Authority, Contact, Names, Proof, Reply, Rule, Source, Terms


class Guardian(State):
    """An adult of the student, with the authority that holds now."""

    names: Identity[Names]
    relation: Identity[str]
    contact: Identity[Contact | None] = None
    authority: Authority
    starts: date | None = None
    until: date | None = None
    order: Record[str | None] = None
    source: Source

    def decides_on(self, day: date) -> bool:
        return (
            self.authority is Authority.FULL
            and (self.starts is None or self.starts <= day)
            and (self.until is None or day <= self.until)
        )


Guardians = Mapping[str, Guardian]
NO_GUARDIANS: Guardians = {}


class File(State):
    """What is known of a student; the personal part sealed."""

    student: str
    school: str
    names: Identity[Names]
    birth_date: Identity[date | None] = None
    grade: Identity[str | None] = None
    language: Identity[str | None] = None
    roster_id: Identity[str]
    guardians: Guardians = NO_GUARDIANS
    passed: bool = False


class Answer(State):
    reply: Reply
    terms: Terms
    proof: Proof


class Request(State):
    """What was asked, and every answer so far by who gave it."""

    grant: str
    referral: str | None = None
    terms: Terms
    text_version: str
    language: Identity[str | None] = None
    asked: tuple[str, ...] = ()
    answers: Mapping[str, Answer] = {}
    reminders: frozenset[str] = frozenset()
    reminded_on: date | None = None


class Unasked(State):
    """No such request or permission."""


class Asked(State):
    """The family has not answered, or not everybody who must."""

    request: Request


class Disputed(State):
    """Some said yes and some no."""

    request: Request


class Declined(State):
    """Somebody said no; it can still become a yes."""

    request: Request


class Open(State):
    """Sharing is allowed on exactly these terms."""

    request: Request
    version: int
    terms: Terms
    rule: Rule
    signer: str


class Ended(State):
    """Over; only a new request opens anything again."""

    request: Request


Case = Unasked | Asked | Disputed | Declined | Open | Ended
Cases = Mapping[str, Case]
NO_CASES: Cases = {}


class Unknown(State):
    """No such student."""


class Enrolled(State):
    file: File
    cases: Cases = NO_CASES


class Left(State):
    """Gone from the roster; may come back."""

    file: File
    cases: Cases = NO_CASES


class Erased(State):
    """The record was erased; `noted` once its keys are destroyed."""

    student: str
    cases: Cases = NO_CASES
    noted: bool = False


Student = Unknown | Enrolled | Left | Erased


def case_of(cases: Cases, grant: str) -> Case:
    return cases.get(grant, Unasked())


def own_name(student: str) -> str:
    """The student as a person who signs: the roster's id, referred to as a person's."""
    return "usr_" + student.removeprefix("stu_")


def entitled(file: File, day: date, of_age: bool) -> frozenset[str]:
    """Who decides for this student on that day: the student alone, once of age."""
    if of_age or file.passed:
        return frozenset({own_name(file.student)})
    return frozenset(ref for ref, known in file.guardians.items() if known.decides_on(day))
