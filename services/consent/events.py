"""What the consent service says has happened. The one file here that other services may import.

What is about a student stands in the stream `student/<ref>` and carries that `student`. A date in
an event is the district's local date, stated by a person or computed from the log's time.
"""

from datetime import date
from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field, PlainSerializer, model_validator

from libs.common.messages import Event, Identity, Message, Record

TOKEN_CHARS_MAX = 100
SHORT_CHARS_MAX = 320
DISTRICT = "district"
"""The district as holder or recipient; an agency is named by its `agy_…` reference."""
Token = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$", max_length=TOKEN_CHARS_MAX)]
"""A reference or a code word, fit to stand in a path."""
Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
"""SHA-256 in hex."""
ShortText = Annotated[str, Field(max_length=SHORT_CHARS_MAX)]


class RecordClass(StrEnum):
    """What a permission names. Psychotherapy notes and SUD records need a form of their own."""

    CONTACT = "contact"
    REFERRAL = "referral"
    ATTENDANCE = "attendance"
    BEHAVIOR = "behavior"
    GRADES = "grades"
    IEP = "iep"
    COUNSELING_SUMMARY = "counseling-summary"
    SCREENING = "screening"
    PARTICIPATION = "participation"
    PROGRESS_SUMMARY = "progress-summary"
    TREATMENT_PLAN = "treatment-plan"
    SAFETY_PLAN = "safety-plan"
    ALERT = "alert"
    OUTCOME = "outcome"
    PSYCHOTHERAPY = "psychotherapy"
    SUD = "sud"


RESERVED = frozenset({RecordClass.PSYCHOTHERAPY, RecordClass.SUD})


class Purpose(StrEnum):
    REFERRAL = "referral"
    COORDINATION = "coordination"
    TREATMENT = "treatment"
    EVALUATION = "evaluation"
    BILLING = "billing"


class UntilEvent(StrEnum):
    """What ends a permission before its last day."""

    YEAR_END = "year-end"
    REFERRAL_CLOSED = "referral-closed"
    STUDENT_LEAVES = "student-leaves"


class Rule(StrEnum):
    """Whose word counts when those who decide differ; the district's choice."""

    NO_BEATS_YES = "no-beats-yes"
    EITHER = "either"
    BOTH = "both"


class Channel(StrEnum):
    WEB = "web"
    PHONE = "phone"
    PAPER = "paper"
    IN_PERSON = "in-person"


class Authority(StrEnum):
    """Whether a guardian decides for the student, or is only known as family."""

    FULL = "full"
    NONE = "none"


class Source(StrEnum):
    """Who said so. What was settled by hand (a court order) no roster changes back."""

    ROSTER = "roster"
    HAND = "hand"


class Reply(StrEnum):
    YES = "yes"
    NO = "no"


class Cause(StrEnum):
    """Why a request or a permission ended without anybody's no."""

    DATE = "date"
    EVENT = "event"
    RIGHTS_PASSED = "rights-passed"
    LEFT = "left"
    ERASED = "erased"
    ASKED_NO_MORE = "asked-no-more"


def _words(values: frozenset[StrEnum]) -> list[str]:
    """Sets are written sorted, so that the same set is the same bytes."""
    return sorted(value.value for value in values)


SORTED = PlainSerializer(_words, when_used="json")
Classes = Annotated[frozenset[RecordClass], Field(min_length=1), SORTED]
Purposes = Annotated[frozenset[Purpose], Field(min_length=1), SORTED]


class Terms(Message):
    """Who may give what to whom, for what, from which day to which day (both included)."""

    holder: Token
    recipient: Token
    classes: Classes
    purposes: Purposes
    starts: date
    until: date
    until_event: UntilEvent | None = None

    @model_validator(mode="after")
    def _starts_before_it_ends(self) -> Self:
        if self.starts > self.until:
            raise ValueError("starts after it ends")
        return self


class Proof(Message):
    """How an answer was given and who can vouch for it. `shown`: digest of the text and terms as
    the signer saw them, without names. `recorder` is filled in with who sent the answer."""

    channel: Channel
    authenticated_by: Token
    assurance: Token
    text_version: Token
    shown: Digest
    signed_on: date
    evidence: Token | None = None
    copy_given: bool = False
    recorder: Token | None = None


class Names(Message):
    given: ShortText
    family: ShortText
    middle: ShortText | None = None


class Contact(Message):
    email: ShortText | None = None
    phone: ShortText | None = None
    sms: ShortText | None = None


class StudentEnrolled(Event):
    student: str
    school: str
    names: Identity[Names]
    birth_date: Identity[date | None] = None
    grade: Identity[str | None] = None
    language: Identity[str | None] = None
    roster_id: Identity[str]


class StudentChanged(Event):
    """The whole of what is known now."""

    student: str
    names: Identity[Names]
    birth_date: Identity[date | None] = None
    grade: Identity[str | None] = None
    language: Identity[str | None] = None
    roster_id: Identity[str]


class StudentMoved(Event):
    """`waiting`: the requests that move to the other school's queue with the student."""

    student: str
    school: str
    waiting: tuple[str, ...] = ()


class StudentLeft(Event):
    student: str
    school: str
    reason: str


class StudentErasureOrdered(Event):
    """From here on the record is erased; the keys are destroyed next."""

    student: str
    by: str
    approver: str


class StudentErased(Event):
    """The keys are gone. `horizon`: the day after which no backup holds them either."""

    student: str
    classes: tuple[str, ...]
    keys: int
    horizon: date


class GuardianAdded(Event):
    """`starts` and `until` bound the authority; no date is no bound."""

    student: str
    guardian: str
    names: Identity[Names]
    relation: Identity[str]
    contact: Identity[Contact | None] = None
    authority: Authority
    starts: date | None = None
    until: date | None = None
    order: Record[str | None] = None
    source: Source = Source.HAND


class GuardianChanged(Event):
    """The whole of what is known now."""

    student: str
    guardian: str
    names: Identity[Names]
    relation: Identity[str]
    contact: Identity[Contact | None] = None
    authority: Authority
    starts: date | None = None
    until: date | None = None
    order: Record[str | None] = None
    source: Source = Source.HAND


class GuardianEnded(Event):
    student: str
    guardian: str


class RightsPassed(Event):
    """The student is of age and decides alone."""

    student: str


class ConsentRequested(Event):
    """`asked`: everybody who was entitled to answer on that day."""

    student: str
    school: str
    grant: str
    referral: str | None = None
    terms: Terms
    text_version: str
    language: Identity[str | None] = None
    asked: tuple[str, ...]


class FamilyReminded(Event):
    """`kind` is the clock that ran out, or `by-hand`; `on` the day it was done."""

    student: str
    grant: str
    kind: str
    on: date


class ConsentAnswered(Event):
    """One person's word. Whether anything is shared is said by what follows it."""

    student: str
    grant: str
    referral: str | None = None
    signer: str
    reply: Reply
    terms: Terms
    proof: Proof


class ConsentDisputed(Event):
    """Some said yes and some no; nothing is shared."""

    student: str
    grant: str
    referral: str | None = None


class ConsentGranted(Event):
    """`terms` is what every yes has in common; `version` counts from 1 within the grant."""

    student: str
    grant: str
    referral: str | None = None
    version: int
    terms: Terms
    rule: Rule
    signer: str


class ConsentNarrowed(Event):
    student: str
    grant: str
    referral: str | None = None
    version: int
    terms: Terms
    rule: Rule
    signer: str


class ConsentDeclined(Event):
    student: str
    grant: str
    referral: str | None = None
    recipient: str
    holder: str


class ConsentRevoked(Event):
    """`version` is the one that ended; `by` who took it back."""

    student: str
    grant: str
    referral: str | None = None
    version: int
    recipient: str
    holder: str
    by: str


class ConsentExpired(Event):
    student: str
    grant: str
    referral: str | None = None
    version: int
    recipient: str
    holder: str
    cause: Cause


class RequestLapsed(Event):
    """Nobody answered in time."""

    student: str
    grant: str
    referral: str | None = None
    recipient: str
    holder: str


class RequestWithdrawn(Event):
    student: str
    grant: str
    referral: str | None = None
    recipient: str
    holder: str
    cause: Cause


Enrolment = StudentEnrolled | StudentChanged | StudentMoved | StudentLeft
Erasure = StudentErasureOrdered | StudentErased
Authorities = GuardianAdded | GuardianChanged | GuardianEnded | RightsPassed
Asking = ConsentRequested | FamilyReminded | RequestLapsed | RequestWithdrawn
Answering = ConsentAnswered | ConsentDisputed | ConsentGranted | ConsentNarrowed | ConsentDeclined
Ending = ConsentRevoked | ConsentExpired
ConsentEvent = Enrolment | Erasure | Authorities | Asking | Answering | Ending


class ImportStarted(Event):
    """A roster file is being taken, in the stream `import/<ref>`. `digest` names the file, keyed;
    `leaving` are the students who will be recorded as gone."""

    digest: str
    version: str
    students: int
    guardians: int
    leaving: int
    skipped: int


class ImportFinished(Event):
    """Everything the file says has been asked; `counts` by what came of it."""

    counts: dict[str, int]


ImportEvent = ImportStarted | ImportFinished
