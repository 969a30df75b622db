"""The bus on Kafka: one topic a log, one partition a shard, one record a commit, kept for ever."""

import asyncio
import logging
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import TracebackType
from typing import Self

from aiokafka import AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import TopicAlreadyExistsError, for_code
from aiokafka.producer.message_accumulator import BatchBuilder

from libs.common.adapters.kafka_ending import end_admin, end_producer
from libs.common.adapters.kafka_feed import KafkaFeed, feeding
from libs.common.adapters.kafka_reach import TROUBLE, Reach
from libs.common.adapters.kafka_records import bounds, reading, records
from libs.common.commit import Commit, parse
from libs.common.errors import StoreAway
from libs.common.ports import SHARDS, Feed, Record

BATCH_BYTES_MAX = 1_000_000
"""Below the broker's own limit for one batch, 1,048,588 bytes."""
PUBLISH_SECONDS_MAX = 20.0
"""Longer than a partition is without a leader when one of three brokers dies."""
TOPIC_SECONDS_MAX = 20.0
TAIL_SECONDS_MAX = 20.0
POLL_SECONDS = 0.05
TAIL_RECORDS_MAX = 1_000
REPLICAS = 3
FROM_BODY = (
    ("command", "command"),
    ("correlation", "correlation"),
    ("cause", "cause"),
    ("traceparent", "trace"),
    ("ce_time", "at"),
)
"""Header and the field of the body that it repeats, where there is one."""
SAME_HEADERS = [
    ("ce_specversion", b"1.0"),
    ("ce_type", b"alliance.commit.v1"),
    ("content-type", b"application/json"),
]
TOPIC_EXISTS = TopicAlreadyExistsError.errno

# While a broker is away its client logs hundreds of errors a second. Whoever uses this bus hears of
# it by StoreAway, once.
logging.getLogger("aiokafka").setLevel(logging.CRITICAL)


class KafkaBus:
    """`kafka://host:port,host:port`, or over TLS as `Reach` says. Belongs to the event loop in
    which it is first used."""

    def __init__(
        self,
        url: str,
        prefix: str,
        replicas: int | None = None,
        in_sync: int | None = None,
        publish_seconds_max: float = PUBLISH_SECONDS_MAX,
    ) -> None:
        """`replicas` of a new topic: 3, or 1 where there is a single broker; `in_sync` of them must
        have a commit before it counts as published: all but one."""
        self._reach = Reach.of(url)
        self._prefix = prefix
        self._replicas, self._in_sync = replicas, in_sync
        self._publish_seconds_max = publish_seconds_max
        self._topics: set[str] = set()
        self._producer: AIOKafkaProducer | None = None
        self._lock = asyncio.Lock()
        self._stopping: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        """Ends within seconds also when Kafka is away; nothing that was promised is pending."""
        self._abandon(self._producer)
        while self._stopping:
            await asyncio.wait(self._stopping)

    async def publish(self, log: str, shard: int, commits: Sequence[Commit]) -> int:
        """In order, durable on return; the offset of the first. One caller a shard at a time.

        Any error costs the producer, because a failed send would poison all that come after it on
        its partition. Then commits may or may not be there: read the tail, and publish again.
        """
        topic = await self._topic(log)
        producer: AIOKafkaProducer | None = None
        try:
            async with asyncio.timeout(self._publish_seconds_max):
                producer = await self._started()
                # Two awaits: the first until the batch is taken, the second until it is durable.
                offsets = [
                    (await (await producer.send_batch(batch, topic, partition=shard))).offset
                    for batch in _batches(producer, commits)
                ]
        except BaseException as error:
            self._abandon(producer)
            self._topics.clear()
            if isinstance(error, TROUBLE):
                raise StoreAway(f"Kafka took no commits: {type(error).__name__}") from error
            raise
        return int(offsets[0])

    async def tail(self, log: str, shard: int) -> tuple[Commit, int] | None:
        """The last commit that was reached without a jump in seq, and the next offset.

        Looks at the last records only, not at the very last: that may be a late duplicate.
        """
        partition = TopicPartition(await self._topic(log), shard)
        reached: tuple[int, bytes] | None = None
        try:
            async with asyncio.timeout(TAIL_SECONDS_MAX), reading(self._reach) as consumer:
                begin, end = await bounds(consumer, partition)
                start = max(begin, end - TAIL_RECORDS_MAX)
                async for record in records(consumer, partition, start, end):
                    reached = _reached(reached, record, start == begin)
        except (StoreAway, TimeoutError) as away:
            self._topics.clear()  # the next time looks whether it is there at all
            raise StoreAway(f"Kafka gave no tail of {partition.topic}") from away
        return None if reached is None else (parse(reached[1]), end)

    async def read(self, log: str, shard: int) -> AsyncIterator[Record]:
        partition = TopicPartition(self._named(log), shard)
        async with reading(self._reach) as consumer:
            if partition.topic not in await consumer.topics():
                return
            begin, end = await bounds(consumer, partition)
            async for record in records(consumer, partition, begin, end):
                yield Record(record.offset, record.value or b"")

    def subscribe(
        self, logs: Collection[str], group: str | None
    ) -> AbstractAsyncContextManager[Feed]:
        return self._subscribed(logs, group)

    @asynccontextmanager
    async def _subscribed(
        self, logs: Collection[str], group: str | None
    ) -> AsyncIterator[KafkaFeed]:
        topics = {await self._topic(log): log for log in logs}
        name = None if group is None else f"{self._prefix}.{group}"
        async with feeding(self._reach, topics, name) as feed:
            yield feed

    async def _started(self) -> AIOKafkaProducer:
        async with self._lock:
            if self._producer is None:
                producer = AIOKafkaProducer(
                    **self._reach.options(),
                    acks="all",
                    enable_idempotence=True,
                    max_batch_size=BATCH_BYTES_MAX,
                )
                try:
                    await producer.start()
                except BaseException:
                    self._abandon(producer)
                    raise
                self._producer = producer
            return self._producer

    def _abandon(self, producer: AIOKafkaProducer | None) -> None:
        if producer is None:
            return
        task = asyncio.create_task(end_producer(producer))
        if self._producer is producer:
            self._producer = None
        self._stopping.add(task)
        task.add_done_callback(self._stopping.discard)

    async def _topic(self, log: str) -> str:
        """The log's topic, made when it is not there."""
        topic = self._named(log)
        if topic not in self._topics:
            try:
                async with asyncio.timeout(TOPIC_SECONDS_MAX):
                    await self._make(topic)
            except TROUBLE as error:
                raise StoreAway(f"Kafka has no topic {topic}: {type(error).__name__}") from error
            self._topics.add(topic)
        return topic

    def _named(self, log: str) -> str:
        return f"{self._prefix}.{log}.commits"

    async def _make(self, topic: str) -> None:
        admin = AIOKafkaAdminClient(**self._reach.options())
        try:
            await admin.start()
            while not await _whole(admin, topic):
                brokers = len((await admin.describe_cluster())["brokers"])
                await _create(
                    admin, topic, self._replicas or (1 if brokers == 1 else REPLICAS), self._in_sync
                )
                await asyncio.sleep(POLL_SECONDS)  # until its brokers have heard of it
        finally:
            await end_admin(admin)


def headers(commit: Commit) -> list[tuple[str, bytes]]:
    """What a reader may filter by without decoding the value, and one CloudEvent in binary mode."""
    body = commit.content
    found = [
        ("seq", b"%d" % commit.seq),
        ("hash", commit.hash.encode()),
        ("types", ",".join(commit.types).encode()),
        ("first", b"%d" % commit.first),
        ("last", b"%d" % commit.last),
        *((name, body[key].encode()) for name, key in FROM_BODY if key in body),
        ("ce_id", str(commit.position).encode()),
        ("ce_source", b"/" + commit.log.encode()),
        ("ce_subject", commit.stream.encode()),
    ]
    return found + SAME_HEADERS


def topic_settings(in_sync: int) -> dict[str, str]:
    return {
        "cleanup.policy": "delete",
        "retention.ms": "-1",
        "retention.bytes": "-1",
        "min.insync.replicas": str(in_sync),
        "unclean.leader.election.enable": "false",
        "message.timestamp.type": "CreateTime",
        # A log played over a past year would start a new file for each of its weeks.
        "segment.ms": str(10 * 365 * 24 * 3_600_000),
    }


async def _whole(admin: AIOKafkaAdminClient, topic: str) -> bool:
    """Whether the topic is there with a leader for every shard."""
    # Asks for all: asked for a topic by its name, some brokers make it, in their own way.
    found = [each for each in await admin.describe_topics() if each["topic"] == topic]
    partitions = found[0]["partitions"] if found else []
    if not partitions or any(part["leader"] < 0 for part in partitions):
        return False
    if len(partitions) != SHARDS:
        raise ValueError(f"topic {topic} has {len(partitions)} partitions, not {SHARDS}")
    return True


async def _create(
    admin: AIOKafkaAdminClient, topic: str, replicas: int, in_sync: int | None
) -> None:
    settings = topic_settings(in_sync or max(1, replicas - 1))
    made = await admin.create_topics([NewTopic(topic, SHARDS, replicas, topic_configs=settings)])
    for _, code, *_ in made.topic_errors:  # it does not raise
        if code not in (0, TOPIC_EXISTS):
            raise for_code(code)()


def _batches(producer: AIOKafkaProducer, commits: Sequence[Commit]) -> list[BatchBuilder]:
    """Built by hand and closed, so that nothing else gets into them."""
    batches: list[BatchBuilder] = []
    for commit in commits:
        record = {
            "timestamp": int(commit.at.timestamp() * 1_000),
            "key": commit.stream.encode(),
            "value": commit.body,
            "headers": headers(commit),
        }
        if not batches or batches[-1].append(**record) is None:
            batches.append(producer.create_batch())
            batches[-1].append(**record)
    for batch in batches:
        batch.close()
    return batches


def _reached(
    last: tuple[int, bytes] | None, record: ConsumerRecord, from_start: bool
) -> tuple[int, bytes] | None:
    """The later of the two (seq, body) when it follows without a jump; the first one looked at
    always does, unless it is the topic's first and not the log's."""
    seq = int(dict(record.headers)["seq"])
    follows = seq == last[0] + 1 if last else seq == 1 or not from_start
    return (seq, record.value) if follows else last
