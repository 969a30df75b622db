"""What every log of record promises."""

import asyncio
from uuid import UUID, uuid4

import pytest

from libs.common.commit import NO_PREV, chained, shard_of
from libs.common.ports import SHARDS, EventStore, Inserted, Row
from libs.common.verify import verify
from tests.ports.chains import Chain, everything, made, stream_in

WRITERS = 8
GROUPS = 6
GROUP = 5
TRIES_MAX = 500


async def test_a_group_is_stored_whole(store: EventStore) -> None:
    rows = Chain().grow_many(100)
    assert await store.insert(rows) == Inserted(100)
    assert sorted(row.body for row in await everything(store)) == sorted(row.body for row in rows)


async def test_nothing_at_all_may_be_asked(store: EventStore) -> None:
    assert await store.by_commands([]) == {}
    assert await store.log(3, 0) == []
    assert await store.head(3) is None
    assert await store.news([1] * SHARDS) == []
    assert [commit async for commit in store.stream("pearl/none")] == []


async def test_what_is_read_is_what_was_written(store: EventStore) -> None:
    row = Chain().grow("pearl/1", events=3)
    await store.insert([row])
    [read] = await store.log(row.shard, 0)
    assert read == row
    assert (read.hash, read.actor) == (row.hash, row.actor)
    assert {**vars(read), "content": None} == {**vars(row), "content": None}


@pytest.mark.parametrize("taken", ["position", "stream", "command"])
async def test_rows_before_a_duplicate_are_kept_and_none_behind_it(
    store: EventStore, taken: str
) -> None:
    chain = Chain()
    first = chain.grow(stream_in(5, 300))
    assert await store.insert([first]) == Inserted(1)
    rows = chain.grow_many(256)
    collides = {
        "position": made(stream_in(5, 301), first.seq),
        "stream": made(first.stream, 1_000),
        "command": made(rows[3].stream, rows[3].seq, rows[3].prev, command=first.command),
    }
    rows[3] = collides[taken]
    assert await store.insert(rows) == Inserted(3, "duplicate")
    assert {row.hash for row in await everything(store)} == {row.hash for row in [first, *rows[:3]]}


async def test_racing_writers_leave_one_dense_chain(rivals: list[EventStore]) -> None:
    written = await asyncio.gather(
        *(_write(rivals[number % len(rivals)], number) for number in range(WRITERS))
    )
    whole = await verify(rivals[0])
    assert (whole.commits, whole.streams) == (WRITERS * GROUPS * GROUP, WRITERS * GROUP)
    commands = [command for commands in written for command in commands]
    assert len(await rivals[-1].by_commands(commands)) == len(commands)


async def _write(store: EventStore, number: int) -> list[UUID]:
    """Groups of an own set of streams, each group tried from new heads until it is stored."""
    commands = []
    for version in range(GROUPS):
        left = [(f"pearl/{number}.{place}", uuid4()) for place in range(GROUP)]
        commands += [command for _, command in left]
        for _ in range(TRIES_MAX):
            chain = Chain(versions=dict.fromkeys((stream for stream, _ in left), version))
            for shard in {shard_of(stream) for stream, _ in left}:
                head = await store.head(shard)
                if head is not None:
                    chain.heads[shard] = head
            stored = await store.insert([chain.grow(s, command=c) for s, c in left])
            left = left[stored.n :]
            if not left:
                break
        assert not left, "the other writers never let it in"
    return commands


async def test_a_stream_is_read_in_order_from_any_version_on(store: EventStore) -> None:
    chain = Chain()
    rows = [chain.grow("pearl/long", events=1 + number % 3) for number in range(1_100)]
    noise = chain.grow_many(50)
    for start in range(0, len(rows), 100):
        await store.insert(rows[start : start + 100])
    await store.insert(noise)
    assert [commit async for commit in store.stream("pearl/long")] == rows
    behind = [commit async for commit in store.stream("pearl/long", after=rows[700].last)]
    assert behind == rows[701:]


async def test_the_log_of_a_shard_is_read_densely_page_by_page(store: EventStore) -> None:
    chain = Chain()
    rows = [chain.grow(stream_in(5, number % 7)) for number in range(60)]
    await store.insert(rows)
    pages = [await store.log(5, after, 25) for after in (0, 25, 50)]
    assert [commit for page in pages for commit in page] == rows
    assert [len(page) for page in pages] == [25, 25, 10]
    assert await store.log(5, 60, 25) == []
    assert chained(rows, NO_PREV, 0)


async def test_a_head_is_found_from_anywhere(store: EventStore) -> None:
    chain = Chain()
    rows = [chain.grow(stream_in(2, number % 9)) for number in range(300)]
    await store.insert(rows)
    for known in (0, 1, 150, 299, 300):
        assert await store.head(2, known) == rows[-1]
    assert await store.head(3) is None


async def test_news_names_the_shards_that_have_their_next_commit(store: EventStore) -> None:
    chain = Chain()
    await store.insert([chain.grow(stream_in(shard)) for shard in (1, 1, 4, 15)])
    assert sorted(await store.news([1] * SHARDS)) == [1, 4, 15]
    assert sorted(await store.news([2] * SHARDS)) == [1]
    assert await store.news([3] * SHARDS) == []


@pytest.mark.parametrize("local", [False, True])
async def test_commits_are_found_by_their_commands(store: EventStore, local: bool) -> None:
    rows = Chain().grow_many(256)
    await store.insert(rows)
    unknown = uuid4()
    found = await store.by_commands([*(row.command for row in rows), unknown], local=local)
    assert found == {row.command: row for row in rows}


async def test_what_was_stored_is_news_at_once(store: EventStore) -> None:
    """Whoever was answered finds it by every way of asking."""
    chain = Chain()
    for _ in range(20):
        row = chain.grow("pearl/1")
        await store.insert([row])
        nexts = [1] * SHARDS
        nexts[row.shard] = row.seq
        assert await store.head(row.shard, row.seq - 1) == row
        assert await store.news(nexts) == [row.shard]
        assert await store.log(row.shard, row.seq - 1) == [row]
        assert await store.by_commands([row.command]) == {row.command: row}
        assert [commit async for commit in store.stream("pearl/1", row.first - 1)] == [row]


async def test_the_rows_are_read_as_they_lie(store: EventStore) -> None:
    """Dense or not: whoever checks a log must see what is behind a hole."""
    chain = Chain()
    rows = [chain.grow(stream_in(5, number % 7), events=1 + number % 2) for number in range(40)]
    kept = [row for row in rows if row.seq not in (1, 20, 21, 22)]
    assert (await store.insert(kept)).n == len(kept)
    found: list[Row] = []
    while page := await store.rows(5, found[-1].seq if found else 0, 9):
        assert len(page) <= 9
        found += page
    assert found == [Row.of(row) for row in kept]
    assert store.fit()
