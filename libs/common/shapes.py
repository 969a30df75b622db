"""The three shapes a service fills in with pure functions. All machinery exists to call them."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, reduce
from typing import Any, Generic, TypeVar, get_args

from libs.common.commit import Commit
from libs.common.messages import REGISTRY, Command, Event, Recorded, State, View
from libs.common.personal import KeyClass

KINDS_MAX = 256
"""Kinds of events that readers of one process may ask for."""

S = TypeVar("S", bound=State)
C = TypeVar("C", bound=Command)
E = TypeVar("E", bound=Event)
V = TypeVar("V", bound=View)


@dataclass(frozen=True)
class Decider(Generic[S, C, E]):
    """The rules: what follows from a command, and what is left to remember of an event.

    `decide` raises Refused, or returns events; none means silence. `subject` names the student
    whose keys seal the command's personal fields, or None when it has none.
    """

    category: str
    decide: Callable[[S, C], Sequence[E]]
    evolve: Callable[[S, E], S]
    initial: S
    subject: Callable[[S, C], str | None]

    def fold(self, events: Iterable[E], state: S | None = None) -> S:
        return reduce(self.evolve, events, self.initial if state is None else state)


@dataclass(frozen=True)
class Projection(Generic[V]):
    """A question, kept answered: which documents an event belongs to, and how it changes each.

    `indexes` are the shapes `find` may ask by: a tuple of field names each, equality fields first.
    Folds over several logs or streams must commute: shards have no common order.
    A projection that `opens` key classes lives in memory only and is never written. Of their fields
    it is given those open that it `reads`; None is all.
    `keys` and `fold` are given events of the kinds that it `hears` (a class, or a union of them),
    and no others.
    One that `gates` says who may see something: none of its streams is ever parked or folded by a
    build that does not know its events, for what is left out would go on allowing what was taken
    back.
    """

    name: str
    version: int
    logs: tuple[str, ...]
    view: type[V]
    keys: Callable[[Recorded[Any]], Iterable[str]]
    fold: Callable[[V | None, Recorded[Any], str], V | None]
    indexes: tuple[tuple[str, ...], ...] = ()
    opens: frozenset[KeyClass] = field(default_factory=frozenset)
    reads: frozenset[str] | None = None
    hears: Any = Event
    gates: bool = False

    def places(self, commit: Commit) -> "list[Placed]":
        """The events of a commit that it hears, each with the documents that it belongs to."""
        heard = types_of(self.hears)
        if heard.isdisjoint(commit.types):
            return []
        return [
            (entry, key)
            for entry in commit.recorded
            if entry.event.type in heard
            for key in self.keys(entry)
        ]


Placed = tuple[Recorded[Any], str]
"""An event, and a document it belongs to."""


@lru_cache(KINDS_MAX)
def _types_of(hears: Any, _: int) -> frozenset[str]:
    kinds = get_args(hears) or (hears,)
    return frozenset(name for name, kind in REGISTRY.items() if issubclass(kind, kinds))


def types_of(hears: Any) -> frozenset[str]:
    """The stored types that a class, or a union of classes, stands for."""
    return _types_of(hears, len(REGISTRY))


def newer(commit: Commit, hears: Any) -> bool:
    """Whether it holds an event that is heard, in a shape newer than this build knows."""
    heard = types_of(hears)
    return not (commit.whole or heard.isdisjoint(commit.types)) and any(
        entry["type"] in heard and entry["v"] > REGISTRY[entry["type"]].v
        for entry in commit.content["events"]
    )


@dataclass(frozen=True)
class Policy(Generic[V]):
    """Whenever this is heard, that is asked: at most one command a stream for one commit.

    With a `memory`, each event is folded first; `react` is then called once for each of the event's
    keys with the document (also when the event had been folded before). `from_start` asks for the
    whole history, otherwise asking starts at the heads of the policy's first deployment. `react` is
    given events of the kinds that the policy `hears`, and no others.
    """

    name: str
    logs: tuple[str, ...]
    react: Callable[[Recorded[Any], V | None], Iterable[tuple[str, Command]]]
    memory: Projection[V] | None = None
    from_start: bool = False
    hears: Any = Event

    def asks(self, entry: Recorded[Any], view: V | None) -> Iterable[tuple[str, Command]]:
        """What follows from an event; nothing does from one that it does not hear."""
        return self.react(entry, view) if entry.event.type in types_of(self.hears) else ()
