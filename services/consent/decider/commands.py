"""What can be asked of the consent service, each about one student."""

from datetime import date, datetime
from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import Field

from libs.common.messages import Command, Fact, Identity, Instant, Message, Record
from services.consent.events import (
    Authority,
    Contact,
    Names,
    Proof,
    Rule,
    Terms,
    Token,
)

GUARDIANS_MAX = 20
"""Guardians of one student at most."""
CASES_MAX = 40
"""Requests and permissions of one student that have not ended, at most."""

Code = Annotated[str, Field(pattern="^[a-z0-9-]{1,40}$")]


class StudentCommand(Command):
    """Its stream is `student/<student>`. `zone` is the district's, for its local date."""

    student: Fact[str] = ""
    zone: Fact[str] = "UTC"

    @property
    def today(self) -> date:
        return self.stamp.at.astimezone(ZoneInfo(self.zone)).date()


class Enroll(StudentCommand):
    """`roster_id` is the roster's id of the student; the reference is derived from it."""

    school: Token
    names: Identity[Names]
    birth_date: Identity[date | None] = None
    grade: Identity[str | None] = None
    language: Identity[str | None] = None
    roster_id: Identity[str]


class RosterGuardian(Message):
    """A guardian as a roster lists one."""

    guardian: Token
    names: Identity[Names]
    relation: Identity[str]
    contact: Identity[Contact | None] = None
    authority: Authority


class TakeRoster(StudentCommand):
    """One student with all guardians that the roster lists, in one commit."""

    school: Token
    names: Identity[Names]
    birth_date: Identity[date | None] = None
    grade: Identity[str | None] = None
    language: Identity[str | None] = None
    roster_id: Identity[str]
    guardians: Annotated[tuple[RosterGuardian, ...], Field(max_length=GUARDIANS_MAX)] = ()


class ChangedGuardian(Message):
    """What a delta says of a guardian; None where it says nothing."""

    guardian: Token
    names: Identity[Names | None] = None
    contact: Identity[Contact | None] = None
    relation: Identity[str | None] = None
    authority: Authority | None = None


class TakeChanges(StudentCommand):
    """What a roster's delta says of one student, in one commit; None where it says nothing. With
    `names` it says the grade too. `ended` are guardians whose relationship is over."""

    school: Token | None = None
    names: Identity[Names | None] = None
    birth_date: Identity[date | None] = None
    grade: Identity[str | None] = None
    language: Identity[str | None] = None
    roster_id: Identity[str | None] = None
    guardians: Annotated[tuple[ChangedGuardian, ...], Field(max_length=GUARDIANS_MAX)] = ()
    ended: Annotated[tuple[Token, ...], Field(max_length=GUARDIANS_MAX)] = ()


class RecordLeaving(StudentCommand):
    reason: Code


class OrderErasure(StudentCommand):
    """Two persons: `approver` asked for the `approval` code, somebody else orders with it."""

    approver: Token
    approval: Token
    approved: Fact[bool] = False
    on_hold: Fact[bool] = False


class NoteErased(StudentCommand):
    """Asked by the loop that destroyed the keys."""

    classes: tuple[str, ...]
    keys: int
    horizon: date


class AddGuardian(StudentCommand):
    """`subject` is who they are to the sign-in (and the roster); `guardian` is derived from it."""

    guardian: Fact[str] = ""
    subject: Identity[str]
    names: Identity[Names]
    relation: Identity[str]
    contact: Identity[Contact | None] = None
    authority: Authority
    starts: date | None = None
    until: date | None = None
    order: Record[str | None] = None


class ChangeGuardian(StudentCommand):
    """The whole of what shall be known."""

    guardian: Fact[str] = ""
    names: Identity[Names]
    relation: Identity[str]
    contact: Identity[Contact | None] = None
    authority: Authority
    starts: date | None = None
    until: date | None = None
    order: Record[str | None] = None


class EndGuardian(StudentCommand):
    guardian: Fact[str] = ""


class PassRights(StudentCommand):
    """Asked on the day that the student comes of age."""

    of_age: Fact[bool] = False


class RequestConsent(StudentCommand):
    """`grant` names the request and the permission it may become."""

    grant: Token
    referral: Token | None = None
    terms: Terms
    text_version: Token
    language: Identity[str | None] = None
    of_age: Fact[bool] = False


class Grant(StudentCommand):
    """A yes. Who signs for themselves leaves `signer` out; staff name whose word they record."""

    grant: Token
    signer: Token | None = None
    terms: Terms
    proof: Proof
    rule: Fact[Rule] = Rule.BOTH
    of_age: Fact[bool] = False


class Decline(StudentCommand):
    """A no to a request; where something is shared already it takes it back."""

    grant: Token
    signer: Token | None = None
    proof: Proof
    rule: Fact[Rule] = Rule.BOTH
    of_age: Fact[bool] = False


class Revoke(StudentCommand):
    """Takes back one permission, or all of them when none is named."""

    grant: Token | None = None
    signer: Token | None = None
    proof: Proof
    rule: Fact[Rule] = Rule.BOTH
    of_age: Fact[bool] = False


class Narrow(StudentCommand):
    grant: Token
    signer: Token | None = None
    terms: Terms
    of_age: Fact[bool] = False


class WithdrawRequest(StudentCommand):
    """One request; a policy asks for all of a referral, or for those of one of its attempts."""

    grant: Token | None = None
    referral: Fact[str | None] = None
    attempt: Fact[int | None] = None


class Remind(StudentCommand):
    """`kind` names the clock that ran out; by hand, once a day."""

    grant: Token
    kind: Fact[str] = "by-hand"
    due: Fact[datetime | None] = None


class Lapse(StudentCommand):
    """Nobody answered by `due`."""

    grant: Token
    due: Instant


class Expire(StudentCommand):
    """One permission whose last day is over, or those of a referral that end with it."""

    grant: Token | None = None
    referral: Token | None = None
    attempt: int | None = None


ConsentCommand = (
    Enroll
    | TakeRoster
    | TakeChanges
    | RecordLeaving
    | OrderErasure
    | NoteErased
    | AddGuardian
    | ChangeGuardian
    | EndGuardian
    | PassRights
    | RequestConsent
    | Grant
    | Decline
    | Revoke
    | Narrow
    | WithdrawRequest
    | Remind
    | Lapse
    | Expire
)
