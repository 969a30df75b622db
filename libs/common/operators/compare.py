"""A log and its topic side by side: do they tell one history, and which of them lacks what?

A topic is heard as every consumer hears it: what was seen is skipped, what jumps is dropped. That
the store is read behind it makes the comparison right while commits arrive and are sent.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from libs.common.commit import NO_PREV, Commit, parse
from libs.common.messages import Position
from libs.common.ports import SHARDS, Bus
from libs.common.verify import HOLE_MAX, Hashes, Survey, Tell

PROGRESS_RECORDS = 500


class Apart(StrEnum):
    """What can be wrong between a log and its topic."""

    UNREADABLE = "the topic holds what is no commit of this log and shard"
    FORK = "the topic tells another history"
    GAP = "the topic lacks a commit and goes on behind it"
    AHEAD = "the topic has a commit that the store lacks"


@dataclass(eq=False)
class Topic:
    """What a topic says, shard by shard. `reached` is the last seq a consumer gets to."""

    log: str
    tell: Tell
    count: int = 0
    hashes: Hashes = field(default_factory=Hashes)
    _reached: dict[int, int] = field(default_factory=dict)

    def reached(self, shard: int) -> int:
        return self._reached.get(shard, 0)

    def take(self, shard: int, body: bytes) -> Commit | None:
        """The next record. Answers with it when it is the commit that was due."""
        self.count += 1
        due = Position(self.log, shard, self.reached(shard) + 1)
        try:
            commit = parse(body)
        except ValueError:
            self.tell(due, Apart.UNREADABLE)
            return None
        ours = (commit.log, commit.shard) == (self.log, shard)
        if not ours or commit.seq > due.seq + HOLE_MAX:
            self.tell(due, Apart.UNREADABLE)
            return None
        before = self.hashes.at(shard, commit.seq)
        if before is not None and before != commit.hash:
            self.tell(commit.position, Apart.FORK)
            return None
        self.hashes.put(shard, commit.seq, commit.hash)
        if commit.seq != due.seq:
            return None
        expected = self.hashes.at(shard, due.seq - 1) if due.seq > 1 else NO_PREV
        if commit.prev != expected:
            self.tell(commit.position, Apart.FORK)
        self._reached[shard] = due.seq
        return commit


async def heard(
    bus: Bus, log: str, tell: Tell, progress: Callable[[int], None] | None = None
) -> Topic:
    """Reads the whole topic. Raises StoreAway."""
    topic = Topic(log, tell)
    for shard in range(SHARDS):
        told = topic.count
        async for record in bus.read(log, shard):
            topic.take(shard, record.body)
            if progress is not None and topic.count - told >= PROGRESS_RECORDS:
                progress(topic.count - told)
                told = topic.count
        if progress is not None:
            progress(topic.count - told)
    return topic


def compared(topic: Topic, stored: Survey) -> None:
    """Tells the topic's `tell` where the two are apart. A topic whose end is behind is not: what it
    lacks is on its way."""
    for shard in range(SHARDS):
        for seq in range(1, topic.hashes.end(shard) + 1):
            there, here = topic.hashes.at(shard, seq), stored.hashes.at(shard, seq)
            if there is not None and there != here:
                what = Apart.AHEAD if here is None else Apart.FORK
                topic.tell(Position(topic.log, shard, seq), what)
        if topic.reached(shard) < topic.hashes.end(shard):
            topic.tell(Position(topic.log, shard, topic.reached(shard) + 1), Apart.GAP)


def lacking(topic: Topic, stored: Survey) -> Iterator[tuple[int, list[int], int]]:
    """What is missing, by shard: the seqs that the store lacks and the topic has, and how many
    commits at its end the topic lacks."""
    for shard in range(SHARDS):
        reached = topic.reached(shard)
        store = [seq for seq in range(1, reached + 1) if stored.hashes.at(shard, seq) is None]
        yield shard, store, max(0, stored.hashes.end(shard) - reached)
