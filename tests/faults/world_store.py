"""A log of record in memory, of three replicas that fail as real ones do.

It keeps one operation log. What the majority has is durable; what comes behind may be rolled back.
Replies get lost, groups stop in the middle, a request may arrive after its sender has given up.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from libs.common.commit import Commit
from libs.common.ports import LOG_BATCH_MAX, SHARDS, Inserted, Row
from tests.faults.loop import inside
from tests.faults.weather import (
    CALLS_PER_SECOND,
    LATE_SECONDS_MAX,
    QUICK,
    SLOW_CALLS_PER_SECOND,
    Weather,
    answer,
)


@dataclass(eq=False)
class WorldStore:
    """Seen by one process or by many."""

    weather: Weather = field(default_factory=Weather)
    name: str = "store"
    oplog: list[Commit] = field(default_factory=list)
    majority: int = 0
    term: int = 0
    unknown_stored: int = 0
    """Outcomes that were told to be unknown though the rows stayed."""
    parallel = True
    _places: dict[UUID, int] = field(default_factory=dict)
    _taken: set[tuple[Any, int]] = field(default_factory=set)
    _shards: list[list[Commit]] = field(default_factory=lambda: [[] for _ in range(SHARDS)])

    # what the tests look at
    def durable(self) -> list[Commit]:
        return self.oplog[: self.majority]

    def settle(self) -> None:
        """All replicas agree on what there is."""
        self.majority = len(self.oplog)

    def fail_over(self) -> None:
        """The primary goes, and with it what the majority has not got yet."""
        for row in reversed(self.oplog[self.majority :]):
            del self._places[row.command]
            self._taken -= {(row.shard, row.seq), (row.stream, row.first)}
            self._shards[row.shard].pop()
        lost = len(self.oplog) - self.majority
        del self.oplog[self.majority :]
        self.term += 1
        self.weather.fault("fail-over", f"{self.name} {lost} rows rolled back")

    # the port
    async def insert(self, rows: Sequence[Commit]) -> Inserted:
        weather = self.weather
        if not weather.trouble and not weather.away:
            stored, duplicate = self._apply(rows)
            self.settle()
            return Inserted(stored, "duplicate" if duplicate else None)
        chance, loop = weather.chance, asyncio.get_running_loop()
        fate = chance.choice(("lost", "late", "half", "no reply")) if self._bad() else "well"
        if self.name in weather.away:
            fate = "lost"
        if fate != "well":
            weather.fault(f"insert {fate}", f"{self.name} of {len(rows)}")
        reply: asyncio.Future[Inserted] = loop.create_future()
        if fate == "lost":
            await asyncio.sleep(chance.expovariate(SLOW_CALLS_PER_SECOND))
            return Inserted(0, "unknown")
        pause = 0.0 if chance.random() < QUICK else chance.expovariate(CALLS_PER_SECOND)
        if fate == "late":
            pause = chance.uniform(0.0, LATE_SECONDS_MAX)
        sent = rows[: chance.randrange(len(rows))] if fate == "half" else rows
        if pause or fate == "late":
            loop.call_later(pause, self._arrive, sent, fate, reply, context=inside(None))
        else:
            self._arrive(sent, fate, reply)
        if fate == "late":
            await asyncio.sleep(chance.expovariate(SLOW_CALLS_PER_SECOND))
            return Inserted(0, "unknown")
        return await reply

    async def head(self, shard: int, known: int = 0) -> Commit | None:
        del known  # it is found without a hint
        return await self.weather.call(self.name, "head", lambda: self._head(shard))

    async def stream(self, stream: str, after: int = 0) -> AsyncIterator[Commit]:
        def look() -> list[Commit]:
            return [r for r in self.durable() if r.stream == stream and r.first > after]

        for row in await self.weather.call(self.name, "stream", look):
            yield row

    async def log(self, shard: int, after: int, limit: int = LOG_BATCH_MAX) -> list[Commit]:
        def look() -> list[Commit]:
            found = [row for row in self._shards[shard] if row.seq > after]
            return [row for row in found if self._places[row.command] < self.majority][:limit]

        return await self.weather.call(self.name, "log", look)

    async def news(self, nexts: Sequence[int]) -> list[int]:
        def look() -> list[int]:
            there = enumerate(zip(self._shards, nexts, strict=True))
            return [shard for shard, (rows, seq) in there if self._has(rows, seq)]

        return await self.weather.call(self.name, "news", look)

    async def by_commands(
        self, commands: Sequence[UUID], local: bool = False
    ) -> dict[UUID, Commit]:
        def look() -> dict[UUID, Commit]:
            end = len(self.oplog) if local else self.majority
            places = ((command, self._places.get(command, end)) for command in commands)
            return {command: self.oplog[place] for command, place in places if place < end}

        return await self.weather.call(self.name, "by_commands", look)

    async def rows(self, shard: int, after: int, limit: int = LOG_BATCH_MAX) -> list[Row]:
        return [Row.of(row) for row in await self.log(shard, after, limit)]

    def fit(self) -> bool:
        return self.name not in self.weather.away

    # the server
    def _apply(self, rows: Sequence[Commit]) -> tuple[int, bool]:
        for number, row in enumerate(rows):
            taken = {(row.shard, row.seq), (row.stream, row.first)}
            if not self._taken.isdisjoint(taken) or row.command in self._places:
                return number, True
            self._taken |= taken
            self._places[row.command] = len(self.oplog)
            self.oplog.append(row)
            self._shards[row.shard].append(row)
        return len(rows), False

    def _arrive(self, rows: Sequence[Commit], fate: str, reply: "asyncio.Future[Inserted]") -> None:
        stored, duplicate = self._apply(rows)
        wanted, term, weather = len(self.oplog), self.term, self.weather

        def replicated() -> None:
            if self.term == term and (weather.bad() or (fate == "no reply" and self._bad())):
                self.fail_over()
            lost = self.term != term
            if not lost:
                self.majority = max(self.majority, wanted)
            self.unknown_stored += (lost or fate != "well") and stored > 0 and not lost
            if lost or fate != "well":
                durable = weather.chance.randrange(stored + 1) if fate == "half" and not lost else 0
                answer(reply, Inserted(durable, "unknown"))
            else:
                answer(reply, Inserted(stored, "duplicate" if duplicate else None))

        if fate == "no reply":  # long before the majority has the rows
            answer(reply, Inserted(0, "unknown"))
        slow = fate == "no reply" or weather.bad()
        if not slow and weather.chance.random() < QUICK:
            replicated()
            return
        pause = weather.chance.expovariate(SLOW_CALLS_PER_SECOND if slow else CALLS_PER_SECOND)
        asyncio.get_running_loop().call_later(pause, replicated, context=inside(None))

    def _bad(self) -> bool:
        """Twice as likely as elsewhere: what is being stored is what it is all about."""
        return self.weather.bad() or self.weather.bad()

    def _has(self, rows: Sequence[Commit], seq: int) -> bool:
        return any(r.seq == seq and self._places[r.command] < self.majority for r in reversed(rows))

    def _head(self, shard: int) -> Commit | None:
        for row in reversed(self._shards[shard]):
            if self._places[row.command] < self.majority:
                return row
        return None
