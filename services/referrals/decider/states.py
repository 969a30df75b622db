"""The situations a referral can be in, and the facts that go with it through all of them.

Each situation has the code and the sentence with which it refuses what it has no row for.
"""

from datetime import date, datetime
from typing import Any, ClassVar, TypeVar

from libs.common.errors import Refused
from libs.common.messages import Command, Event, Role, State
from services.referrals.events import SCHOOL, About, Side

E = TypeVar("E", bound=Event)
AGENCY_ROLES = frozenset({Role.INTAKE, Role.CLINICIAN})
CRISIS_CLOCK = "crisis"


class Stay(State):
    """From the version at which a clock began until it was left."""

    entered: int
    kind: str
    left: datetime | None = None
    noted: bool = False


class AlertIs(State):
    number: int
    to: Side
    read: bool = False


class Calm(State):
    """Nobody has called a crisis."""


class Called(State):
    """A crisis nobody has attended yet."""


class Attended(State):
    """Somebody is with the student; what was done is not written down yet."""


class Settled(State):
    """The last crisis is over."""


CrisisIs = Calm | Called | Attended | Settled


class Referral(State):
    """What is known of a referral in every situation. `news` has the last event of each type:
    asked again with the same content where that led, the answer is silence."""

    about: About
    version: int
    news: dict[str, Event]
    tier: int | None = None
    agreed: bool = False
    helper: str | None = None
    tried: tuple[tuple[str, str], ...] = ()
    ended: tuple[str, ...] = ()
    alerts: tuple[AlertIs, ...] = ()
    stays: tuple[Stay, ...] = ()
    crisis: CrisisIs = Calm()

    def last(self, kind: type[E]) -> E | None:
        found = self.news.get(kind.type)
        return found if isinstance(found, kind) else None


class Unraised(State):
    code: ClassVar[str] = "unknown-referral"
    sentence: ClassVar[str] = "There is no such referral."


class Raised(State):
    code: ClassVar[str] = "awaits-triage"
    sentence: ClassVar[str] = "No psychologist has seen it yet."
    referral: Referral


class Triaged(State):
    code: ClassVar[str] = "awaits-route"
    sentence: ClassVar[str] = "Nobody is chosen yet to help."
    referral: Referral


class AwaitingConsent(State):
    code: ClassVar[str] = "awaits-consent"
    sentence: ClassVar[str] = "The family has not answered yet."
    referral: Referral


class Ready(State):
    code: ClassVar[str] = "not-sent"
    sentence: ClassVar[str] = "It has not been sent yet."
    referral: Referral


class Sent(State):
    code: ClassVar[str] = "awaits-answer"
    sentence: ClassVar[str] = "The receiver has not answered yet."
    referral: Referral


class Waitlisted(State):
    code: ClassVar[str] = "on-waitlist"
    sentence: ClassVar[str] = "It is on the receiver's waiting list."
    referral: Referral


class Accepted(State):
    code: ClassVar[str] = "not-started"
    sentence: ClassVar[str] = "Help has not begun yet."
    referral: Referral


class InService(State):
    code: ClassVar[str] = "in-service"
    sentence: ClassVar[str] = "Help is under way."
    referral: Referral


class SteppingDown(State):
    code: ClassVar[str] = "stepping-down"
    sentence: ClassVar[str] = "Help is being reduced."
    referral: Referral


class Declined(State):
    code: ClassVar[str] = "declined"
    sentence: ClassVar[str] = "The receiver said no."
    referral: Referral


class Held(State):
    """`was` is where it goes back to when the family allows sharing again."""

    code: ClassVar[str] = "sharing-ended"
    sentence: ClassVar[str] = "The family ended sharing."
    referral: Referral
    was: Ready | Sent | Waitlisted | Accepted | InService | SteppingDown


class Finished(State):
    code: ClassVar[str] = "unacknowledged"
    sentence: ClassVar[str] = "Help has ended, and nobody has read the outcome yet."
    referral: Referral


class Closed(State):
    code: ClassVar[str] = "closed"
    sentence: ClassVar[str] = "It is closed; reopen it with a note."
    referral: Referral


class Withdrawn(State):
    code: ClassVar[str] = "withdrawn"
    sentence: ClassVar[str] = "It was withdrawn; reopen it with a note."
    referral: Referral


Holdable = Ready | Sent | Waitlisted | Accepted | InService | SteppingDown
Known = (
    Raised | Triaged | AwaitingConsent | Declined | Held | Finished | Closed | Withdrawn | Holdable
)
Situation = Unraised | Known


def no(state: Situation) -> Refused:
    """The situation's own refusal."""
    return Refused(state.code, state.sentence)


def told(referral: Referral, command: Command) -> dict[str, Any]:
    """What each event says first: the referral as it is, and when it was asked."""
    return {**referral.about.__dict__, "at": command.stamp.at}


def again(referral: Referral, event: Event) -> bool:
    """The same content as the last of its kind, whenever and in whatever place that was."""
    last = referral.news.get(event.type)
    return last is not None and content(last) == content(event)


def content(event: Event) -> dict[str, Any]:
    return {name: v for name, v in event.__dict__.items() if name not in About.model_fields}


def said(referral: Referral, event: E, state: Situation) -> list[E]:
    """Where this very event led: silence for the same words, else the situation's refusal."""
    if again(referral, event):
        return []
    raise no(state)


def side(command: Command) -> Side:
    """On whose side the actor stands."""
    return Side.AGENCY if command.stamp.actor.role in AGENCY_ROLES else Side.SCHOOL


def receiver_only(state: Situation, command: Command) -> None:
    """Only the present receiver answers and helps; a former one learns no more than that."""
    actor = command.stamp.actor
    if isinstance(state, Unraised) or actor.role == Role.SYSTEM:
        return
    receiver = state.referral.about.receiver
    if side(command) == Side.AGENCY:
        moved = receiver != actor.org
    else:
        moved = receiver not in (SCHOOL, None)
    if moved:
        raise Refused("moved-on", "It went to another receiver.")


def not_later(on: date | None, today: date) -> None:
    if on is not None and on > today:
        raise Refused("in-future", "What is recorded must have happened already.")
