"""A shard whose store and topic disagree stands still, alone, until it has been mended."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import pytest

from libs.common.adapters import open_store
from libs.common.append import Appended, Appender
from libs.common.clock import SystemClock
from libs.common.commit import Commit, Draft
from libs.common.errors import Fenced, StoreAway
from libs.common.fence import BEHIND_LOOKS, Fence, Why
from libs.common.ports import SHARDS, EventStore
from libs.common.relay import Relay
from libs.common.web.problems import problem_of
from tests.common.broken import behind_its_back, forged, last_of, replace, rows_of, written
from tests.common.doors import until
from tests.common.topics import MemoryBus
from tests.ports.chains import EVENT, LOG, SOMEBODY, Chain, stream_in


@dataclass(eq=False)
class Night:
    """A log and its whole topic; then something happens to the store."""

    folder: Path
    commits: list[Commit]
    bus: MemoryBus

    @property
    def end(self) -> Commit:
        return last_of(self.commits)

    def lose_end(self, count: int = 2) -> None:
        gone = "DELETE FROM commits WHERE shard = ? AND seq > ?"
        with behind_its_back(self.folder) as connection:
            connection.execute(gone, (self.end.shard, self.end.seq - count))

    def lost(self, count: int = 2) -> list[Commit]:
        shard = [commit for commit in self.commits if commit.shard == self.end.shard]
        return shard[-count:]

    @asynccontextmanager
    async def store(self) -> AsyncIterator[EventStore]:
        async with open_store(f"sqlite://{self.folder}", LOG) as store:
            yield store


@pytest.fixture
async def night(tmp_path: Path) -> Night:
    await written(tmp_path)
    commits = await rows_of(tmp_path)
    bus = MemoryBus()
    for commit in commits:
        await bus.publish(LOG, commit.shard, [commit])
    return Night(tmp_path, commits, bus)


@dataclass(eq=False)
class Patience:
    """Counts how long was waited, without waiting; something may happen meanwhile."""

    seconds: float = 0.0
    then: Callable[[], Awaitable[object]] | None = None

    async def __call__(self, seconds: float) -> None:
        self.seconds += seconds
        await asyncio.sleep(0)
        if self.then is not None and self.seconds > 1:
            await self.then()
            self.then = None


async def test_what_agrees_flows(night: Night) -> None:
    patience = Patience()
    async with night.store() as store:
        fence = Fence(store, night.bus, LOG, patience)
        await fence.open()
    assert (fence.held, fence.reasons(), patience.seconds) == ({}, [], 0.0)


async def test_a_store_that_is_behind_its_topic_is_fenced_after_ten_seconds(night: Night) -> None:
    night.lose_end()
    patience = Patience()
    async with night.store() as store:
        fence = Fence(store, night.bus, LOG, patience)
        await fence.open()
    shard = night.end.shard
    assert (fence.held, patience.seconds) == ({shard: Why.BEHIND}, 10.0)
    [reason] = fence.reasons()
    assert reason == f"{LOG}:{shard:02} stands still at {night.end.position}: {Why.BEHIND}"


async def test_a_store_that_catches_up_is_not_fenced(night: Night) -> None:
    night.lose_end()
    async with night.store() as store:
        fence = Fence(store, night.bus, LOG, Patience(then=lambda: store.insert(night.lost())))
        await fence.open()
    assert fence.held == {}


async def test_two_histories_are_fenced_at_once(night: Night) -> None:
    replace(night.folder, night.end, forged(night.end, trace="elsewhere"))
    patience = Patience()
    async with night.store() as store:
        fence = Fence(store, night.bus, LOG, patience)
        await fence.open()
    assert (fence.held, patience.seconds) == ({night.end.shard: Why.FORK}, 0.0)


async def test_nothing_is_written_to_a_shard_in_doubt(night: Night) -> None:
    """While it is not known whether the store will catch up, a commit could be a second history."""
    night.lose_end()
    async with night.store() as store:
        seen: list[dict[int, Why]] = []

        async def look(_: float) -> None:
            seen.append(dict(fence.held))

        fence = Fence(store, night.bus, LOG, look)
        await fence.open()
    assert seen == [{night.end.shard: Why.DOUBT}] * BEHIND_LOOKS


def draft(shard: int, ident: int, number: int = 2_000) -> Draft:
    """For a new stream."""
    stream = stream_in(shard, number)
    command = UUID(int=ident)
    return Draft(stream, 0, (EVENT,), ("pearl.threaded",), command, command, SOMEBODY)


async def test_a_fenced_shard_takes_no_commits_and_others_do(night: Night) -> None:
    fenced = {3: Why.BEHIND}
    async with night.store() as store:
        append = Appender(store, LOG, SystemClock(), fenced=fenced).append
        outcomes = await asyncio.gather(
            *(append(draft(shard, shard + 1)) for shard in range(SHARDS)), return_exceptions=True
        )
        refused = [shard for shard, outcome in enumerate(outcomes) if isinstance(outcome, Fenced)]
        assert refused == [3]
        assert sum(isinstance(outcome, Appended) for outcome in outcomes) == SHARDS - 1
        with pytest.raises(Fenced):
            await append(draft(3, 100))
        fenced.clear()
        assert not (await append(draft(3, 101))).replayed


def test_a_caller_is_told_to_come_back_later() -> None:
    problem = problem_of(Fenced("this shard stands still"))
    assert (problem.status, problem.code) == (503, "fenced")
    assert dict(problem.headers) == {b"retry-after": b"30"}


@dataclass(eq=False)
class Unreachable(MemoryBus):
    """A topic that cannot be read."""

    away: bool = True

    async def tail(self, log: str, shard: int) -> tuple[Commit, int] | None:
        if self.away:
            raise StoreAway("made so")
        return await super().tail(log, shard)


async def test_writers_start_while_the_topic_is_away_and_are_fenced_once_it_is_back(
    night: Night,
) -> None:
    night.lose_end()
    bus = Unreachable(night.bus.topics)
    async with night.store() as store:
        fence = Fence(store, bus, LOG, Patience())
        await fence.open()
        assert fence.held == {}
        with pytest.raises(StoreAway):  # the supervisor starts it again
            await fence.watch()
        bus.away = False
        async with working(fence.watch):
            await until(lambda: eventually(fence.held == {night.end.shard: Why.BEHIND}))


async def eventually(held: bool) -> bool:
    return held


@asynccontextmanager
async def working(*loops: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    tasks = [asyncio.ensure_future(loop()) for loop in loops]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(outcome, asyncio.CancelledError) for outcome in outcomes), outcomes


def sizes(bus: MemoryBus) -> dict[int, int]:
    return {shard: len(bus.topics.get((LOG, shard), [])) for shard in range(SHARDS)}


async def test_the_relay_of_a_fenced_shard_stands_still_and_the_others_send(night: Night) -> None:
    night.lose_end()
    before = sizes(night.bus)
    other = next(shard for shard in range(SHARDS) if shard != night.end.shard)
    async with night.store() as store:
        relay = Relay(store, night.bus, LOG)
        relay.fence.sleep = Patience()
        await relay.fence.open()
        append = Appender(store, LOG, SystemClock()).append
        async with working(relay.run, relay.fence.watch):
            await append(draft(other, 1))
            await until(lambda: eventually(sizes(night.bus)[other] == before[other] + 1))
            assert sizes(night.bus)[night.end.shard] == before[night.end.shard]
            await store.insert(night.lost())
            await until(lambda: eventually(relay.fence.held == {}))
            await append(draft(night.end.shard, 2))
            await until(
                lambda: eventually(sizes(night.bus)[night.end.shard] == before[night.end.shard] + 1)
            )
    assert told(night.bus, night.end.shard) == [night.end.seq - 1, night.end.seq, night.end.seq + 1]


def told(bus: MemoryBus, shard: int, last: int = 3) -> Sequence[int]:
    return [commit.seq for commit in bus.topics[LOG, shard][-last:]]


async def test_a_shard_that_has_much_sends_batch_after_batch(
    night: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("libs.common.relay.LOG_BATCH_MAX", 3)
    chain, bus = Chain(), MemoryBus()
    commits = [chain.grow("pearl/1") for _ in range(31)]
    shard = commits[0].shard
    async with open_store(f"sqlite://{night.folder}/other", LOG) as store:
        await store.insert(commits)
        relay = Relay(store, bus, LOG)
        async with working(relay.run):
            await until(lambda: eventually(relay.nexts[shard] == 32))
    assert bus.topics[LOG, shard] == commits


async def test_a_topic_that_lost_its_end_gets_the_rest_again(night: Night) -> None:
    """While a relay runs: what it sends next does not land where it expects, so it looks again."""
    async with night.store() as store:
        relay = Relay(store, night.bus, LOG)
        append = Appender(store, LOG, SystemClock()).append
        async with working(relay.run):
            await append(draft(night.end.shard, 1))
            await until(lambda: eventually(told(night.bus, night.end.shard)[-1] > night.end.seq))
            del night.bus.topics[LOG, night.end.shard][-4:]
            await append(draft(night.end.shard, 2, 2_001))
            goal = night.end.seq + 2
            await until(lambda: caught_up(night, goal))
    reached = await night.bus.tail(LOG, night.end.shard)
    assert reached is not None
    assert reached[0].seq == night.end.seq + 2


async def caught_up(night: Night, goal: int) -> bool:
    tail = await night.bus.tail(LOG, night.end.shard)
    return tail is not None and tail[0].seq == goal


async def test_a_store_that_is_changed_under_a_relay_is_a_fork(night: Night) -> None:
    """What it would send next does not name what it has sent last."""
    async with night.store() as store:
        relay = Relay(store, night.bus, LOG)
        append = Appender(store, LOG, SystemClock()).append
        async with working(relay.run):
            await until(lambda: eventually(relay.nexts[night.end.shard] > night.end.seq))
            relay._hashes[night.end.shard] = "ab" * 32
            await append(draft(night.end.shard, 1))
            await until(lambda: eventually(relay.fence.held == {night.end.shard: Why.FORK}))
    assert told(night.bus, night.end.shard)[-1] == night.end.seq
