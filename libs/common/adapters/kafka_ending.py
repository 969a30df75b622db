"""Ending Kafka's clients within seconds, also when the broker is away.

Their own `stop` waits for ever then: a producer for a batch that can never be sent, a consumer for
a group that does not answer. What is left behind would go on knocking until the process ends, so
each part is ended by itself, and that is why private names are used here.
"""

import asyncio
from collections.abc import Awaitable
from itertools import chain

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import ProducerClosed

from libs.common.adapters.kafka_reach import TROUBLE

STOP_SECONDS_MAX = 5.0


async def end_producer(producer: AIOKafkaProducer) -> None:
    """Whoever still waits for a batch hears ProducerClosed; it may have been stored."""
    producer._closed = True
    await _ended(producer._sender.close())
    waiting = producer._message_accumulator
    batches = [*chain(*waiting._batches.values()), *waiting._pending_batches]
    waiting._pending_batches.update(batches)  # a retried one takes itself out of them twice
    for batch in batches:
        for future in (batch.future, batch._drain_waiter):
            future.add_done_callback(_hear)  # also if nobody waits any more
    waiting.fail_all(ProducerClosed())
    await _ended(producer.client.close())


async def end_consumer(consumer: AIOKafkaConsumer) -> None:
    if await _ended(consumer.stop()):
        return
    if consumer._fetcher is not None:
        await _ended(consumer._fetcher.close())
    await _ended(consumer._client.close())


async def end_admin(admin: AIOKafkaAdminClient) -> None:
    await _ended(admin.close())


async def _ended(ending: Awaitable[None]) -> bool:
    try:
        async with asyncio.timeout(STOP_SECONDS_MAX):
            await ending
    except TROUBLE:
        return False
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        return False  # aiokafka cancels a task of its own, waits for it and passes that on to us
    return True


def _hear(future: "asyncio.Future[object]") -> None:
    if not future.cancelled():
        future.exception()
