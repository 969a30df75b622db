"""What one side lost comes back from the other, the same bytes; two histories are left alone."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any, cast

import pytest
from rich.console import Console

from libs.common.adapters import open_broken_store
from libs.common.commit import Commit, shard_of
from libs.common.errors import Fenced, Fork, StoreAway
from libs.common.fence import Why
from libs.common.operators.compare import Apart
from libs.common.operators.console import MISUSED, NOT_WELL, WELL, Operator
from libs.common.operators.recover import recover, recovered
from libs.common.ports import SHARDS, EventStore, Inserted
from libs.common.service import Running
from libs.common.settings import Settings
from libs.common.verify import Wrong
from tests.common.beads import add
from tests.common.broken import behind_its_back, forged, last_of, replace, rows_of, written
from tests.common.doors import ROOMS, Doors, alive, open_doors, service, settled, until
from tests.common.topics import MemoryBus
from tests.failing import Failing, FailingBus, FailingStore
from tests.ports.chains import LOG


async def topic_of(folder: Path) -> MemoryBus:
    await written(folder)
    bus = MemoryBus()
    for commit in await rows_of(folder):
        await bus.publish(LOG, commit.shard, [commit])
    return bus


@asynccontextmanager
async def mending(folder: Path) -> AsyncIterator[EventStore]:
    async with open_broken_store(f"sqlite://{folder}", LOG) as store:
        yield store


def losing(folder: Path, condition: str) -> None:
    with behind_its_back(folder) as connection:
        connection.execute(f"DELETE FROM commits WHERE {condition}")


@pytest.mark.parametrize(
    "lost",
    ["seq > 3", "seq = 2", "seq % 2 = 0", "shard in (3, 5, 8)", "shard < 20"],
    ids=["its end", "one commit", "every other", "three shards", "everything"],
)
async def test_a_store_gets_back_what_it_lost(tmp_path: Path, lost: str) -> None:
    bus = await topic_of(tmp_path)
    before = await rows_of(tmp_path)
    sent = {place: [*commits] for place, commits in bus.topics.items()}
    losing(tmp_path, lost)
    async with mending(tmp_path) as store:
        lines, code = await recovered(store, bus, LOG)
        again = await recovered(store, bus, LOG)
    assert (code, lines[-1]) == (WELL, f"{LOG}: well")
    assert lines[0].endswith("commits put back into the store")
    assert again == ([f"{LOG}: nothing to recover", f"{LOG}: well"], WELL)
    assert [row.body for row in await rows_of(tmp_path)] == [row.body for row in before]
    assert bus.topics == sent, "the topic was only read"


@pytest.mark.parametrize("lost", ["all", "end", "beginning", "middle"])
async def test_a_topic_gets_back_what_it_lost(tmp_path: Path, lost: str) -> None:
    bus = await topic_of(tmp_path)
    for place, rows in bus.topics.items():
        kept = {"all": [], "end": rows[:1], "beginning": rows[2:], "middle": rows[:1] + rows[3:]}
        bus.topics[place] = kept[lost]
    async with mending(tmp_path) as store:
        lines, code = await recovered(store, bus, LOG)
        again = await recovered(store, bus, LOG)
    assert (code, lines[-1]) == (WELL, f"{LOG}: well")
    assert lines[0].endswith("commits sent again to the topic")
    assert again == ([f"{LOG}: nothing to recover", f"{LOG}: well"], WELL)
    assert await newcomer(bus) == [row.body for row in await rows_of(tmp_path)]


async def newcomer(bus: MemoryBus) -> list[bytes]:
    """What somebody gets who reads every topic once, from its beginning, and drops what jumps."""
    found: list[bytes] = []
    for shard in range(SHARDS):
        reached = 0
        for commit in bus.topics.get((LOG, shard), []):
            if commit.seq == reached + 1:
                found.append(commit.body)
                reached = commit.seq
    return found


async def test_each_shard_is_mended_on_the_side_that_is_short(tmp_path: Path) -> None:
    bus = await topic_of(tmp_path)
    before = await rows_of(tmp_path)
    here, there = last_of(before), last_of(before, 1)
    losing(tmp_path, f"shard = {here.shard} AND seq > 1")
    del bus.topics[LOG, there.shard][1:]
    async with mending(tmp_path) as store:
        lines, code = await recovered(store, bus, LOG)
    assert (lines, code) == (
        [
            f"{LOG}:{here.shard:02}  {here.seq - 1} commits put back into the store",
            f"{LOG}:{there.shard:02}  {there.seq - 1} commits sent again to the topic",
            f"{LOG}: well",
        ],
        WELL,
    )
    assert await rows_of(tmp_path) == before
    assert await newcomer(bus) == [row.body for row in before]


async def test_two_histories_in_one_shard_are_refused_and_nothing_is_written(
    tmp_path: Path,
) -> None:
    """Not in the other shards either: somebody restored something wrongly, and must look first."""
    bus = await topic_of(tmp_path)
    commits = await rows_of(tmp_path)
    end, other = last_of(commits), last_of(commits, 1)
    replace(tmp_path, end, forged(end, trace="elsewhere"))
    losing(tmp_path, f"shard = {other.shard} AND seq > 2")
    before, sent = await rows_of(tmp_path), {k: [*v] for k, v in bus.topics.items()}
    async with mending(tmp_path) as store:
        lines, code = await recovered(store, bus, LOG)
    assert code == NOT_WELL
    assert lines[0] == f"{LOG}: REFUSED, nothing was written"
    assert f"  {end.position}  {Apart.FORK}" in lines
    assert (await rows_of(tmp_path), bus.topics) == (before, sent)


async def test_a_store_that_went_on_after_it_was_restored_is_refused(tmp_path: Path) -> None:
    """Its shard is shorter than the topic, yet its last commit is another one."""
    bus = await topic_of(tmp_path)
    end = last_of(await rows_of(tmp_path))
    losing(tmp_path, f"shard = {end.shard} AND seq = {end.seq}")
    shorter = last_of([row for row in await rows_of(tmp_path) if row.shard == end.shard])
    replace(tmp_path, shorter, forged(shorter, trace="elsewhere"))
    async with mending(tmp_path) as store:
        lines, code = await recovered(store, bus, LOG)
    assert (code, lines[0]) == (NOT_WELL, f"{LOG}: REFUSED, nothing was written")


async def test_damage_of_another_kind_is_refused(tmp_path: Path) -> None:
    bus = await topic_of(tmp_path)
    end = last_of(await rows_of(tmp_path))
    with behind_its_back(tmp_path) as connection:
        connection.execute("UPDATE commits SET types = 'x' WHERE shard = ?", (end.shard,))
    async with mending(tmp_path) as store:
        lines, code = await recovered(store, bus, LOG)
    assert code == NOT_WELL
    assert any(Wrong.INDEX in line for line in lines)


async def test_what_both_sides_lost_is_told(tmp_path: Path) -> None:
    bus = await topic_of(tmp_path)
    end = last_of(await rows_of(tmp_path))
    losing(tmp_path, f"shard = {end.shard} AND seq = 2")
    del bus.topics[LOG, end.shard][1]
    async with mending(tmp_path) as store:
        lines, code = await recovered(store, bus, LOG)
    assert code == NOT_WELL
    assert any(Wrong.HOLE in line for line in lines)


@pytest.mark.parametrize("happened", [False, True], ids=["before", "after"])
async def test_it_may_be_stopped_and_run_again(tmp_path: Path, happened: bool) -> None:
    """Every write fails once, and some of the reading; the next run does what is left."""
    whole = Failing(0)
    await half_mended(tmp_path / "0", whole)
    writes = [n for n, name in enumerate(whole.calls, 1) if name in ("insert", "publish", "log")]
    assert len(writes) >= 3
    for n in (len(whole.calls) // 4, *writes):
        fail = Failing(n, happened)
        await half_mended(tmp_path / str(n), fail)
        assert fail.fired


async def half_mended(folder: Path, fail: Failing) -> None:
    bus = await topic_of(folder)
    before = await rows_of(folder)
    here, there = last_of(before), last_of(before, 1)
    losing(folder, f"shard = {here.shard} AND seq > 1")
    del bus.topics[LOG, there.shard][1:]
    fail.armed = True
    async with mending(folder) as store:
        with suppress(StoreAway):
            await recovered(FailingStore(store, fail), FailingBus(bus, fail), LOG)
        lines, code = await recovered(store, bus, LOG)
    assert code == WELL, lines
    assert [row.body for row in await rows_of(folder)] == [row.body for row in before]
    assert await newcomer(bus) == [row.body for row in before]


async def test_two_may_recover_at_once(tmp_path: Path) -> None:
    bus = await topic_of(tmp_path)
    before = await rows_of(tmp_path)
    losing(tmp_path, "seq > 2")
    async with mending(tmp_path) as store:
        outcomes = await asyncio.gather(*(recovered(store, bus, LOG) for _ in range(2)))
    assert [code for _, code in outcomes] == [WELL, WELL]
    assert await rows_of(tmp_path) == before


@dataclass(eq=False)
class Rival:
    """A store into which somebody else writes another history, just before the first insert."""

    store: EventStore
    other: Commit

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    async def insert(self, rows: Sequence[Commit]) -> Inserted:
        await self.store.insert([self.other])
        return await self.store.insert(rows)


async def test_another_history_that_is_written_meanwhile_stops_it(tmp_path: Path) -> None:
    bus = await topic_of(tmp_path)
    end = last_of(await rows_of(tmp_path))
    losing(tmp_path, f"shard = {end.shard} AND seq = {end.seq}")
    async with mending(tmp_path) as store:
        rival = cast("EventStore", Rival(store, forged(end, trace="elsewhere")))
        with pytest.raises(Fork):
            await recovered(rival, bus, LOG)


async def test_where_nothing_is_sent_there_is_no_second_copy(tmp_path: Path) -> None:
    page = StringIO()
    settings = Settings.of("beads", {"DATA_DIR": str(tmp_path)})
    assert await recover(Operator(settings, [ROOMS], (), Console(file=page))) == MISUSED
    assert "no second copy" in page.getvalue()


async def test_a_restored_store_is_fenced_until_it_is_recovered(tmp_path: Path) -> None:
    """The whole story with a service at work: told to come back, mended, and going on by itself."""
    async with open_doors(tmp_path) as real:
        bus = MemoryBus()
        doors = Doors(real.store, bus, real.documents, real.keys)
        running = await service(doors, relayed=True)
        async with alive(running):
            for number in range(12):
                await running.handle(add(number, f"colour{number}", f"string/{number}"))
            await settled(running, real.store)
            await until(lambda: sent(bus, real.store))
    before = await rows_of(tmp_path, "beads")
    end = before[-1]
    with behind_its_back(tmp_path, "beads") as connection:
        connection.execute("DELETE FROM commits WHERE shard = ? AND seq = ?", (end.shard, end.seq))
    async with open_doors(tmp_path) as real:
        doors = Doors(real.store, bus, real.documents, real.keys)
        running = await service(doors, relayed=True)
        running.relay.fence.sleep = lambda _: asyncio.sleep(0)
        async with alive(running):
            assert running.relay.fence.held == {end.shard: Why.BEHIND}
            assert running.not_ready()[-1].startswith(f"beads:{end.shard:02} stands still at")
            refused, taken = await strung_everywhere(running)
            assert refused == {end.shard}
            assert len(taken) > 5
            lines, code = await recovered(real.store, bus, "beads")
            assert (code, lines[0]) == (
                WELL,
                f"beads:{end.shard:02}  1 commits put back into the store",
            )
            await until(lambda: flows(running))
            refused, _ = await strung_everywhere(running)
            assert not refused
            await settled(running, real.store)
            await until(lambda: sent(bus, real.store))
    after = {row.position: row.body for row in await rows_of(tmp_path, "beads")}
    assert after.items() >= {row.position: row.body for row in before}.items()


async def strung_everywhere(running: Running) -> tuple[set[int], set[int]]:
    """One command for a stream of every shard; where it was refused, and where it was taken."""
    refused, taken = set[int](), set[int]()
    for shard in range(SHARDS):
        stream = next(s for n in range(1_000) if shard_of(s := f"string/{shard}.{n}") == shard)
        try:
            await running.handle(add(100 + shard, "black", stream))
            taken.add(shard)
        except Fenced:
            refused.add(shard)
    return refused, taken


async def sent(bus: MemoryBus, store: EventStore) -> bool:
    ends = [await store.head(shard) for shard in range(SHARDS)]
    tails = [await bus.tail("beads", shard) for shard in range(SHARDS)]
    return [end and end.hash for end in ends] == [tail and tail[0].hash for tail in tails]


async def flows(running: Running) -> bool:
    return not running.relay.fence.held and not running.not_ready()
