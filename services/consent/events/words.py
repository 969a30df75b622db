"""The words that consent's events are made of: terms, proofs, names, and every closed list."""

from datetime import date
from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field, PlainSerializer, model_validator

from libs.common.messages import Message

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

    __hash__ = str.__hash__  # an enumeration's own is Python, and sets ask for it


RESERVED = frozenset({RecordClass.PSYCHOTHERAPY, RecordClass.SUD})


class Purpose(StrEnum):
    REFERRAL = "referral"
    COORDINATION = "coordination"
    TREATMENT = "treatment"
    EVALUATION = "evaluation"
    BILLING = "billing"

    __hash__ = str.__hash__  # an enumeration's own is Python, and sets ask for it


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
    COURT_ORDER = "court-order"


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
