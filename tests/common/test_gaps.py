"""What is missing in a shard is asked for, again and again; and nobody waits for it in silence."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError

from libs.common.adapters import open_documents
from libs.common.adapters.kafka_feed import SILENT_SECONDS_MAX, KafkaFeed
from libs.common.commit import NO_PREV, Commit, Draft, encode, encode_event
from libs.common.consume import (
    CURSORS,
    GAP_SECONDS_MAX,
    REWIND_SECONDS_MAX,
    REWIND_SECONDS_MIN,
    Cursor,
    GapOpen,
    Healing,
    Standing,
    rewind,
    store,
)
from libs.common.errors import StoreAway
from libs.common.ports import Delivery
from tests.common.beads import SOMEBODY, BeadStrung
from tests.common.topics import MemoryBus, MemoryFeed
from tests.common.world import START

STREAM = "string/a"
LIMIT = 100


def history(count: int) -> list[Commit]:
    found: list[Commit] = []
    for number in range(count):
        event = BeadStrung(colour=str(number), student="stu_1")
        command = UUID(int=number)
        draft = Draft(
            STREAM, number, (encode_event(event),), (event.type,), command, command, SOMEBODY
        )
        prev = found[-1].hash if found else NO_PREV
        found.append(encode(draft, "beads", number + 1, prev, START))
    return found


@dataclass(eq=False)
class Reader:
    """One consumer over a topic in memory, at a time of the test's own."""

    topic: Sequence[Commit]
    seconds: float = 1_000.0
    rewound: list[float] = field(default_factory=list)
    standing: Standing = field(default_factory=lambda: Standing("reader", ("beads",)))

    def __post_init__(self) -> None:
        (shard,) = {commit.shard for commit in self.topic}
        self.place = ("beads", shard)
        self.bus = MemoryBus({self.place: list(self.topic)})
        self.feed = MemoryFeed(self.bus, ("beads",))
        self.healing = Healing(lambda: self.seconds)

    async def turn(self, seconds: float, idle: bool = True) -> None:
        self.seconds += seconds
        before = self.feed.places.get(self.place, 0)
        await self.healing.mend(self.feed, [self.standing], idle)
        if self.feed.places.get(self.place, 0) != before:
            self.rewound.append(self.seconds - 1_000)
        self.read()

    async def turns(self) -> None:
        while True:
            await self.turn(0.5)

    def read(self) -> None:
        for delivery in self._taken():
            if self.standing.follows(delivery):
                self.standing.advance(delivery)

    def _taken(self) -> list[Delivery]:
        topic, at = self.bus.topics[self.place], self.feed.places.get(self.place, 0)
        self.feed.places[self.place] = len(topic)
        return [Delivery(commit, at + n) for n, commit in enumerate(topic[at:])]


async def test_a_gap_that_fills_is_read_and_forgotten() -> None:
    made = history(6)
    reader = Reader([*made[:2], *made[3:]])  # the third was sent late
    reader.read()
    reader.bus.topics[reader.place].append(made[2])
    await reader.turn(0)
    assert reader.standing.cursors[reader.place].seq == 3
    reader.bus.topics[reader.place] += made[3:]
    await reader.turn(GAP_SECONDS_MAX * 2)
    await reader.turn(0)
    assert reader.standing.cursors[reader.place].seq == 6
    assert not reader.standing.gaps


async def test_a_gap_that_stays_is_asked_for_ever_more_rarely_and_raises_the_alarm() -> None:
    made = history(4)
    reader = Reader([*made[:1], *made[2:]])
    reader.read()
    with pytest.raises(GapOpen) as alarm:
        await reader.turns()
    assert str(alarm.value) == f"beads:{reader.place[1]}"
    assert GAP_SECONDS_MAX < reader.seconds - 1_000 < GAP_SECONDS_MAX + 2
    pauses = [b - a for a, b in zip(reader.rewound, reader.rewound[1:], strict=False)]
    assert pauses == [REWIND_SECONDS_MIN, 2 * REWIND_SECONDS_MIN, 4 * REWIND_SECONDS_MIN]
    assert pauses[-1] < REWIND_SECONDS_MAX


async def test_a_gap_is_asked_for_though_other_shards_are_never_idle() -> None:
    made = history(4)
    reader = Reader([*made[:1], *made[2:]])
    reader.read()
    while not reader.rewound and reader.seconds < 1_000 + GAP_SECONDS_MAX:
        await reader.turn(0.5, idle=False)
    assert reader.rewound
    assert REWIND_SECONDS_MIN <= reader.rewound[0] <= REWIND_SECONDS_MIN + 1


async def test_progress_puts_the_alarm_off() -> None:
    made = history(40)
    reader = Reader([made[0], *made[2:]])
    reader.read()
    for commit in made[1:]:  # each comes just before it is too late
        await reader.turn(GAP_SECONDS_MAX - 1)
        reader.bus.topics[reader.place].append(commit)
        reader.read()
    assert reader.standing.cursors[reader.place].seq == 40


class Record(NamedTuple):
    value: bytes
    offset: int


@dataclass(eq=False)
class Consumer:
    """As aiokafka's, as far as a feed asks. Each wait takes a second of the test's time."""

    ends: Mapping[TopicPartition, int]
    flows: frozenset[TopicPartition] = frozenset()
    answers: bool = True
    seconds: float = 0.0
    offset: int = 0
    commit_of: Commit = field(default_factory=lambda: history(1)[0])

    def assignment(self) -> set[TopicPartition]:
        return set(self.ends)

    async def end_offsets(self, _: Any) -> Mapping[TopicPartition, int]:
        if not self.answers:
            raise KafkaConnectionError
        return self.ends

    async def position(self, _: TopicPartition) -> int:
        return 0

    async def getmany(self, timeout_ms: int, max_records: int) -> dict[TopicPartition, Any]:
        del timeout_ms, max_records
        self.seconds += 1.0
        await asyncio.sleep(0)
        self.offset += 1
        return {flow: [Record(self.commit_of.body, self.offset)] for flow in self.flows}


QUIET, BUSY = TopicPartition("t", 0), TopicPartition("t", 1)


async def _listened(consumer: Consumer, turns: int) -> None:
    feed = KafkaFeed(consumer, {"t": "beads"}, None, lambda: consumer.seconds)
    watching = asyncio.create_task(feed.watch())
    try:
        for _ in range(turns):
            await feed.batch(LIMIT, 1)
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


@pytest.mark.parametrize("flows", [frozenset(), frozenset({BUSY})], ids=["alone", "beside others"])
async def test_a_partition_that_has_more_and_does_not_move_restarts_its_consumer(
    flows: frozenset[TopicPartition],
) -> None:
    consumer = Consumer({QUIET: 5, BUSY: 10**6}, flows)
    with pytest.raises(StoreAway, match="silent"):
        await _listened(consumer, turns=3 * int(SILENT_SECONDS_MAX))
    assert SILENT_SECONDS_MAX < consumer.seconds < SILENT_SECONDS_MAX + 5


async def test_where_nothing_is_left_silence_is_right() -> None:
    """Settled after each question, which comes a few times in a real second."""
    consumer = Consumer({QUIET: 0})
    feed = KafkaFeed(consumer, {"t": "beads"}, None, lambda: consumer.seconds)
    for _ in range(3 * int(SILENT_SECONDS_MAX)):
        await feed._ask()
        assert await feed.batch(LIMIT, 1) == []
    assert feed.ended() is not None


async def test_a_broker_that_says_nothing_restarts_the_consumer() -> None:
    consumer = Consumer({}, answers=False)
    with pytest.raises(StoreAway, match="silent"):
        await _listened(consumer, turns=3 * int(SILENT_SECONDS_MAX))
    assert SILENT_SECONDS_MAX < consumer.seconds < SILENT_SECONDS_MAX + 5


@pytest.mark.parametrize("twin", [1, 2])
async def test_what_was_passed_over_is_read_though_a_twin_of_the_missing_comes_late(
    twin: int,
) -> None:
    """The twin lies behind what was dropped. Going on from its place would pass that over for ever,
    also after a restart."""
    made = history(3)
    reader = Reader([*made, made[twin - 1]])
    jumping = [one for one in reader._taken() if not twin - 1 <= one.offset < 2]
    for delivery in jumping:
        if reader.standing.follows(delivery):
            reader.standing.advance(delivery)
    assert reader.standing.cursors[reader.place].seq == twin
    await reader.turn(0)
    await reader.turn(REWIND_SECONDS_MIN)
    assert reader.standing.cursors[reader.place][::2] == (3, 2)
    assert not reader.standing.gaps


async def test_what_a_topic_that_was_made_again_holds_elsewhere_is_found() -> None:
    """Its offsets are others than those that a reader kept: what is missing lies before them."""
    made = history(8)
    reader = Reader(made[:5])
    reader.read()
    reader.bus.topics[reader.place] = made
    reader.standing.cursors[reader.place] = Cursor(5, made[4].hash, 6, made[4].at)
    await rewind(reader.feed, [reader.standing], reader.place)
    reader.read()
    assert set(reader.standing.gaps) == {reader.place}
    while reader.standing.gaps:
        await reader.turn(0.5)
    assert reader.standing.cursors[reader.place].seq == 8
    assert reader.seconds < 1_000 + GAP_SECONDS_MAX


async def test_a_shard_of_another_member_begins_where_that_one_has_stored(tmp_path: Path) -> None:
    """At once, however much comes from other shards, and without reading all of it again."""
    made = history(6)
    reader = Reader(made)
    other = Standing("reader", ("beads",))
    async with open_documents(f"sqlite://{tmp_path}", "beads") as documents:
        await documents.prepare(CURSORS, ())
        for number, commit in enumerate(made[:4]):
            other.advance(Delivery(commit, number))
        assert await store(documents, [other])
        reader.feed.places[reader.place] = 4  # where the group's hint is
        reader.read()
        assert reader.standing.gaps
        await reader.healing.mend(reader.feed, [reader.standing], False, documents)
        assert reader.feed.places[reader.place] == 4
        reader.read()
    assert reader.standing.cursors[reader.place].seq == 6
    assert not reader.standing.gaps
