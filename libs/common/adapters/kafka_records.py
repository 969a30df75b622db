"""Reading a partition from one offset to another, once, outside every group."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from libs.common.adapters.kafka_ending import end_consumer
from libs.common.adapters.kafka_reach import TROUBLE, Reach
from libs.common.errors import StoreAway

READ_SECONDS_MAX = 20.0
"""For the next records, and for a question about a partition."""


@asynccontextmanager
async def reading(reach: Reach) -> AsyncIterator[AIOKafkaConsumer]:
    """A consumer of its own. Whatever goes wrong with Kafka in the block is StoreAway."""
    consumer = AIOKafkaConsumer(
        **reach.options(), enable_auto_commit=False, auto_offset_reset="earliest"
    )
    try:
        async with asyncio.timeout(READ_SECONDS_MAX):
            await consumer.start()
        yield consumer
    except TROUBLE as error:
        raise StoreAway(f"Kafka gave no records: {type(error).__name__}") from error
    finally:
        await end_consumer(consumer)


async def bounds(consumer: AIOKafkaConsumer, partition: TopicPartition) -> tuple[int, int]:
    """The first offset that is still there, and the next one to be written."""
    async with asyncio.timeout(READ_SECONDS_MAX):
        begin = (await consumer.beginning_offsets([partition]))[partition]
        end = (await consumer.end_offsets([partition]))[partition]
    return int(begin), int(end)


async def records(
    consumer: AIOKafkaConsumer, partition: TopicPartition, start: int, end: int
) -> AsyncIterator[ConsumerRecord]:
    """What lies there from `start` up to `end`, which is not read."""
    if start >= end:
        return
    consumer.assign([partition])
    consumer.seek(partition, start)
    position = start
    while position < end:
        found = await consumer.getmany(timeout_ms=int(READ_SECONDS_MAX * 1_000))
        if not found.get(partition):
            raise TimeoutError
        for record in found[partition]:
            position = record.offset + 1
            if record.offset < end:
                yield record
