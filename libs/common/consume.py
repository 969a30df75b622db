"""Reading a log as a consumer: skip what was seen, drop what jumps, halt on two histories.

A consumer stands at one cursor per shard. Feeds deliver at least once and in order; duplicates are
skipped, a jump is dropped and read again, and the hash chain is checked on every commit for free.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import NamedTuple

from libs.common.commit import NO_PREV
from libs.common.errors import Fork, StoreAway
from libs.common.messages import Dep, Position, instant
from libs.common.ports import SHARDS, Delivery, Documents, Feed, Put

CURSORS = "cursors"
BATCH_MAX = 500
WAIT_SECONDS = 0.5
PENDING_SECONDS = 0.05
"""Nothing to read for so long, and what was held back is written."""
UNTOLD_MAX = 1_000
"""Commits whose cursors are held back at most."""
REWIND_SECONDS_MIN = 5.0
REWIND_SECONDS_MAX = 60.0
GAP_SECONDS_MAX = 60.0
NEWER = "newer-release"
"""Why a reader halts that must not pass over what only a newer build can read: that one goes on."""

Place = tuple[str, int]
"""(log, shard)"""


class Cursor(NamedTuple):
    """The last commit that was dealt with; `offset` is where the feed delivered it."""

    seq: int = 0
    hash: str = NO_PREV
    offset: int = -1
    at: datetime | None = None


NOWHERE = Cursor()


class Halt(NamedTuple):
    """The commit that a consumer does not get past, and what is wrong with it in one word."""

    position: Position
    stream: str
    reason: str


@cache
def label(place: Place) -> str:
    return f"{place[0]}:{place[1]}"


@dataclass(eq=False)
class Standing:
    """Where one consumer stands in every shard it reads. `cursors` run ahead while a batch is dealt
    with; what others are told is what was stored. `gaps` holds the offset of the first commit of a
    shard that was dropped: it is read again, though what was missing may come by itself."""

    name: str
    logs: tuple[str, ...]
    cursors: dict[Place, Cursor] = field(default_factory=dict)
    halted: dict[Place, Halt] = field(default_factory=dict)
    gaps: dict[Place, int] = field(default_factory=dict)
    ends: Callable[[], Mapping[Place, int]] = dict
    """Where the shards end, as its feed knows it."""
    _revs: dict[Place, int] = field(default_factory=dict)
    _moved: set[Place] = field(default_factory=set)
    _stored: dict[Place, Cursor] = field(default_factory=dict)

    def follows(self, delivery: Delivery) -> bool:
        """Whether this is the next commit of its shard. Two histories halt the shard."""
        try:
            return self._follows(delivery)
        except Fork:
            self.halt(delivery, "fork")
            return False

    def _follows(self, delivery: Delivery) -> bool:
        commit = delivery.commit
        place = commit.place
        if commit.log not in self.logs or place in self.halted:
            return False
        cursor = self.cursors.get(place, NOWHERE)
        if commit.seq > cursor.seq + 1:
            self.gaps[place] = min(delivery.offset, self.gaps.get(place, delivery.offset))
            return False
        if self.gaps.get(place) == delivery.offset:
            del self.gaps[place]
        if commit.seq <= cursor.seq:
            if commit.seq == cursor.seq and commit.hash != cursor.hash:
                raise Fork(str(commit.position))
            return False
        if commit.prev != cursor.hash:
            raise Fork(str(commit.position))
        return True

    def advance(self, delivery: Delivery) -> None:
        commit = delivery.commit
        place = commit.place
        offset = delivery.offset
        if offset > self.gaps.get(place, offset):  # a late twin: what lies before is still unread
            offset = self.cursors.get(place, NOWHERE).offset
        self.cursors[place] = Cursor(commit.seq, commit.hash, offset, commit.at)
        self._moved.add(place)

    def halt(self, delivery: Delivery, reason: str) -> None:
        """This shard stands still for this consumer, and the service is not ready."""
        commit = delivery.commit
        self.halted[commit.place] = Halt(commit.position, commit.stream, reason)

    def back(self, delivery: Delivery) -> None:
        """To just before this delivery."""
        commit = delivery.commit
        before = Cursor(commit.seq - 1, commit.prev, delivery.offset - 1, commit.at)
        if before.seq == 0:
            self.cursors.pop(commit.place, None)
            self._moved.discard(commit.place)
        else:
            self.cursors[commit.place] = before
            self._moved.add(commit.place)

    def seqs(self) -> dict[str, int]:
        """`consent:3` -> seq, as the clock's driver compares it: what is wholly dealt with."""
        return {label(place): cursor.seq for place, cursor in self._stored.items()}

    def reached(self, positions: Iterable[Position]) -> bool:
        """A log that this consumer does not hear is met."""
        return all(
            self._stored.get((p.log, p.shard), NOWHERE).seq >= p.seq
            for p in positions
            if p.log in self.logs
        )

    def dep(self, log: str, shard: int) -> tuple[Dep, ...]:
        cursor = self._stored.get((log, shard))
        if cursor is None or cursor.at is None:
            return ()
        return (Dep(Position(log, shard, cursor.seq), cursor.at),)

    async def load(
        self, documents: Documents, only: Collection[tuple[str, int]] | None = None
    ) -> None:
        """Takes the stored cursors; all of them, or those of these (log, shard)."""
        every = [(log, shard) for log in self.logs for shard in range(SHARDS)]
        places = every if only is None else [place for place in every if place in only]
        keys = {self._key(place): place for place in places}
        for place in places:  # what ran ahead and was not stored is forgotten
            self.cursors.pop(place, None)
            self._revs.pop(place, None)
            self.gaps.pop(place, None)
        self._moved.clear()
        for key, doc in (await documents.get(CURSORS, keys)).items():
            at = datetime.fromisoformat(doc["at"])
            self.cursors[keys[key]] = Cursor(doc["seq"], doc["hash"], doc["offset"], at)
            self._revs[keys[key]] = doc["_rev"]
        self._stored = dict(self.cursors)

    async def overtaken(self, documents: Documents, place: Place) -> bool:
        """Whether another process has stored more of this shard than was seen here. Then that is
        where this one goes on. Call it when every move has been stored."""
        key = self._key(place)
        found = (await documents.get(CURSORS, [key])).get(key)
        if found is None or found["seq"] <= self.cursors.get(place, NOWHERE).seq:
            return False
        await self.load(documents, {place})
        return True

    def puts(self) -> list[Put]:
        """What must be stored of the moves since the last time; `stored` takes the outcome."""
        return [
            Put(CURSORS, self._key(place), _doc(cursor), self._revs.get(place, 0))
            for place in sorted(self._moved)
            if (cursor := self.cursors[place]).at is not None
        ]

    def stored(self) -> None:
        self.kept()
        for place in self._moved:
            self._revs[place] = self._revs.get(place, 0) + 1
        self._moved.clear()

    def kept(self) -> None:
        """What was seen has been dealt with for good, whether or not that is stored."""
        for place in self._moved:
            self._stored[place] = self.cursors[place]

    def _key(self, place: Place) -> str:
        return f"{self.name}|{place[0]}:{place[1]}"


def _doc(cursor: Cursor) -> dict[str, object]:
    at = instant(cursor.at) if cursor.at else ""
    return {"seq": cursor.seq, "hash": cursor.hash, "offset": cursor.offset, "at": at}


async def store(documents: Documents, standings: Collection[Standing]) -> bool:
    """Stores every moved cursor. False: another process moved one of them, so read them again."""
    puts = [put for standing in standings for put in standing.puts()]
    if not puts:
        return True
    if not all(await documents.put(puts)):
        return False
    for standing in standings:
        standing.stored()
    return True


@dataclass(eq=False)
class Telling:
    """How far its consumers have come is stored with each batch; `alone`, with no other process to
    read or move their cursors, now and then: what is done again after a crash changes nothing."""

    alone: bool
    untold: int = 0
    """Commits that were dealt with since."""

    @property
    def wait_seconds(self) -> float:
        return PENDING_SECONDS if self.untold else WAIT_SECONDS

    async def told(self, documents: Documents, standings: Collection[Standing], count: int) -> bool:
        """After a batch of so many commits; of none, there is a pause. False: as `store` has it."""
        self.untold += count
        halted = any(standing.halted for standing in standings)
        if self.alone and count and self.untold < UNTOLD_MAX and not halted:
            for standing in standings:
                standing.kept()
            return True
        self.untold = 0
        return await store(documents, standings)


def loop_time() -> float:
    """Pauses are measured by the clock that waits for them."""
    return asyncio.get_running_loop().time()


class GapOpen(StoreAway):
    """What is missing in a shard did not come, however often it was asked for. Its argument is the
    place; reading begins anew, and the operator hears of it each time."""


@dataclass(eq=False)
class _Gap:
    """`at`: where the consumers stood when it was seen; when they go on, it is another gap."""

    at: tuple[int, ...]
    since: float
    pause_seconds: float = REWIND_SECONDS_MIN / 2
    again: float = 0.0
    asked: bool = False


@dataclass(eq=False)
class Healing:
    """Patience with gaps: what was dropped is read again, at once and then ever more rarely, from
    the beginning, and with an alarm in the end."""

    now: Callable[[], float] = loop_time
    _gaps: dict[Place, _Gap] = field(default_factory=dict)

    async def mend(
        self,
        feed: Feed,
        standings: Collection[Standing],
        idle: bool,
        documents: Documents | None = None,
    ) -> None:
        """Call it with each batch. While there is more to read, what is missing may come yet; but
        other shards must not keep one waiting for ever. A shard that came from another member of
        the group begins where that one has stored that it stands. Raises GapOpen."""
        now = self.now()
        ends = {place for one in standings for place in one.gaps if place not in one.halted}
        self._gaps = {place: gap for place, gap in self._gaps.items() if place in ends}
        for place in sorted(ends):
            at = tuple(one.cursors.get(place, NOWHERE).seq for one in standings)
            gap = self._gaps.get(place)
            if gap is None or gap.at != at:
                if documents is not None and await _overtaken(documents, standings, place):
                    await rewind(feed, standings, place)
                    continue
                gap = self._gaps[place] = _Gap(at, now, again=now)
            if now - gap.since > GAP_SECONDS_MAX:
                raise GapOpen(label(place))
            if now < gap.again or (not idle and now - gap.since < REWIND_SECONDS_MIN):
                continue
            gap.pause_seconds = min(REWIND_SECONDS_MAX, 2 * gap.pause_seconds)
            gap.again = now + gap.pause_seconds
            if gap.asked:  # a topic that was made again has other offsets than it had
                await feed.rewind(place[0], place[1], 0)
            else:
                await rewind(feed, standings, place)
            gap.asked = True


async def _overtaken(documents: Documents, standings: Collection[Standing], place: Place) -> bool:
    waiting = [one for one in standings if place in one.gaps]
    return any([await one.overtaken(documents, place) for one in waiting])


async def rewind(feed: Feed, standings: Collection[Standing], place: Place) -> None:
    """To just behind the rearmost consumer of this shard."""
    offsets = [
        standing.cursors.get(place, NOWHERE).offset
        for standing in standings
        if place[0] in standing.logs and place not in standing.halted
    ]
    if offsets:
        await feed.rewind(place[0], place[1], min(offsets) + 1)


async def resume(feed: Feed, standings: Collection[Standing]) -> None:
    """Starts a feed where its consumers stand."""
    for standing in standings:
        standing.ends = feed.ends
    for log in sorted({log for standing in standings for log in standing.logs}):
        for shard in range(SHARDS):
            await rewind(feed, standings, (log, shard))


async def done(feed: Feed, standings: Collection[Standing], batch: Iterable[Delivery]) -> None:
    """Tells the feed how far every consumer has come; never beyond the rearmost."""
    for place in dict.fromkeys(delivery.commit.place for delivery in batch):
        offsets = [s.cursors.get(place, NOWHERE).offset for s in standings if place[0] in s.logs]
        if offsets and min(offsets) >= 0:
            await feed.done(place[0], place[1], min(offsets))
