"""given(...).when(...).then(...): the one sentence in which deciders and folds are tested."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic
from uuid import UUID

from libs.common.commit import shard_of
from libs.common.errors import Refused
from libs.common.messages import Actor, Event, Position, Recorded, Role, Stamp
from libs.common.personal import Sealed
from libs.common.shapes import C, Decider, E, Projection, S, V, types_of

NOON = datetime(2025, 9, 15, 16, 0, tzinfo=UTC)
SOMEBODY = Actor("usr_somebody", Role.TEACHER, "sch_one")


def sealed(key_class: str, label: str = "field", text: str = "abc", student: str = "stu_1") -> Any:
    """A sealed value no key opens, for tests that only pass it on."""
    return Sealed(f"{student}:{key_class}:1", label, text)


@dataclass(frozen=True)
class Scenario(Generic[S, C, E]):
    """`given = Scenario(decider)`, then `given(*events).when(command).then(*events)`."""

    decider: Decider[S, C, E]

    def __call__(self, *events: E) -> "Given[S, C, E]":
        return Given(self.decider, events)


@dataclass(frozen=True)
class Given(Generic[S, C, E]):
    decider: Decider[S, C, E]
    history: tuple[E, ...]

    def when(self, command: C, at: datetime = NOON, by: Actor = SOMEBODY) -> "When[S, C, E]":
        return When(self.decider, self.history, command.stamped(Stamp(at, by)))


@dataclass(frozen=True)
class When(Generic[S, C, E]):
    decider: Decider[S, C, E]
    history: tuple[E, ...]
    command: C

    def then(self, *events: E) -> None:
        """Exactly these events; and asking the same again where they led is silence."""
        state = self.decider.fold(self.history)
        assert list(self.decider.decide(state, self.command)) == list(events)
        again = self.decider.decide(self.decider.fold(events, state), self.command)
        assert list(again) == [], "asking twice is answered with silence"

    def refused(self, code: str) -> None:
        try:
            events = self.decider.decide(self.decider.fold(self.history), self.command)
        except Refused as refusal:
            assert refusal.code == code, refusal.code
            assert refusal.sentence
        else:
            raise AssertionError(f"not refused: {events}")


def recorded(
    event: E,
    stream: str = "student/stu_1",
    version: int = 1,
    seq: int = 1,
    at: datetime = NOON,
    log: str = "consent",
    actor: Actor = SOMEBODY,
) -> Recorded[E]:
    return Recorded(
        event, at, stream, version, Position(log, shard_of(stream), seq), actor, UUID(int=seq)
    )


def folded(projection: Projection[V], history: Iterable[Recorded[Event]]) -> dict[str, V]:
    """Every document of a projection after this history."""
    documents: dict[str, V] = {}
    for entry in history:
        if entry.event.type not in types_of(projection.hears):
            continue
        for key in projection.keys(entry):
            document = projection.fold(documents.get(key), entry, key)
            if document is None:
                documents.pop(key, None)
            else:
                documents[key] = document
    return documents


def streamed(events: Sequence[E], stream: str, log: str, at: datetime = NOON) -> list[Recorded[E]]:
    """A history of one stream, one commit an event."""
    return [
        recorded(event, stream, number, number, at, log) for number, event in enumerate(events, 1)
    ]
