"""What must hold at every prefix of every stream, whatever happened to the machines.

The deciders enforce these; here they are said again, independently, of what lies in the log.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from libs.common.commit import Commit
from libs.common.messages import Position
from libs.common.shapes import Decider

Law = Callable[[str, Any, Any], str | None]
"""(event type, state before, state after) -> what is wrong, or None."""

NEEDS_CONSENT = {
    "referral.sent": frozenset({"Ready"}),
    "referral.accepted": frozenset({"Sent", "Waitlisted"}),
    "referral.waitlisted": frozenset({"Sent"}),
    "referral.packet_opened": frozenset(
        {"Sent", "Waitlisted", "Accepted", "InService", "SteppingDown"}
    ),
}
"""Events that tell an agency something, and the situations in which they may."""


def student_law(name: str, before: Any, after: Any) -> str | None:
    known = type(before).__name__
    if known == "Unknown" and name != "student.enrolled":
        return f"{name} of a student who is not there"
    if known == "Erased" and name != "student.erased":
        return f"{name} after erasure"
    if name == "consent.granted" and known != "Enrolled":
        return f"{name} when the student was {known}"
    if type(after).__name__ == "Unknown":
        return f"{name} makes a student unknown"
    return None


def referral_law(name: str, before: Any, after: Any) -> str | None:
    known = type(before).__name__
    if (known == "Unraised") != (name == "concern.raised"):
        return f"{name} when it was {known}"
    if name in NEEDS_CONSENT and known not in NEEDS_CONSENT[name]:
        return f"{name} when it was {known}"
    if name == "referral.held" and type(after).__name__ != "Held":
        return "held, and it goes on"
    return None


LAWS: dict[str, Law] = {"student": student_law, "referral": referral_law}


def broken_laws(
    decider: Decider[Any, Any, Any], commits: Sequence[Commit]
) -> Iterator[tuple[Position, str]]:
    """One stream, commit by commit; stops at the first thing that is wrong."""
    law = LAWS.get(decider.category)
    state, version = decider.initial, 0
    for commit in commits:
        if commit.first != version + 1 or len(commit.recorded) != len(commit.types):
            yield commit.position, "it does not follow, or nobody knows its events"
            return
        version = commit.last
        for entry in commit.recorded:
            before = state
            try:
                state = decider.evolve(before, entry.event)
            except Exception as failed:
                yield commit.position, f"evolving fails: {type(failed).__name__}"
                return
            wrong = law(entry.event.type, before, state) if law else None
            if wrong is not None:
                yield commit.position, wrong
                return
