"""The doors to the outside: the log, the bus, the documents, the keys, the clock.

The same contract tests run over every adapter of each port (`tests/ports`).
"""

from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, NamedTuple, Protocol
from uuid import UUID

from libs.common.commit import Commit

SHARDS = 16
LOG_BATCH_MAX = 500
PAGE_MAX = 200

Doc = dict[str, Any]
"""JSON values only. The adapter adds and keeps `_id` and `_rev`; the rest is the caller's."""


class Inserted(NamedTuple):
    """How an ordered insert ended: rows[:n] are stored and durable.

    error None: all of them. "duplicate": rows[n] collided with a unique index, nothing after it was
    stored. "unknown": rows[n:] may or may not be there (timeout, lost reply, write concern). A
    duplicate with rows stored behind it means an unfit engine: the adapter raises StoreAway.
    """

    n: int
    error: Literal["duplicate", "unknown"] | None = None


class Row(NamedTuple):
    """A commit as it lies in the store: its place, all else that is said of it beside its bytes, in
    one text, and its bytes."""

    shard: int
    seq: int
    columns: str
    body: bytes

    @classmethod
    def of(cls, commit: Commit) -> "Row":
        """As it has to lie there."""
        columns = columns_of(
            commit.stream, commit.first, commit.last, commit.content["command"], commit.hash,
            commit.types, commit.subjects,
        )  # fmt: skip
        return cls(commit.shard, commit.seq, columns, commit.body)


def columns_of(
    stream: str,
    first: int,
    last: int,
    command: str,
    leaf: str,
    types: Iterable[str],
    subjects: Iterable[str],
) -> str:
    return f"{stream} {first} {last} {command} {leaf}|{' '.join(types)}|{' '.join(subjects)}"


class EventStore(Protocol):
    """The log of record of one service. Unique: (shard, seq), (stream, first), command.

    `parallel`: while it writes, the interpreter is free for whoever decides.
    """

    parallel: bool

    async def insert(self, rows: Sequence[Commit]) -> Inserted:
        """In order, stopping at the first duplicate; the stored prefix is durable on return."""

    async def head(self, shard: int, known: int = 0) -> Commit | None:
        """The last commit of a shard, at majority; `known` is a seq that is surely there."""

    def stream(self, stream: str, after: int = 0) -> AsyncIterator[Commit]:
        """Commits of a stream with `first` > after, in order, at majority."""

    async def log(self, shard: int, after: int, limit: int = LOG_BATCH_MAX) -> list[Commit]:
        """Commits with seq > after, dense and in order, at majority; empty at the end."""

    async def news(self, nexts: Sequence[int]) -> list[int]:
        """Which shards have the seq `nexts[shard]`; one question for all."""

    async def by_commands(
        self, commands: Sequence[UUID], local: bool = False
    ) -> dict[UUID, Commit]:
        """Commits by command id; `local` also sees what is not yet at majority."""

    async def rows(self, shard: int, after: int, limit: int = LOG_BATCH_MAX) -> list[Row]:
        """What lies behind this seq, in order, dense or not and readable or not: for those who
        check. Empty at the end."""

    def fit(self) -> bool:
        """Whether the last that was heard of the store was good. It is not asked for this."""


class Delivery(NamedTuple):
    commit: Commit
    offset: int


class Record(NamedTuple):
    """What lies in a topic, readable or not."""

    offset: int
    body: bytes


class Feed(Protocol):
    """At least once, in order per shard; duplicates allowed, gaps are the reader's to see."""

    async def batch(self, limit: int, wait: float) -> list[Delivery]:
        """Up to `limit` deliveries; waits up to `wait` seconds for the first, then returns []."""

    async def done(self, log: str, shard: int, offset: int) -> None:
        """A hint that everything up to this offset has been dealt with."""

    async def rewind(self, log: str, shard: int, offset: int) -> None:
        """The next batches start again at this offset. Only from the loop that calls `batch`."""

    def ended(self) -> float | None:
        """The monotonic instant of the last moment known at which nothing was left to read."""

    def ends(self) -> Mapping[tuple[str, int], int]:
        """(log, shard) -> the offset behind the last that is known to be there, of the shards that
        are read here. It is not asked for this."""


class Bus(Protocol):
    """Distribution. Partition = shard."""

    async def publish(self, log: str, shard: int, commits: Sequence[Commit]) -> int:
        """In order, durable on return; the offset of the first. After an error: build a new bus."""

    async def tail(self, log: str, shard: int) -> tuple[Commit, int] | None:
        """The last commit that was reached without a jump in seq, and the next offset."""

    def read(self, log: str, shard: int) -> AsyncIterator[Record]:
        """All that lies in a shard, from its beginning to where it ends when this is asked: for
        those who check. Nothing when there is no topic; none is made."""

    def subscribe(
        self, logs: Collection[str], group: str | None
    ) -> AbstractAsyncContextManager[Feed]:
        """With a group, shards are shared among its members and start at the group's offsets
        (else at the beginning); without one, every shard from the beginning."""


class Put(NamedTuple):
    """A guarded write. `rev` is the revision it replaces; 0 = must not exist."""

    kind: str
    key: str
    doc: Doc
    rev: int


Scalar = str | int | bool | None


@dataclass(frozen=True)
class Query:
    """Equality, one optional range, order, keyset. The shape must be a declared index:
    `where` fields first, then `order` fields (the range is on the first of them)."""

    where: Mapping[str, Scalar] = field(default_factory=dict)
    order: tuple[str, ...] = ()
    low: Scalar = None
    high: Scalar = None
    descending: bool = False
    after: tuple[Scalar, ...] | None = None
    limit: int = 50


class Page(NamedTuple):
    """Documents in order (ties by `_id`), and the keyset to go on from (None at the end)."""

    docs: list[Doc]
    next: tuple[Scalar, ...] | None


class Documents(Protocol):
    """Read models, cursors, aliases. A kind is one set of documents, such as a generation."""

    async def prepare(self, kind: str, indexes: Sequence[tuple[str, ...]]) -> None:
        """Creates what is needed; before anything is put. Doing it again is nothing."""

    async def get(self, kind: str, keys: Collection[str]) -> dict[str, Doc]: ...

    async def find(self, kind: str, query: Query) -> Page:
        """Raises ValueError for a shape that no declared index serves."""

    async def put(self, puts: Sequence[Put]) -> list[bool]:
        """Each guarded on its own; False = lost the race. Durable enough to lose only a suffix.
        Stored `_rev` becomes rev + 1."""

    async def drop(self, kind: str) -> None: ...


class WrappedKey(NamedTuple):
    """A key as it is stored: wrapped by the key-encryption key."""

    id: str
    wrapped: bytes


class Keys(Protocol):
    """One store per deployment. A key's id is `<subject>:<class>:<n>`."""

    async def ensure(
        self, offers: Mapping[tuple[str, str], bytes]
    ) -> dict[tuple[str, str], WrappedKey]:
        """(subject, class) -> wrapped key: ours, or the earlier one; durable on return.
        Raises Forgotten, whose argument is the subject."""

    async def get(self, ids: Collection[str]) -> dict[str, bytes | None]:
        """None = forgotten or never there."""

    async def held(self, subjects: Collection[str]) -> dict[str, list[WrappedKey] | None]:
        """A subject's keys of every class; None = forgotten."""

    async def forget(self, subject: str, classes: Collection[str]) -> int:
        """Tombstones first, then the keys; how many were destroyed. Never undone.
        An empty `classes` forgets the subject whole."""


class Clock(Protocol):
    def now(self) -> datetime: ...
