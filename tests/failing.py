"""The n-th call through a door fails: wrappers around any store, bus and documents.

`Failing(n, happened)` is shared by the doors of one run. Run for n = 1, 2, 3, … until it was not
`fired`: then nothing was left to fail.
"""

from collections.abc import AsyncIterator, Awaitable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeVar
from uuid import UUID

from libs.common.commit import Commit
from libs.common.errors import StoreAway
from libs.common.ports import (
    LOG_BATCH_MAX,
    Bus,
    Delivery,
    Doc,
    Documents,
    EventStore,
    Feed,
    Inserted,
    Page,
    Put,
    Query,
    Record,
    Row,
)

T = TypeVar("T")


@dataclass(eq=False)
class Failing:
    """Counts while it is `armed`. `happened`: the call takes effect and only its reply is lost."""

    n: int
    happened: bool = False
    armed: bool = False
    fired: bool = False
    calls: list[str] = field(default_factory=list)

    def due(self, name: str) -> bool:
        """Whether this very call is the one that fails."""
        if not self.armed:
            return False
        self.calls.append(name)
        if len(self.calls) != self.n:
            return False
        self.fired = True
        return True

    async def through(self, name: str, call: Awaitable[T]) -> T:
        if not self.due(name):
            return await call
        await _ended(call, self.happened)
        raise StoreAway(f"call {self.n}, {name}, was made to fail")


async def _ended(call: Awaitable[T], happened: bool) -> None:
    if happened:
        await call
    elif hasattr(call, "close"):
        call.close()  # never started


@dataclass(eq=False)
class FailingStore:
    """A failing insert tells that its outcome is unknown, as an adapter does."""

    store: EventStore
    fail: Failing
    parallel = True

    async def insert(self, rows: Sequence[Commit]) -> Inserted:
        if not self.fail.due("insert"):
            return await self.store.insert(rows)
        if self.fail.happened:
            await self.store.insert(rows)
        return Inserted(0, "unknown")

    async def head(self, shard: int, known: int = 0) -> Commit | None:
        return await self.fail.through("head", self.store.head(shard, known))

    async def stream(self, stream: str, after: int = 0) -> AsyncIterator[Commit]:
        if self.fail.due("stream"):
            raise StoreAway("a stream was made to fail")
        async for commit in self.store.stream(stream, after):
            yield commit

    async def log(self, shard: int, after: int, limit: int = LOG_BATCH_MAX) -> list[Commit]:
        return await self.fail.through("log", self.store.log(shard, after, limit))

    async def news(self, nexts: Sequence[int]) -> list[int]:
        return await self.fail.through("news", self.store.news(nexts))

    async def by_commands(
        self, commands: Sequence[UUID], local: bool = False
    ) -> dict[UUID, Commit]:
        return await self.fail.through("by_commands", self.store.by_commands(commands, local))

    async def rows(self, shard: int, after: int, limit: int = LOG_BATCH_MAX) -> list[Row]:
        return await self.fail.through("rows", self.store.rows(shard, after, limit))

    def fit(self) -> bool:
        return self.store.fit()


@dataclass(eq=False)
class FailingDocuments:
    documents: Documents
    fail: Failing

    async def prepare(self, kind: str, indexes: Sequence[tuple[str, ...]]) -> None:
        await self.fail.through("prepare", self.documents.prepare(kind, indexes))

    async def get(self, kind: str, keys: Collection[str]) -> dict[str, Doc]:
        return await self.fail.through("get", self.documents.get(kind, keys))

    async def find(self, kind: str, query: Query) -> Page:
        return await self.fail.through("find", self.documents.find(kind, query))

    async def put(self, puts: Sequence[Put]) -> list[bool]:
        return await self.fail.through("put", self.documents.put(puts))

    async def drop(self, kind: str) -> None:
        await self.fail.through("drop", self.documents.drop(kind))


@dataclass(eq=False)
class FailingFeed:
    """A failing batch is lost to its reader, who starts again from the cursors."""

    feed: Feed
    fail: Failing

    async def batch(self, limit: int, wait: float) -> list[Delivery]:
        return await self.fail.through("batch", self.feed.batch(limit, wait))

    async def done(self, log: str, shard: int, offset: int) -> None:
        await self.fail.through("done", self.feed.done(log, shard, offset))

    async def rewind(self, log: str, shard: int, offset: int) -> None:
        await self.fail.through("rewind", self.feed.rewind(log, shard, offset))

    def ended(self) -> float | None:
        return self.feed.ended()

    def ends(self) -> Mapping[tuple[str, int], int]:
        return self.feed.ends()


@dataclass(eq=False)
class FailingBus:
    bus: Bus
    fail: Failing

    async def publish(self, log: str, shard: int, commits: Sequence[Commit]) -> int:
        return await self.fail.through("publish", self.bus.publish(log, shard, commits))

    async def tail(self, log: str, shard: int) -> tuple[Commit, int] | None:
        return await self.fail.through("tail", self.bus.tail(log, shard))

    async def read(self, log: str, shard: int) -> AsyncIterator[Record]:
        if self.fail.due("read"):
            raise StoreAway("a reading was made to fail")
        async for record in self.bus.read(log, shard):
            yield record

    def subscribe(
        self, logs: Collection[str], group: str | None
    ) -> AbstractAsyncContextManager[Feed]:
        return self._subscribed(logs, group)

    @asynccontextmanager
    async def _subscribed(self, logs: Collection[str], group: str | None) -> AsyncIterator[Feed]:
        if self.fail.due("subscribe"):
            raise StoreAway("a subscription was made to fail")
        async with self.bus.subscribe(logs, group) as feed:
            yield FailingFeed(feed, self.fail)
