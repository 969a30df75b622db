"""How long families wait: one school, one receiver, one service; whose turn is next, and why."""

from collections.abc import Iterable, Mapping
from typing import Any

from libs.common.messages import Instant, Recorded, View
from libs.common.shapes import Projection
from services.referrals.events import (
    OutcomeAcknowledged,
    ReferralAccepted,
    ReferralClosed,
    ReferralDeclined,
    ReferralHeld,
    ReferralMoved,
    ReferralRecalled,
    ReferralResumed,
    ReferralSent,
    ReferralWaitlisted,
    ReferralWithdrawn,
    ServiceStarted,
)
from services.referrals.views.places import RANK


class Turn(View):
    """One waiting referral; `since` is when it was sent, `listed` whether it is on the list."""

    rank: int
    since: Instant
    listed: bool = False
    held: bool = False


class Wait(View):
    school: str
    agency: str
    service: str
    turns: dict[str, Turn]
    served: int = 0
    waited_seconds: int = 0
    declined: dict[str, int]


WaitEvent = (
    ReferralSent
    | ReferralWaitlisted
    | ReferralAccepted
    | ServiceStarted
    | ReferralDeclined
    | ReferralRecalled
    | ReferralWithdrawn
    | ReferralClosed
    | OutcomeAcknowledged
    | ReferralHeld
    | ReferralResumed
    | ReferralMoved
)


def wait_key(school: str, agency: str, service: str) -> str:
    return f"{school}:{agency}:{service}"


def turns_in_order(waits: Iterable[Wait]) -> list[str]:
    """Referrals on the list, the next one first: more urgent, then longer waiting."""
    turns: dict[str, Turn] = {}
    for wait in waits:
        turns |= {ref: turn for ref, turn in wait.turns.items() if turn.listed and not turn.held}
    return sorted(turns, key=lambda ref: (turns[ref].rank, turns[ref].since, ref))


def _keys(entry: Recorded[Any]) -> Iterable[str]:
    event: WaitEvent = entry.event
    if event.receiver is None or event.service is None:
        return
    yield wait_key(event.school, event.receiver, event.service)
    if isinstance(event, ReferralMoved):
        yield wait_key(event.left, event.receiver, event.service)


def _fold(wait: Wait | None, entry: Recorded[Any], key: str) -> Wait | None:
    event: WaitEvent = entry.event
    if wait is None:
        school, agency, service = key.split(":")
        wait = Wait(school=school, agency=agency, service=service, turns={}, declined={})
    turn = wait.turns.get(event.referral)
    after = _turn(turn, entry, wait.school)
    turns = {ref: one for ref, one in wait.turns.items() if ref != event.referral}
    if after is not None:
        turns[event.referral] = after
    changes: dict[str, object] = {"turns": dict(sorted(turns.items()))}
    if isinstance(event, ServiceStarted) and turn is not None:
        seconds = int((event.at - turn.since).total_seconds())
        changes |= {"served": wait.served + 1, "waited_seconds": wait.waited_seconds + seconds}
    if isinstance(event, ReferralDeclined):
        changes["declined"] = _counted(wait.declined, event.reason.value)
    return wait.model_copy(update=changes)


def _turn(turn: Turn | None, entry: Recorded[Any], school: str) -> Turn | None:
    event: WaitEvent = entry.event
    match event:
        case ReferralSent():
            return Turn(rank=RANK[event.urgency], since=event.at)
        case ReferralWaitlisted():
            return turn.model_copy(update={"listed": True}) if turn else None
        case ReferralAccepted():
            return turn.model_copy(update={"listed": False}) if turn else None
        case ReferralHeld():
            return turn.model_copy(update={"held": True}) if turn else None
        case ReferralResumed():
            return turn.model_copy(update={"held": False}) if turn else None
        case ReferralMoved():
            return _carried(event, school)
        case ServiceStarted() | ReferralDeclined() | ReferralRecalled():
            return None
        case ReferralWithdrawn() | ReferralClosed() | OutcomeAcknowledged():
            return None


def _carried(event: ReferralMoved, school: str) -> Turn | None:
    """The turn moves with the student, and keeps how long it has waited."""
    if school == event.left or event.waiting_since is None:
        return None
    return Turn(
        rank=RANK[event.urgency],
        since=event.waiting_since,
        listed=event.listed,
        held=event.held,
    )


def _counted(counts: Mapping[str, int], reason: str) -> dict[str, int]:
    return dict(sorted({**counts, reason: counts.get(reason, 0) + 1}.items()))


waits = Projection[Wait](
    name="waits",
    version=1,
    logs=("referrals",),
    view=Wait,
    keys=_keys,
    fold=_fold,
    hears=WaitEvent,
    indexes=(("school",), ("agency", "service")),
)
"""Each referral changes its own turn only, so folds over many streams commute."""
