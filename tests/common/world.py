"""A world in one thread: virtual time, and a store of three replicas that fails as real ones do.

The store keeps one operation log. What the majority has is durable; what comes after may be
rolled back. Replies get lost, inserts stop in the middle, calls take their time.
"""

import asyncio
import random
import selectors
from collections.abc import AsyncIterator, Coroutine, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

from libs.common.commit import Commit
from libs.common.errors import StoreAway
from libs.common.ports import SHARDS, Inserted

T = TypeVar("T")
START = datetime(2025, 9, 1, tzinfo=UTC)


class _Jumping(selectors.SelectSelector):
    """Waiting takes no time: the loop's clock jumps to when something is due."""

    def __init__(self, loop: "VirtualLoop") -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[Any]:
        found = super().select(0)
        if not found and timeout is None:
            raise RuntimeError("everybody waits and nothing will happen")
        if not found and timeout is not None and timeout > 0:
            self._loop.now += timeout
        return found


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self.now = 0.0
        super().__init__(_Jumping(self))

    def time(self) -> float:
        return self.now


def run_virtually(main: Coroutine[Any, Any, T]) -> T:
    loop = VirtualLoop()
    try:
        return loop.run_until_complete(main)
    finally:
        loop.close()


class WorldClock:
    """Wall time that follows the loop's virtual time."""

    def now(self) -> datetime:
        return START + timedelta(seconds=asyncio.get_running_loop().time())


class WorldStore:
    """An event store of three replicas, seen by one or more processes."""

    def __init__(self, seed: random.Random, trouble: float) -> None:
        self.random, self.trouble = seed, trouble
        self.oplog: list[Commit] = []
        self.majority = 0
        self.term = 0
        self.unknown_stored = 0
        self.tasks: list[asyncio.Task[None]] = []

    # what the tests look at
    def durable(self) -> list[Commit]:
        return self.oplog[: self.majority]

    def heal(self) -> None:
        self.trouble = 0.0
        self.majority = len(self.oplog)

    # the port
    async def insert(self, rows: Sequence[Commit]) -> Inserted:
        await self._delay()
        if self._bad():
            return Inserted(0, "unknown")  # never arrived
        stop = self.random.randrange(len(rows)) if self._bad() else len(rows)
        term, duplicate = self.term, None
        for number, row in enumerate(rows[:stop]):
            if self._collides(row):
                duplicate = number
                break
            self.oplog.append(row)
        wanted = len(self.oplog)
        if self._bad():  # the reply is lost long before the majority has the rows
            self.tasks.append(asyncio.create_task(self._replicate(wanted, term)))
            return Inserted(0, "unknown")
        await self._replicate(wanted, term)
        lost = self.term != term or stop < len(rows) or self._bad()
        if lost:
            self.unknown_stored += len(rows[:stop]) > 0 and self.term == term
            return Inserted(0, "unknown")
        if duplicate is not None:
            return Inserted(duplicate, "duplicate")
        return Inserted(len(rows))

    async def head(self, shard: int, _known: int = 0) -> Commit | None:
        await self._read()
        found = [row for row in self.durable() if row.shard == shard]
        return found[-1] if found else None

    async def stream(self, stream: str, after: int = 0) -> AsyncIterator[Commit]:
        await self._read()
        for row in [r for r in self.durable() if r.stream == stream and r.first > after]:
            yield row

    async def log(self, shard: int, after: int, limit: int = 500) -> list[Commit]:
        await self._read()
        return [r for r in self.durable() if r.shard == shard and r.seq > after][:limit]

    async def news(self, nexts: Sequence[int]) -> list[int]:
        await self._read()
        there = {(row.shard, row.seq) for row in self.durable()}
        return [shard for shard in range(SHARDS) if (shard, nexts[shard]) in there]

    async def by_commands(
        self, commands: Sequence[UUID], local: bool = False
    ) -> dict[UUID, Commit]:
        await self._read()
        rows = self.oplog if local else self.durable()
        return {row.command: row for row in rows if row.command in commands}

    async def _replicate(self, wanted: int, term: int) -> None:
        await self._delay()
        if self.term == term and self.random.random() < self.trouble:
            del self.oplog[self.majority :]  # the primary fails over
            self.term += 1
        if self.term == term:
            self.majority = max(self.majority, wanted)

    def _collides(self, row: Commit) -> bool:
        return any(
            (one.shard, one.seq) == (row.shard, row.seq)
            or (one.stream, one.first) == (row.stream, row.first)
            or one.command == row.command
            for one in self.oplog
        )

    def _bad(self) -> bool:
        return self.random.random() < self.trouble

    async def _delay(self) -> None:
        slow = self._bad()
        await asyncio.sleep(self.random.expovariate(20 if slow else 200))  # virtual seconds

    async def _read(self) -> None:
        await self._delay()
        if self._bad():
            raise StoreAway("the world is unkind")
