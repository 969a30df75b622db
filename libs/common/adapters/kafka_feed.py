"""Reading commits from Kafka: at least once, in order per shard, and knowing when nothing is left.

aiokafka says of a broker that is away only that there is nothing new. So the broker is asked where
each partition ends, by the way; what was asked before it was answered is what is known.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager, suppress
from time import monotonic

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError

from libs.common.adapters.kafka_ending import end_consumer
from libs.common.adapters.kafka_reach import TROUBLE, Reach
from libs.common.commit import parse
from libs.common.errors import StoreAway
from libs.common.ports import SHARDS, Delivery

START_SECONDS_MAX = 30.0
ASK_SECONDS = 0.25
ASK_SECONDS_MAX = 5.0
SILENT_SECONDS_MAX = 60.0
"""A consumer that gets nothing and learns nothing for so long is stuck, whatever it says."""
SESSION_MS = 10_000
HEARTBEAT_MS = 500
FETCH_WAIT_MS = 250
METADATA_MS = 10_000
"""A topic that was deleted and made again is noticed within this; its readers had lost it."""
GRACE_SECONDS = 1.0
NOBODY = TopicPartition("", -1)
"""Stands for all partitions while the broker does not say where they end."""


class KafkaFeed:
    """A consumer's deliveries. `batch`, `done` and `rewind` belong to one loop."""

    def __init__(
        self,
        consumer: AIOKafkaConsumer,
        topics: Mapping[str, str],
        group: str | None,
        now: Callable[[], float] = monotonic,
    ) -> None:
        self._consumer, self._logs, self._group = consumer, topics, group
        self._topics = {log: topic for topic, log in topics.items()}
        self._next: dict[TopicPartition, int] = {}
        self._asked: tuple[float, dict[TopicPartition, int]] | None = None
        self._ended: float | None = None
        self._ends: dict[TopicPartition, int] = {}
        self._hints: dict[TopicPartition, int] = {}
        self._now = now
        self._waited_seconds = 0.0
        self._moved: dict[TopicPartition, tuple[int, float]] = {}

    async def batch(self, limit: int, wait: float) -> list[Delivery]:
        """Up to `limit` deliveries. Asking for more says: the last ones have been dealt with."""
        self._listen(self._settle())
        started = self._now()
        try:
            # During a rebalance getmany waits without a limit; nothing is lost by cancelling it.
            async with asyncio.timeout(wait + GRACE_SECONDS):
                found = await self._consumer.getmany(
                    timeout_ms=int(wait * 1_000), max_records=limit
                )
        except TimeoutError:
            found = {}
        except TROUBLE as error:
            raise StoreAway(f"Kafka gave no commits: {type(error).__name__}") from error
        self._waited_seconds += self._now() - started
        if found:
            self._moved.pop(NOBODY, None)
        else:
            self._listen(self._settle())
        for partition, records in found.items():
            self._next[partition] = records[-1].offset + 1
        return [
            Delivery(parse(record.value), record.offset)
            for records in found.values()
            for record in records
        ]

    async def done(self, log: str, shard: int, offset: int) -> None:
        """Told to the group by the way: a hint may be lost, and is then delivered again."""
        if self._group is not None:
            self._hints[TopicPartition(self._topics[log], shard)] = offset + 1

    async def rewind(self, log: str, shard: int, offset: int) -> None:
        partition = TopicPartition(self._topics[log], shard)
        with suppress(IllegalStateError):  # another member has it now
            self._consumer.seek(partition, offset)
            self._next[partition] = offset

    def ended(self) -> float | None:
        """All that was there at this instant, in the shards that are ours, has been delivered and
        dealt with."""
        return self._ended

    def ends(self) -> Mapping[tuple[str, int], int]:
        """What a fetch or the last question said, whichever is newer."""
        return {
            (self._logs[partition.topic], partition.partition): max(
                self._consumer.highwater(partition) or 0, self._ends.get(partition, 0)
            )
            for partition in self._consumer.assignment()
        }

    def reassigned(self) -> None:
        """Other partitions, or the same ones from elsewhere: what was known of them is void."""
        self._next.clear()
        self._moved.clear()
        self._asked = None

    def _settle(self) -> bool:
        """Whether everything has been delivered that was there when the broker was last asked."""
        if self._asked is None:
            return False
        at, ends = self._asked
        if any(self._next.get(partition, -1) < end for partition, end in ends.items()):
            return False
        self._ended, self._asked = at, None
        return True

    def _listen(self, settled: bool) -> None:
        """Each partition is to move as long as something is known to be left in it, whatever comes
        from the others; and somebody has to know. Only waiting counts. Raises StoreAway."""
        now, ends = self._waited_seconds, self._asked[1] if self._asked else {}
        if settled:
            self._moved.clear()
        behind = {
            p: self._next.get(p, -1) for p, end in ends.items() if self._next.get(p, -1) < end
        }
        for partition, at in behind.items() if ends else [(NOBODY, 0)]:
            if self._moved.get(partition, (None, now))[0] != at:
                self._moved[partition] = at, now
            elif now - self._moved[partition][1] > SILENT_SECONDS_MAX:
                raise StoreAway("a Kafka consumer has fallen silent")

    async def watch(self) -> None:
        """Asks where the partitions end and passes the hints on, as long as the feed lives."""
        while True:
            with suppress(*TROUBLE):
                async with asyncio.timeout(ASK_SECONDS_MAX):
                    await self._ask()
                    await self.commit()
            await asyncio.sleep(ASK_SECONDS)

    async def _ask(self) -> None:
        if self._asked is not None:
            return
        at, mine = monotonic(), self._consumer.assignment()
        ends = await self._consumer.end_offsets(mine)
        for partition in mine - self._next.keys():
            self._next.setdefault(partition, await self._consumer.position(partition))
        if mine == self._consumer.assignment() and mine <= self._next.keys():
            self._asked, self._ends = (at, ends), ends

    async def commit(self) -> None:
        hints, self._hints = self._hints, {}
        mine = self._consumer.assignment()
        kept = {partition: offset for partition, offset in hints.items() if partition in mine}
        if kept:
            # CommitFailedError: cut off for longer than the session. It is delivered again.
            with suppress(CommitFailedError, IllegalStateError):
                await self._consumer.commit(kept)


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no types
    """Never seeks: a seek in here races with the fetcher."""

    def __init__(self, feed: KafkaFeed) -> None:
        self.feed = feed

    def on_partitions_revoked(self, _: Collection[TopicPartition]) -> None: ...

    def on_partitions_assigned(self, _: Collection[TopicPartition]) -> None:
        self.feed.reassigned()


@asynccontextmanager
async def feeding(
    reach: Reach, topics: Mapping[str, str], group: str | None
) -> AsyncIterator[KafkaFeed]:
    """A feed of these topics (topic -> log); its hints are passed on before it ends."""
    consumer = AIOKafkaConsumer(
        **reach.options(),
        group_id=group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        session_timeout_ms=SESSION_MS,
        heartbeat_interval_ms=HEARTBEAT_MS,
        fetch_max_wait_ms=FETCH_WAIT_MS,
        metadata_max_age_ms=METADATA_MS,
    )
    feed = KafkaFeed(consumer, topics, group)
    watching: asyncio.Task[None] | None = None
    try:
        await _start(consumer, topics, group, feed)
        watching = asyncio.create_task(feed.watch())
        yield feed
    finally:
        if watching is not None:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
        with suppress(*TROUBLE):
            async with asyncio.timeout(ASK_SECONDS_MAX):
                await feed.commit()
        await end_consumer(consumer)


async def _start(
    consumer: AIOKafkaConsumer, topics: Mapping[str, str], group: str | None, feed: KafkaFeed
) -> None:
    if group is None:
        consumer.assign(
            [TopicPartition(topic, shard) for topic in topics for shard in range(SHARDS)]
        )
    else:
        consumer.subscribe(list(topics), listener=_Listener(feed))
    try:
        async with asyncio.timeout(START_SECONDS_MAX):
            await consumer.start()
    except TROUBLE as error:
        raise StoreAway(f"Kafka let no consumer in: {type(error).__name__}") from error
