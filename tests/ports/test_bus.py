"""What every bus promises: at least once, in order per shard, and news without delay."""

import asyncio
from time import monotonic

import pytest

from libs.common.commit import Commit
from libs.common.ports import Delivery, Feed, Record
from tests.ports.chains import LOG, Chain, stream_in
from tests.ports.conftest import OTHER_LOG, Line

WAIT_SECONDS = 20.0
"""An upper bound for slow shared machines; nothing waits for it to pass."""
SHORT_SECONDS = 0.05


async def heard(feed: Feed, count: int, limit: int = 100) -> list[Delivery]:
    """Reads until so many different commits have come; repetitions are left out."""
    found: dict[tuple[str, int, int], Delivery] = {}
    until = monotonic() + WAIT_SECONDS
    while len(found) < count and monotonic() < until:
        for delivery in await feed.batch(limit, WAIT_SECONDS):
            commit = delivery.commit
            found.setdefault((commit.log, commit.shard, commit.seq), delivery)
    return list(found.values())


def of_shard(deliveries: list[Delivery], shard: int, log: str = LOG) -> list[Commit]:
    return [d.commit for d in deliveries if (d.commit.log, d.commit.shard) == (log, shard)]


@pytest.mark.parametrize("group", [None, "readers"])
async def test_a_reader_starts_at_the_beginning_and_hears_all_in_order(
    line: Line, group: str | None
) -> None:
    rows = Chain().grow_many(300)
    await line.say(*rows)
    async with line.bus.subscribe([LOG], group) as feed:
        deliveries = await heard(feed, len(rows))
    for shard in range(16):
        assert of_shard(deliveries, shard) == [row for row in rows if row.shard == shard]


async def test_a_batch_is_no_longer_than_asked(line: Line) -> None:
    await line.say(*Chain().grow_many(50))
    async with line.bus.subscribe([LOG], None) as feed:
        sizes: list[int] = []
        while sum(sizes) < 50:
            sizes.append(len(await feed.batch(7, WAIT_SECONDS)))
    assert max(sizes) <= 7


async def test_what_is_said_again_may_be_heard_again_and_nothing_is_out_of_order(
    line: Line,
) -> None:
    chain = Chain()
    rows = [chain.grow(stream_in(3)) for _ in range(20)]
    await line.say(*rows)
    await line.say(*rows[5:])
    last = chain.grow(stream_in(3))
    await line.say(last)
    async with line.bus.subscribe([LOG], None) as feed:
        seqs: list[int] = []
        while not seqs or seqs[-1] != last.seq:
            seqs += [delivery.commit.seq for delivery in await feed.batch(100, WAIT_SECONDS)]
    firsts = list(dict.fromkeys(seqs))
    assert firsts == list(range(1, 22)), "skipping what was seen leaves every commit, in order"


async def test_a_reader_goes_on_where_it_says_it_stands(line: Line) -> None:
    chain = Chain()
    rows = [chain.grow(stream_in(8)) for _ in range(30)]
    [base] = await line.say(*rows)
    async with line.bus.subscribe([LOG], None) as feed:
        await feed.rewind(LOG, 8, base + 20)
        assert [d.commit for d in await heard(feed, 10)] == rows[20:]


async def test_a_reader_may_go_back(line: Line) -> None:
    chain = Chain()
    rows = [chain.grow(stream_in(8)) for _ in range(30)]
    await line.say(*rows)
    async with line.bus.subscribe([LOG], "readers") as feed:
        deliveries = await heard(feed, 30)
        await feed.done(LOG, 8, deliveries[-1].offset)
        await feed.rewind(LOG, 8, deliveries[12].offset)
        assert [d.commit for d in await heard(feed, 18)] == rows[12:]


async def test_readers_do_not_disturb_each_other(line: Line) -> None:
    rows = Chain().grow_many(40)
    await line.say(*rows)
    async with line.bus.subscribe([LOG], "one") as one, line.bus.subscribe([LOG], "two") as two:
        for feed in (one, two):
            assert len(await heard(feed, 40)) == 40


async def test_several_logs_are_read_as_one(line: Line) -> None:
    chain, other = Chain(), Chain(OTHER_LOG)
    rows, others = chain.grow_many(40), other.grow_many(40)
    await line.say(*rows, *others)
    async with line.bus.subscribe([LOG, OTHER_LOG], None) as feed:
        deliveries = await heard(feed, 80)
    for shard in range(16):
        assert of_shard(deliveries, shard) == [row for row in rows if row.shard == shard]
        assert of_shard(deliveries, shard, OTHER_LOG) == [r for r in others if r.shard == shard]


async def test_news_wakes_a_reader_that_waits(line: Line) -> None:
    chain = Chain()
    async with line.bus.subscribe([LOG], None) as feed:
        await line.say(chain.grow("pearl/1"))
        await heard(feed, 1)
        waiting = asyncio.create_task(feed.batch(100, WAIT_SECONDS))
        await asyncio.sleep(0)  # it waits now
        row = chain.grow("pearl/1")
        await line.say(row)
        said = monotonic()
        batch = await waiting
    assert [delivery.commit for delivery in batch] == [row]
    assert monotonic() - said < WAIT_SECONDS / 4


async def test_a_reader_without_news_is_let_go_after_its_wait(line: Line) -> None:
    async with line.bus.subscribe([LOG], None) as feed:
        assert await feed.batch(100, 0) == []
        assert await feed.batch(100, SHORT_SECONDS) == []


async def test_the_end_is_known_only_when_all_has_been_dealt_with(line: Line) -> None:
    async with line.bus.subscribe([LOG], None) as feed:
        rows = Chain().grow_many(30)
        await line.say(*rows)
        said = monotonic()
        got = 0
        while got < len(rows):
            assert (feed.ended() or 0.0) < said, "something was left to read"
            got += len(await feed.batch(10, WAIT_SECONDS))
        assert (feed.ended() or 0.0) < said, "the last batch may not have been dealt with"
        until = monotonic() + WAIT_SECONDS
        while (feed.ended() or 0.0) < said and monotonic() < until:
            assert await feed.batch(10, SHORT_SECONDS) == []
        assert said <= (feed.ended() or 0.0) <= monotonic()


async def test_a_reader_knows_how_much_is_left(line: Line) -> None:
    chain = Chain()
    rows = [chain.grow(stream_in(8)) for _ in range(30)]
    [base] = await line.say(*rows)
    async with line.bus.subscribe([LOG], None) as feed:
        first = await feed.batch(10, WAIT_SECONDS)
        assert len(first) <= 10
        assert feed.ends()[LOG, 8] == base + 30
        await heard(feed, 30 - len(first))
        assert feed.ends()[LOG, 8] == base + 30
        await line.say(chain.grow(stream_in(8)))
        await heard(feed, 1)
        assert feed.ends()[LOG, 8] == base + 31


async def test_the_tail_is_the_last_commit_and_the_next_offset(line: Line) -> None:
    chain = Chain()
    rows = [chain.grow(stream_in(6)) for _ in range(9)]
    assert await line.bus.tail(LOG, 6) is None
    [base] = await line.say(*rows)
    assert base == 0, "an untouched log begins at offset 0"
    tail = await line.bus.tail(LOG, 6)
    assert tail == (rows[-1], 9)
    assert await line.say(chain.grow(stream_in(6))) == [9]


async def test_the_tail_is_found_again_after_a_restart(line: Line) -> None:
    chain = Chain()
    rows = [chain.grow(stream_in(6)) for _ in range(4)]
    await line.say(*rows)
    async with line.place.open_bus(line.stores) as again:
        assert await again.tail(LOG, 6) == (rows[-1], 4)
        async with again.subscribe([LOG], None) as feed:
            assert [delivery.commit for delivery in await heard(feed, 4)] == rows


async def test_all_that_lies_in_a_shard_can_be_read(line: Line) -> None:
    assert [record async for record in line.bus.read(LOG, 6)] == []
    chain = Chain()
    rows = [chain.grow(stream_in(6)) for _ in range(30)]
    await line.say(*rows)
    found = [record async for record in line.bus.read(LOG, 6)]
    assert found == [Record(offset, row.body) for offset, row in enumerate(rows)]
