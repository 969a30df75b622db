"""The raw Kafka client: the same records, batched by hand, and read without looking at them."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from time import perf_counter
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from bench.figures import Figures, latencies
from bench.raw import rows
from libs.common.adapters.kafka import BATCH_BYTES_MAX, headers, topic_settings
from libs.common.adapters.kafka_feed import FETCH_WAIT_MS
from libs.common.adapters.kafka_reach import Reach
from libs.common.commit import Commit
from libs.common.ports import LOG_BATCH_MAX, SHARDS

POLL_MS = 500
RECORDS_MAX = 500

Record = dict[str, Any]


def record_of(commit: Commit) -> Record:
    return {
        "timestamp": int(commit.at.timestamp() * 1_000),
        "key": commit.stream.encode(),
        "value": commit.body,
        "headers": headers(commit),
    }


async def by_shard(size: int) -> list[list[Record]]:
    found: list[list[Record]] = [[] for _ in range(SHARDS)]
    async for commit in rows(size):
        found[commit.shard].append(record_of(commit))
    return found


async def topic(url: str, name: str) -> str:
    admin = AIOKafkaAdminClient(**Reach.of(url).options())
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, SHARDS, 1, topic_configs=topic_settings(1))])
    finally:
        await admin.close()
    return name


@asynccontextmanager
async def producing(url: str) -> AsyncIterator[AIOKafkaProducer]:
    """Every record acknowledged by all in-sync replicas, none twice."""
    producer = AIOKafkaProducer(
        **Reach.of(url).options(),
        acks="all",
        enable_idempotence=True,
        max_batch_size=BATCH_BYTES_MAX,
    )
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


@asynccontextmanager
async def consuming(url: str, name: str) -> AsyncIterator[AIOKafkaConsumer]:
    consumer = AIOKafkaConsumer(
        **Reach.of(url).options(),
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        fetch_max_wait_ms=FETCH_WAIT_MS,
    )
    consumer.assign([TopicPartition(name, shard) for shard in range(SHARDS)])
    await consumer.start()
    try:
        yield consumer
    finally:
        await consumer.stop()


async def _send_all(
    producer: AIOKafkaProducer, name: str, shards: Sequence[Sequence[Record]]
) -> None:
    async def send(shard: int) -> None:
        records = shards[shard]
        for start in range(0, len(records), LOG_BATCH_MAX):
            batch = producer.create_batch()
            for record in records[start : start + LOG_BATCH_MAX]:
                assert batch.append(**record) is not None
            batch.close()
            await (await producer.send_batch(batch, name, partition=shard))

    await asyncio.gather(*(send(shard) for shard in range(len(shards))))


async def produce(folder: Path, size: int, url: str) -> Figures:
    """One batch under way in each partition, as the relay has it."""
    shards = await by_shard(size)
    name = await topic(url, f"raw-{folder.name}")
    async with producing(url) as producer:
        began = perf_counter()
        await _send_all(producer, name, shards)
        return {"per_second": size / (perf_counter() - began)}


async def consume(folder: Path, size: int, url: str) -> Figures:
    """From the start of a consumer to the last record."""
    name = await topic(url, f"raw-{folder.name}")
    async with producing(url) as producer:
        await _send_all(producer, name, await by_shard(size))
    began, count = perf_counter(), 0
    async with consuming(url, name) as consumer:
        while count < size:
            found = await consumer.getmany(timeout_ms=POLL_MS, max_records=RECORDS_MAX)
            count += sum(map(len, found.values()))
        return {"per_second": size / (perf_counter() - began)}


async def round_trip(folder: Path, size: int, url: str) -> Figures:
    """From the call that sends a record until a consumer in the same process has it."""
    name = await topic(url, f"raw-{folder.name}")
    took = []
    async with producing(url) as producer, consuming(url, name) as consumer:
        async for commit in rows(size):
            record = record_of(commit)
            del record["timestamp"]
            began = perf_counter()
            sent = await producer.send(name, partition=commit.shard, **record)
            while not await consumer.getmany(timeout_ms=POLL_MS, max_records=1):
                pass
            took.append(perf_counter() - began)
            await sent
    return latencies(took)
