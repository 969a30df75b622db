"""A bus of topics in memory, with offsets of their own, duplicates and rewinds."""

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from time import monotonic

from libs.common.commit import Commit
from libs.common.ports import SHARDS, Delivery, Record


@dataclass(eq=False)
class MemoryBus:
    topics: dict[tuple[str, int], list[Commit]] = field(default_factory=dict)
    published: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def publish(self, log: str, shard: int, commits: Sequence[Commit]) -> int:
        async with self.published:
            topic = self.topics.setdefault((log, shard), [])
            topic.extend(commits)
            self.published.notify_all()
            return len(topic) - len(commits)

    async def tail(self, log: str, shard: int) -> tuple[Commit, int] | None:
        """The highest seq that was reached without a jump."""
        topic = self.topics.get((log, shard), [])
        last: Commit | None = None
        for commit in topic:
            if commit.seq == (last.seq if last else 0) + 1:
                last = commit
        return (last, len(topic)) if last else None

    async def read(self, log: str, shard: int) -> AsyncIterator[Record]:
        for offset, commit in enumerate([*self.topics.get((log, shard), [])]):
            yield Record(offset, commit.body)

    @asynccontextmanager
    async def subscribe(
        self, logs: Collection[str], group: str | None
    ) -> AsyncIterator["MemoryFeed"]:
        del group  # one member, whose place is its reader's cursors
        yield MemoryFeed(self, tuple(logs))


@dataclass(eq=False)
class MemoryFeed:
    bus: MemoryBus
    logs: tuple[str, ...]
    places: dict[tuple[str, int], int] = field(default_factory=dict)
    at_end: float | None = None

    async def batch(self, limit: int, wait: float) -> list[Delivery]:
        try:
            async with asyncio.timeout(wait), self.bus.published:
                while not (found := self._take(limit)):
                    self.at_end = monotonic()
                    await self.bus.published.wait()
                return found
        except TimeoutError:
            return []

    async def done(self, log: str, shard: int, offset: int) -> None:
        pass

    async def rewind(self, log: str, shard: int, offset: int) -> None:
        self.places[log, shard] = offset

    def ended(self) -> float | None:
        return self.at_end

    def ends(self) -> dict[tuple[str, int], int]:
        topics = self.bus.topics.items()
        return {place: len(topic) for place, topic in topics if place[0] in self.logs}

    def _take(self, limit: int) -> list[Delivery]:
        found: list[Delivery] = []
        for log in self.logs:
            for shard in range(SHARDS):
                topic = self.bus.topics.get((log, shard), [])
                at = self.places.get((log, shard), 0)
                taken = topic[at : at + limit - len(found)]
                found += [Delivery(commit, at + n) for n, commit in enumerate(taken)]
                self.places[log, shard] = at + len(taken)
        return found
