"""The three shapes a service fills in with pure functions. All machinery exists to call them."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Any, Generic, TypeVar

from libs.common.messages import Command, Event, Recorded, State, View
from libs.common.personal import KeyClass

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
    A projection that `opens` key classes lives in memory only and is never written.
    """

    name: str
    version: int
    logs: tuple[str, ...]
    view: type[V]
    keys: Callable[[Recorded[Any]], Iterable[str]]
    fold: Callable[[V | None, Recorded[Any], str], V | None]
    indexes: tuple[tuple[str, ...], ...] = ()
    opens: frozenset[KeyClass] = field(default_factory=frozenset)


@dataclass(frozen=True)
class Policy(Generic[V]):
    """Whenever this is heard, that is asked: at most one command a stream for one commit.

    With a `memory`, each event is folded first; `react` is then called once for each of the event's
    keys with the document (also when the event had been folded before). `from_start` asks for the
    whole history, otherwise asking starts at the heads of the policy's first deployment.
    """

    name: str
    logs: tuple[str, ...]
    react: Callable[[Recorded[Any], V | None], Iterable[tuple[str, Command]]]
    memory: Projection[V] | None = None
    from_start: bool = False
