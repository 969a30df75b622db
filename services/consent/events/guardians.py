"""Who decides for a student, from when until when; the day the student decides alone."""

from datetime import date

from libs.common.messages import Event, Identity, Record
from services.consent.events.words import Authority, Contact, Names, Source


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
