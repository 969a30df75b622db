"""What a commit looks like on Kafka, and what a bus does when its broker is killed."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from deploy.engines import engines as real
from libs.common.adapters.kafka import KafkaBus, headers
from libs.common.adapters.kafka_ending import end_consumer
from libs.common.commit import NO_PREV, Commit, Draft, encode, shard_of
from libs.common.errors import StoreAway
from libs.common.messages import Actor, Dep, Position, Role
from libs.common.ports import SHARDS, Delivery, Feed
from libs.common.words import canonical

AT = datetime(2026, 1, 23, 17, 18, 26, 263443, UTC)
STREAM = "referral/ref_1"
SOMEBODY = Actor("usr_1", Role.TEACHER, "sch_one")
WAIT_SECONDS_MAX = 30.0


def commits(count: int, shard: int = shard_of(STREAM)) -> list[Commit]:
    """A chain in one shard."""
    event = canonical({"data": {}, "type": "referral.sent", "v": 1})
    streams = (f"referral/ref_{number}" for number in range(1_000))
    stream = next(stream for stream in streams if shard_of(stream) == shard)
    made: list[Commit] = []
    for number in range(count):
        draft = Draft(
            stream, number, (event,), ("referral.sent",), uuid4(), uuid4(), SOMEBODY, ("stu_1",)
        )
        prev = made[-1].hash if made else NO_PREV
        made.append(encode(draft, "referrals", number + 1, prev, AT))
    return made


async def drained(feed: Feed) -> list[Delivery]:
    """Everything until the feed has known of nothing more since it was asked."""
    started, found = monotonic(), list[Delivery]()
    while (feed.ended() or 0.0) < started:
        found += await feed.batch(500, 0.2)
    return found


def prefix() -> str:
    return f"test-{uuid4().hex[:8]}"


def test_a_record_carries_headers_to_filter_by_and_one_cloud_event() -> None:
    command, correlation = UUID(int=1), UUID(int=2)
    commit = encode(
        Draft(
            STREAM,
            3,
            (canonical({"data": {}, "type": "referral.sent", "v": 1}),) * 2,
            ("referral.sent", "referral.sent"),
            command,
            correlation,
            SOMEBODY,
            cause=Dep(Position("consent", 3, 917), AT),
            trace="00-24770f96-9c407f42-01",
        ),
        "referrals",
        42,
        NO_PREV,
        AT,
    )
    assert dict(headers(commit)) == {
        "seq": b"42",
        "hash": commit.hash.encode(),
        "types": b"referral.sent,referral.sent",
        "first": b"4",
        "last": b"5",
        "command": str(command).encode(),
        "correlation": str(correlation).encode(),
        "cause": b"consent:03:917",
        "traceparent": b"00-24770f96-9c407f42-01",
        "ce_specversion": b"1.0",
        "ce_id": str(commit.position).encode(),
        "ce_source": b"/referrals",
        "ce_subject": STREAM.encode(),
        "ce_type": b"alliance.commit.v1",
        "ce_time": b"2026-01-23T17:18:26.263443Z",
        "content-type": b"application/json",
    }


def test_what_a_commit_does_not_have_is_no_header() -> None:
    names = {name for name, _ in headers(commits(1)[0])}
    assert not names & {"cause", "traceparent"}


@pytest.mark.engines
async def test_a_record_is_the_bytes_of_the_commit(kafka: str) -> None:
    name, [commit] = prefix(), commits(1)
    async with KafkaBus(kafka, name) as bus:
        await bus.publish("referrals", commit.shard, [commit])
    partition = TopicPartition(f"{name}.referrals.commits", commit.shard)
    consumer = AIOKafkaConsumer(
        bootstrap_servers=kafka.removeprefix("kafka://"), auto_offset_reset="earliest"
    )
    consumer.assign([partition])
    async with consumer:
        record = await asyncio.wait_for(consumer.getone(), WAIT_SECONDS_MAX)
    assert record.value == commit.body
    assert record.key == commit.stream.encode()
    assert record.timestamp == int(AT.timestamp() * 1_000)
    assert list(record.headers) == headers(commit)


@pytest.mark.engines
async def test_the_tail_is_not_fooled_by_a_late_duplicate_or_a_jump(kafka: str) -> None:
    made = commits(9)
    shard = made[0].shard
    async with KafkaBus(kafka, prefix()) as bus:
        await bus.publish("referrals", shard, made[:5])
        await bus.publish("referrals", shard, made[1:3])  # somebody who was asleep
        await bus.publish("referrals", shard, made[7:])  # the topic lost two
        assert await bus.tail("referrals", shard) == (made[4], 9)


@pytest.mark.engines
async def test_members_of_a_group_share_the_shards_and_miss_nothing(kafka: str) -> None:
    """One works alone, a second joins, the first leaves: what was done is not delivered again to
    a member who comes later, and what was not done is."""
    made = {shard: commits(30, shard) for shard in range(SHARDS)}
    async with KafkaBus(kafka, prefix()) as bus:
        for shard, chain in made.items():
            await bus.publish("referrals", shard, chain[:10])
        seen: set[Position] = set()
        async with bus.subscribe(["referrals"], "inbox") as second:
            async with bus.subscribe(["referrals"], "inbox") as first:
                for shard, chain in made.items():
                    await bus.publish("referrals", shard, chain[10:20])
                places: list[set[int]] = []
                for feed in (first, second):
                    deliveries = await drained(feed)
                    places.append({delivery.commit.shard for delivery in deliveries})
                    seen |= {delivery.commit.position for delivery in deliveries}
                    for delivery in deliveries:
                        await feed.done("referrals", delivery.commit.shard, delivery.offset)
                assert len(seen) == 20 * SHARDS
                assert places[0] | places[1] == set(range(SHARDS))
            for shard, chain in made.items():
                await bus.publish("referrals", shard, chain[20:])
            missing = {commit.position for chain in made.values() for commit in chain[20:]}
            async with asyncio.timeout(WAIT_SECONDS_MAX):
                while missing:  # the shards of the one who left come over within a heartbeat
                    for delivery in await second.batch(500, 0.2):
                        missing.discard(delivery.commit.position)
        async with bus.subscribe(["referrals"], "inbox") as third:
            again = await drained(third)
        assert min(delivery.commit.seq for delivery in again) > 10


@pytest.mark.engines
async def test_a_feed_knows_when_nothing_is_left(kafka: str) -> None:
    made = commits(10)
    async with KafkaBus(kafka, prefix()) as bus, bus.subscribe(["referrals"], None) as feed:
        await bus.publish("referrals", made[0].shard, made)
        published = monotonic()
        assert len(await feed.batch(100, WAIT_SECONDS_MAX)) == 10
        assert (feed.ended() or 0.0) < published, "the batch has not been dealt with yet"
        while (feed.ended() or 0.0) < published:
            assert await feed.batch(100, 0.2) == []
        assert published <= (feed.ended() or 0.0) <= monotonic()


@pytest.mark.engines
async def test_a_bus_outlives_its_broker(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Killed while it works: what was acknowledged is there, and publishing goes on."""
    if not real.kafka_found():
        pytest.skip("Kafka is not on this machine")
    broker, made = real.start_kafka(tmp_path), commits(20)
    shard = made[0].shard
    try:
        async with (
            KafkaBus(broker.url, prefix(), publish_seconds_max=1.0) as bus,
            bus.subscribe(["referrals"], None) as feed,
        ):
            await bus.publish("referrals", shard, made[:10])
            assert len(await feed.batch(100, WAIT_SECONDS_MAX)) == 10
            broker.stop()
            stopped = monotonic()
            with pytest.raises(StoreAway):
                await asyncio.wait_for(_fail(bus, made[10:], shard), WAIT_SECONDS_MAX)
            await feed.batch(100, 1.0)
            assert (feed.ended() or 0.0) <= stopped, "a dead broker has said nothing since"
            broker = real.start_kafka(tmp_path)
            tail = await bus.tail("referrals", shard)
            assert tail is not None
            assert tail[0].seq >= 10
            await bus.publish("referrals", shard, made[tail[0].seq :] or made[-1:])
            seen = 10
            while seen < 20:
                batch = await feed.batch(100, WAIT_SECONDS_MAX)
                seen = max(delivery.commit.seq for delivery in batch)
    finally:
        broker.stop()
    assert not [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    assert not caplog.records, "an outage floods no log, and no failure is left behind unheard"


@pytest.mark.engines
async def test_a_feed_of_a_dead_broker_ends_and_nobody_is_cancelled(tmp_path: Path) -> None:
    """aiokafka passes the end of its own unfinished fetch on to whoever stops it: loops that read
    would end without a word."""
    if not real.kafka_found():
        pytest.skip("Kafka is not on this machine")
    broker, made = real.start_kafka(tmp_path), commits(1)
    try:
        async with (
            KafkaBus(broker.url, prefix()) as bus,
            bus.subscribe(["referrals"], "readers") as feed,
        ):
            await bus.publish("referrals", made[0].shard, made)
            assert len(await feed.batch(100, WAIT_SECONDS_MAX)) == 1
            broker.stop()
            assert await feed.batch(100, 1.0) == []
    finally:
        broker.stop()
    task = asyncio.current_task()
    assert task is not None
    assert not task.cancelling()


async def test_a_client_that_writes_on_a_closed_connection_ends_all_the_same() -> None:
    """uvloop says that with a RuntimeError, in the middle of a client's own goodbye."""
    closed: list[str] = []

    async def stop() -> None:
        raise RuntimeError("the handler is closed")

    async def close() -> None:
        closed.append("client")

    consumer: Any = SimpleNamespace(stop=stop, _fetcher=None, _client=SimpleNamespace(close=close))
    await end_consumer(consumer)
    assert closed == ["client"]


async def _fail(bus: KafkaBus, made: Sequence[Commit], shard: int) -> None:
    while True:
        await bus.publish("referrals", shard, made)
