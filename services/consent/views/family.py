"""What was asked of a family, allowed, ended, and by whom: one document a request."""

from collections.abc import Iterable
from datetime import date
from typing import Any, Literal

from libs.common.messages import Instant, Recorded, View
from libs.common.shapes import Projection
from services.consent.events import (
    Channel,
    ConsentAnswered,
    ConsentDeclined,
    ConsentDisputed,
    ConsentExpired,
    ConsentGranted,
    ConsentNarrowed,
    ConsentRequested,
    ConsentRevoked,
    FamilyReminded,
    Reply,
    RequestLapsed,
    RequestReaddressed,
    RequestWithdrawn,
    StudentMoved,
    Terms,
)

Situation = Literal["asked", "disputed", "declined", "open", "ended"]


class Said(View):
    """One person's latest word."""

    signer: str
    reply: Reply
    channel: Channel
    signed_on: date
    at: Instant
    terms: Terms


class Story(View):
    """`terms` is what is allowed (what was asked, until something is); `position` the last commit
    that changed anything here. `ended_by` is a person or what happened."""

    student: str
    grant: str
    referral: str | None = None
    situation: Situation
    requested: Terms
    terms: Terms
    version: int = 0
    asked: tuple[str, ...]
    asked_at: Instant
    said: tuple[Said, ...] = ()
    reminders: int = 0
    ended_by: str | None = None
    ended_at: Instant | None = None
    position: str


CaseEvent = (
    ConsentRequested
    | FamilyReminded
    | ConsentAnswered
    | ConsentDisputed
    | ConsentGranted
    | ConsentNarrowed
    | ConsentDeclined
    | ConsentRevoked
    | ConsentExpired
    | RequestReaddressed
    | RequestLapsed
    | RequestWithdrawn
)


def case_key(student: str, grant: str) -> str:
    """Two families may have chosen the same id."""
    return f"{student}:{grant}"


def _keys(entry: Recorded[Any]) -> Iterable[str]:
    event = entry.event
    return (case_key(event.student, event.grant),)


def _fold(story: Story | None, entry: Recorded[Any], _: str) -> Story | None:
    event: CaseEvent = entry.event
    if isinstance(event, ConsentRequested):
        return _asked(event, entry)
    if story is None:
        return None
    change = {**_change(story, event, entry), "position": str(entry.position)}
    return story.model_copy(update=change)


def _asked(event: ConsentRequested, entry: Recorded[Any]) -> Story:
    return Story(
        student=event.student,
        grant=event.grant,
        referral=event.referral,
        situation="asked",
        requested=event.terms,
        terms=event.terms,
        asked=event.asked,
        asked_at=entry.at,
        position=str(entry.position),
    )


def _change(story: Story, event: CaseEvent, entry: Recorded[Any]) -> dict[str, Any]:
    match event:
        case ConsentRequested():
            return {}
        case FamilyReminded():
            return {"reminders": story.reminders + 1}
        case RequestReaddressed(asked=asked):
            return {"asked": asked}
        case ConsentAnswered():
            said = _said(story, event, entry)
            return {"said": said, "situation": situation_after(story.situation, event.reply, said)}
        case ConsentDisputed():
            return {"situation": "disputed"}
        case ConsentDeclined():
            return {"situation": "declined"}
        case ConsentGranted(version=version, terms=terms):
            return {"situation": "open", "version": version, "terms": terms}
        case ConsentNarrowed(version=version, terms=terms):
            return {"version": version, "terms": terms}
        case ConsentRevoked(by=by):
            return {"situation": "ended", "ended_by": by, "ended_at": entry.at}
        case ConsentExpired(cause=cause) | RequestWithdrawn(cause=cause):
            return {"situation": "ended", "ended_by": cause.value, "ended_at": entry.at}
        case RequestLapsed():
            return {"situation": "ended", "ended_by": "lapsed", "ended_at": entry.at}


def _said(story: Story, event: ConsentAnswered, entry: Recorded[Any]) -> tuple[Said, ...]:
    others = tuple(said for said in story.said if said.signer != event.signer)
    latest = Said(
        signer=event.signer,
        reply=event.reply,
        channel=event.proof.channel,
        signed_on=event.proof.signed_on,
        at=entry.at,
        terms=event.terms,
    )
    return (*others, latest)


def situation_after(before: Situation, reply: Reply, said: Iterable[Said]) -> Situation:
    """An answer alone takes a request back to asked; what follows it says where it leads."""
    match before:
        case "declined":
            return "asked" if reply is Reply.YES else "declined"
        case "disputed":
            return "disputed" if any(one.reply is Reply.NO for one in said) else "asked"
        case "asked" | "open" | "ended":
            return before


family = Projection(
    name="family",
    version=1,
    logs=("consent",),
    view=Story,
    keys=_keys,
    fold=_fold,
    hears=CaseEvent,
    indexes=(("student", "grant"),),
)


class Waiting(View):
    """A request that no answer has settled: who waits for whom, since when."""

    student: str
    grant: str
    referral: str | None = None
    school: str
    holder: str
    recipient: str
    situation: Literal["asked", "disputed", "declined"] = "asked"
    since: Instant
    asked: tuple[str, ...]
    said: tuple[str, ...] = ()
    reminders: int = 0


def _waiting_keys(entry: Recorded[Any]) -> Iterable[str]:
    event = entry.event
    if isinstance(event, StudentMoved):
        return tuple(case_key(event.student, grant) for grant in event.waiting)
    return _keys(entry)


def _fold_waiting(row: Waiting | None, entry: Recorded[Any], _: str) -> Waiting | None:
    event: CaseEvent | StudentMoved = entry.event
    if isinstance(event, ConsentRequested):
        return _first(event, entry)
    if row is None:
        return None
    match event:
        case StudentMoved(school=school):
            return row.model_copy(update={"school": school})
        case FamilyReminded():
            return row.model_copy(update={"reminders": row.reminders + 1})
        case RequestReaddressed(asked=asked):
            return row.model_copy(update={"asked": asked})
        case ConsentAnswered(signer=signer):
            others = tuple(ref for ref in row.said if ref != signer)
            return row.model_copy(update={"said": (*others, signer), "situation": "asked"})
        case ConsentDisputed():
            return row.model_copy(update={"situation": "disputed"})
        case ConsentDeclined():
            return row.model_copy(update={"situation": "declined"})
        case (
            ConsentGranted()
            | ConsentNarrowed()
            | ConsentRevoked()
            | ConsentExpired()
            | RequestLapsed()
            | RequestWithdrawn()
        ):
            return None


def _first(event: ConsentRequested, entry: Recorded[Any]) -> Waiting:
    return Waiting(
        student=event.student,
        grant=event.grant,
        referral=event.referral,
        school=event.school,
        holder=event.terms.holder,
        recipient=event.terms.recipient,
        since=entry.at,
        asked=event.asked,
    )


requests = Projection(
    name="requests",
    version=1,
    logs=("consent",),
    view=Waiting,
    keys=_waiting_keys,
    fold=_fold_waiting,
    hears=CaseEvent | StudentMoved,
    indexes=(("school", "since"),),
)
