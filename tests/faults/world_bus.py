"""Topics in memory: duplicates, gaps, groups that share shards and readers that were thought dead.

Offsets are a topic's own, as on Kafka: whatever was said again lies there again.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from libs.common.commit import Commit
from libs.common.errors import StoreAway
from libs.common.ports import Delivery, Record
from tests.faults.loop import HERE, Process
from tests.faults.weather import Weather, answer

SESSION_SECONDS = 1.0
"""A member that is not heard of for so long loses its shards to the others."""
GAP_MAX = 3

Place = tuple[str, int]


@dataclass(eq=False)
class Group:
    """Who reads together, and how far each shard was said to be dealt with."""

    members: list["WorldFeed"] = field(default_factory=list)
    offsets: dict[Place, int] = field(default_factory=dict)
    sharing: list["WorldFeed"] = field(default_factory=list)
    """Among whom the shards are shared at present."""


@dataclass(eq=False)
class WorldBus:
    weather: Weather = field(default_factory=Weather)
    name: str = "bus"
    topics: dict[Place, list[Commit]] = field(default_factory=dict)
    groups: dict[str, Group] = field(default_factory=dict)
    waiting: list["asyncio.Future[None]"] = field(default_factory=list)

    async def publish(self, log: str, shard: int, commits: Sequence[Commit]) -> int:
        weather = self.weather
        if weather.bad() and self.name not in weather.away:
            part = commits[: weather.chance.randrange(len(commits) + 1)]
            weather.fault("publish half", f"{log}:{shard} {len(part)} of {len(commits)}")
            await weather.call(self.name, "publish", lambda: self._land((log, shard), part))
            raise StoreAway("the reply to a publish was lost")
        return await weather.call(self.name, "publish", lambda: self._land((log, shard), commits))

    async def tail(self, log: str, shard: int) -> tuple[Commit, int] | None:
        def look() -> tuple[Commit, int] | None:
            topic = self.topics.get((log, shard), ())
            last: Commit | None = None
            for commit in topic:
                if commit.seq == (last.seq if last else 0) + 1:
                    last = commit
            return (last, len(topic)) if last else None

        return await self.weather.call(self.name, "tail", look)

    async def read(self, log: str, shard: int) -> AsyncIterator[Record]:
        def look() -> list[Commit]:
            return [*self.topics.get((log, shard), ())]

        for offset, commit in enumerate(await self.weather.call(self.name, "read", look)):
            yield Record(offset, commit.body)

    @asynccontextmanager
    async def subscribe(
        self, logs: Collection[str], group: str | None
    ) -> AsyncIterator["WorldFeed"]:
        await self.weather.call(self.name, "subscribe", lambda: None)
        found = self.groups.setdefault(group, Group()) if group is not None else Group()
        feed = WorldFeed(self, tuple(logs), found)
        found.members.append(feed)
        try:
            yield feed
        finally:
            found.members.remove(feed)

    def _land(self, place: Place, commits: Sequence[Commit]) -> int:
        topic = self.topics.setdefault(place, [])
        topic.extend(commits)
        waiting, self.waiting = self.waiting, []
        for reader in waiting:
            answer(reader, None)
        return len(topic) - len(commits)


@dataclass(eq=False)
class WorldFeed:
    bus: WorldBus
    logs: tuple[str, ...]
    group: Group
    process: Process | None = field(default_factory=HERE.get)
    places: dict[Place, int] = field(default_factory=dict)
    at_end: float | None = None
    seen: list["WorldFeed"] = field(default_factory=list)
    """With whom it shared when it last looked."""

    async def batch(self, limit: int, wait: float) -> list[Delivery]:
        loop = asyncio.get_running_loop()
        until = loop.time() + wait
        while True:
            found = await self.bus.weather.call(self.bus.name, "batch", lambda: self._take(limit))
            if found:
                return found
            self.at_end = loop.time()
            if self.at_end >= until:
                return []
            news: asyncio.Future[None] = loop.create_future()
            self.bus.waiting.append(news)
            timer = loop.call_at(until, answer, news, None)
            try:
                await news
            finally:
                timer.cancel()
                if news in self.bus.waiting:
                    self.bus.waiting.remove(news)

    async def done(self, log: str, shard: int, offset: int) -> None:
        def note() -> None:
            self.group.offsets[log, shard] = offset + 1

        await self.bus.weather.call(self.bus.name, "done", note)

    async def rewind(self, log: str, shard: int, offset: int) -> None:
        self.places[log, shard] = offset

    def ended(self) -> float | None:
        return self.at_end

    def ends(self) -> dict[Place, int]:
        topics = self.bus.topics.items()
        return {place: len(topic) for place, topic in topics if place[0] in self.logs}

    def alive(self, now: float) -> bool:
        process = self.process
        if process is None or not (process.dead or process.frozen):
            return True
        return now - process.since < SESSION_SECONDS

    def _take(self, limit: int) -> list[Delivery]:
        mine = self._share()
        weather, topics, found = self.bus.weather, self.bus.topics, list[Delivery]()
        places = [place for place in topics if place[0] in self.logs and mine(place)]
        if weather.trouble:
            weather.chance.shuffle(places)
        for place in places:
            topic = topics[place]
            at = self.places.get(place)
            if at is None:
                at = self.group.offsets.get(place, 0)
            left = len(topic) - at
            if left <= 0 or len(found) >= limit:
                self.places[place] = at
                continue
            if weather.bad() or weather.bad():
                low, high = -min(at, GAP_MAX), _passed_over(topic, at)
                jump = high or weather.chance.randint(low, high)
                at += jump
                weather.fault("gap" if jump > 0 else "again", f"{place[0]}:{place[1]} {jump}")
            taken = topic[at : at + limit - len(found)]
            found += [Delivery(commit, at + n) for n, commit in enumerate(taken)]
            self.places[place] = at + len(taken)
        return found

    def _share(self) -> "_Mine":
        """Which shards are this reader's. Whenever the members change, all start anew where the
        group is said to be."""
        now = asyncio.get_running_loop().time()
        living = [member for member in self.group.members if member.alive(now)]
        if living != self.group.sharing:
            self.group.sharing = living
            if len(living) > 1:
                self.bus.weather.tell(f"rebalance of {len(living)} over {'+'.join(self.logs)}")
        if self.seen != living:
            if self.seen:
                self.places.clear()
            self.seen = living
        return _Mine(len(living), living.index(self) if self in living else 0)


def _passed_over(topic: Sequence[Commit], at: int) -> int:
    """How many records may go missing here. What comes behind them is newer than they: a group's
    offsets are never beyond what its readers have stored, so an old twin cannot hide a gap."""
    count = min(len(topic) - at - 1, GAP_MAX)
    while count > 0 and topic[at + count].seq <= max(c.seq for c in topic[at : at + count]):
        count -= 1
    return count


@dataclass(frozen=True)
class _Mine:
    members: int
    number: int

    def __call__(self, place: Place) -> bool:
        return place[1] % max(1, self.members) == self.number
