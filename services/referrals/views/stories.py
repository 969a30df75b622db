"""What happened, told in order: one referral's story with its sealed words, one need's attempts.

Each line of a story is a document of its own: a story grows, and what is told of it once more must
not cost more each time.
"""

from collections.abc import Iterable
from typing import Any, Literal

from libs.common.messages import Instant, Recorded, Role, View
from libs.common.shapes import Projection
from services.referrals.events import (
    About,
    AlertRead,
    ConcernAdded,
    ConcernRaised,
    CrisisCalled,
    ReferralEvent,
    ReferralRouted,
    ServiceStarted,
)
from services.referrals.views.places import AWAITS_TRIAGE, place

LINES_MAX = 2_000
"""Of a story longer than this the newest lines are told."""
Told = Literal["school", "agency", "family", "platform"]
BY: dict[str, Told] = {
    Role.GUARDIAN: "family",
    Role.STUDENT: "family",
    Role.INTAKE: "agency",
    Role.CLINICIAN: "agency",
    Role.SYSTEM: "platform",
}


class Line(View):
    """One event: who told it, and its own fields as they are stored, sealed words included."""

    at: Instant
    version: int
    position: str
    type: str
    by: Told
    org: str
    actor: str
    attempt: int
    receiver: str | None = None
    data: dict[str, Any]


class Story(View):
    """`hands` are the people who have had this referral in hand; adding a word is not enough.
    `version` is that of its last line."""

    referral: str
    need: str
    student: str
    school: str
    sender: str
    raiser: str
    urgency: str
    situation: str
    since: Instant
    attempt: int = 0
    receiver: str | None = None
    service: str | None = None
    hands: tuple[str, ...] = ()
    version: int = 0

    def lines(self) -> list[str]:
        """The keys of its newest lines, in order."""
        first = max(1, self.version - LINES_MAX + 1)
        return [_line_key(self.referral, version) for version in range(first, self.version + 1)]


class Attempt(View):
    number: int
    receiver: str
    service: str
    routed_at: Instant


class Part(View):
    """What one referral has done for its need."""

    referral: str
    sender: str
    school: str
    raised_at: Instant
    situation: str
    attempts: tuple[Attempt, ...] = ()
    served_at: Instant | None = None


class Need(View):
    """All referrals for one trouble."""

    need: str
    student: str
    parts: dict[str, Part]

    def attempts_until_served(self) -> int | None:
        """How many receivers were asked until help first began; None while nobody helps."""
        served = [part.served_at for part in self.parts.values() if part.served_at is not None]
        if not served:
            return None
        first = min(served)
        attempts = [a for part in self.parts.values() for a in part.attempts]
        return sum(attempt.routed_at <= first for attempt in attempts)


def _keys(entry: Recorded[Any]) -> Iterable[str]:
    return (entry.event.referral,)


def _story(story: Story | None, entry: Recorded[Any], _: str) -> Story | None:
    event: ReferralEvent = entry.event
    if story is None:
        if not isinstance(event, ConcernRaised):
            return None
        story = Story(
            referral=event.referral,
            need=event.need,
            student=event.student,
            school=event.school,
            sender=event.sender,
            raiser=event.raiser,
            urgency=event.urgency,
            situation=AWAITS_TRIAGE,
            since=entry.at,
        )
    after = place(event, story.situation)
    changes: dict[str, object] = {
        "school": event.school,
        "attempt": event.attempt,
        "receiver": event.receiver,
        "service": event.service,
        "hands": _hands(story, entry),
        "version": entry.version,
    }
    if after != story.situation:
        changes |= {"situation": after, "since": entry.at}
    return story.model_copy(update=changes)


def _hands(story: Story, entry: Recorded[Any]) -> tuple[str, ...]:
    passing = isinstance(entry.event, ConcernAdded | CrisisCalled | AlertRead)
    if passing or entry.actor.role == Role.SYSTEM:
        return story.hands
    return tuple(sorted({*story.hands, entry.actor.sub}))


def _line_key(referral: str, version: int) -> str:
    return f"{referral}.{version:06}"


def _line_keys(entry: Recorded[Any]) -> Iterable[str]:
    return (_line_key(entry.event.referral, entry.version),)


def _line(_before: Line | None, entry: Recorded[Any], _: str) -> Line:
    event: ReferralEvent = entry.event
    own = event.model_dump(mode="json", exclude_none=True, exclude=set(About.model_fields))
    return Line(
        at=entry.at,
        version=entry.version,
        position=str(entry.position),
        type=event.type,
        by=BY.get(entry.actor.role, "school"),
        org=entry.actor.org,
        actor=entry.actor.sub,
        attempt=event.attempt,
        receiver=event.receiver,
        data=own,
    )


def _need_keys(entry: Recorded[Any]) -> Iterable[str]:
    return (entry.event.need,)


def _need(need: Need | None, entry: Recorded[Any], _: str) -> Need | None:
    """Referrals of one need lie in several shards: each changes its own part only."""
    event: ReferralEvent = entry.event
    part = _part(need.parts.get(event.referral) if need else None, entry)
    parts = {**(need.parts if need else {}), event.referral: part}
    return Need(need=event.need, student=event.student, parts=dict(sorted(parts.items())))


def _part(part: Part | None, entry: Recorded[Any]) -> Part:
    event: ReferralEvent = entry.event
    if part is None:
        part = Part(
            referral=event.referral,
            sender=event.sender,
            school=event.school,
            raised_at=entry.at,
            situation=AWAITS_TRIAGE,
        )
    changes: dict[str, object] = {"school": event.school}
    changes["situation"] = place(event, part.situation)
    if isinstance(event, ReferralRouted):
        attempt = Attempt(
            number=event.attempt,
            receiver=event.receiver or "",
            service=event.service or "",
            routed_at=entry.at,
        )
        changes["attempts"] = (*part.attempts, attempt)
    if isinstance(event, ServiceStarted) and part.served_at is None:
        changes["served_at"] = entry.at
    return part.model_copy(update=changes)


stories = Projection[Story](
    name="stories",
    version=2,
    logs=("referrals",),
    view=Story,
    keys=_keys,
    fold=_story,
    hears=About,
)

lines = Projection[Line](
    name="lines",
    version=1,
    logs=("referrals",),
    view=Line,
    keys=_line_keys,
    fold=_line,
    hears=About,
)

needs = Projection[Need](
    name="needs",
    version=1,
    logs=("referrals",),
    view=Need,
    keys=_need_keys,
    fold=_need,
    hears=About,
)
