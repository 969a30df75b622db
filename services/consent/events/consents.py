"""A family is asked and answers; a permission opens, narrows, ends."""

from datetime import date
from typing import Literal

from libs.common.messages import Event, Identity
from services.consent.events.words import Cause, Proof, Reply, Rule, Terms


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


NotAsked = Literal["no-one-to-ask", "too-many", "already-over"]
"""Nobody on record may decide today; too much is open; the terms would have ended by now."""


class RequestUnanswerable(Event):
    """A referral needs the family's word, and the family was not asked: the request is over before
    it began. Whoever routes the referral decides what comes next; to route it again asks anew."""

    student: str
    grant: str
    referral: str | None = None
    terms: Terms
    text_version: str
    language: Identity[str | None] = None
    reason: NotAsked


class FamilyReminded(Event):
    """`kind` is the clock that ran out, or `by-hand`; `on` the day it was done."""

    student: str
    grant: str
    kind: str
    on: date


class RequestReaddressed(Event):
    """Who decides for the student has changed while a request waited: `asked` may answer it now.
    When that is nobody, it waits until somebody may, or lapses."""

    student: str
    grant: str
    referral: str | None = None
    asked: tuple[str, ...]


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
