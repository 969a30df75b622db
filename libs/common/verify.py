"""Is this log whole? Dense, chained, every stream dense, every command once, its indexes true."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

from libs.common.commit import NO_PREV, leaf_hash, parts_of, shard_of
from libs.common.messages import Position
from libs.common.ports import SHARDS, EventStore, Row, columns_of

HOLE_MAX = 1_000_000
"""Positions; behind a longer hole a shard is not read on."""
SCANS_MAX = 3
HASH_BYTES = 32
NO_HASH = bytes(HASH_BYTES)


class Wrong(StrEnum):
    """What can be wrong with a stored commit, in words for whoever runs the place."""

    UNREADABLE = "the bytes are no commit"
    FOREIGN = "a commit of another log"
    INDEX = "the index does not say what the bytes say"
    HOLE = "a commit is missing"
    CHAIN = "it does not name the commit before it"
    SHARD = "a stream in a shard that is not its own"
    STREAM = "a version of the stream is missing or double"
    VERSIONS = "versions and events do not match"
    COMMAND = "a command took effect twice"
    TIME = "time ran backwards in the shard"


class Verified(NamedTuple):
    """What was found whole."""

    commits: int
    events: int
    streams: int
    types: Counter[str]


class Broken(Exception):
    """The log is not what was promised; names the first bad position."""

    def __init__(self, position: Position, what: str) -> None:
        super().__init__(f"{position}: {what}")
        self.position, self.what = position, what


Tell = Callable[[Position, str], None]
"""Hears of something wrong: where, and what."""


@dataclass(eq=False)
class Hashes:
    """The hash of every position that was read, as tightly as they fit."""

    _shards: defaultdict[int, bytearray] = field(default_factory=lambda: defaultdict(bytearray))

    def end(self, shard: int) -> int:
        """The last seq that was put, or left out."""
        return len(self._shards[shard]) // HASH_BYTES

    def at(self, shard: int, seq: int) -> str | None:
        found = self._shards[shard][(seq - 1) * HASH_BYTES : seq * HASH_BYTES]
        return found.hex() if found and found != NO_HASH else None

    def put(self, shard: int, seq: int, leaf: str | None) -> None:
        """None: it is there, and cannot be read."""
        hashes = self._shards[shard]
        start = (seq - 1) * HASH_BYTES
        if start > len(hashes):
            hashes.extend(bytes(start - len(hashes)))
        hashes[start : start + HASH_BYTES] = bytes.fromhex(leaf) if leaf else NO_HASH


async def verify(
    store: EventStore, progress: Callable[[int], None] | None = None, log: str | None = None
) -> Verified:
    """Reads the whole log, trusting nothing but the bytes. Raises Broken at what is wrong first."""
    return (await surveyed(store, broken, progress, log)).verified()


def broken(position: Position, what: str) -> None:
    """Who hears of the first thing that is wrong, and wants to know no more."""
    raise Broken(position, what)


async def surveyed(
    store: EventStore,
    tell: Tell,
    progress: Callable[[int], None] | None = None,
    log: str | None = None,
) -> "Survey":
    """The same, and `tell` hears of everything that is wrong, shard by shard and in order. `log`
    is whose it must be; without it, whose its first commit is."""
    survey = Survey(tell, log)
    for shard in range(SHARDS):
        await survey.read(store, shard, progress)
    return survey


@dataclass(eq=False)
class ReadingAhead:
    """A shard page by page: while one is dealt with, the next is read. Close it."""

    store: EventStore
    shard: int
    _after: int = 0
    _coming: "asyncio.Future[list[Row]] | None" = None

    async def rows(self) -> list[Row]:
        """The next page; empty at the end. When that fails it may be asked for again."""
        coming, self._coming = self._coming or self._read(), None
        rows = await coming
        if rows:
            self._after = rows[-1].seq
            self._coming = self._read()
            await asyncio.sleep(0)  # it begins now, not when this page has been dealt with
        return rows

    def close(self) -> None:
        """What is still on its way is not waited for, and what went wrong with it is not told."""
        if self._coming is not None:
            self._coming.cancel()
            self._coming.add_done_callback(lambda read: read.cancelled() or read.exception())

    def _read(self) -> "asyncio.Future[list[Row]]":
        return asyncio.ensure_future(scanned(self.store, self.shard, self._after))


async def scanned(store: EventStore, shard: int, after: int) -> list[Row]:
    """Rows behind this seq, as they lie there. Read anew where there is a hole: a scan may see a
    commit arrive and miss the one before."""
    for _ in range(SCANS_MAX):
        rows = await store.rows(shard, after)
        if not rows or rows[-1].seq == after + len(rows):
            break
    return rows


@dataclass(eq=False)
class Survey:
    """A log as it is read: what must be known of all before to judge the next."""

    tell: Tell
    log: str | None = None
    count: int = 0
    types: Counter[str] = field(default_factory=Counter)
    hashes: Hashes = field(default_factory=Hashes)
    commands: dict[int, None] = field(default_factory=dict)
    """Their ids as numbers, which take the least memory, in order."""
    _versions: dict[str, int] = field(default_factory=dict)
    _last: dict[int, tuple[str, datetime]] = field(default_factory=dict)
    """The hash of the last that could be read, and its time."""

    async def read(
        self, store: EventStore, shard: int, progress: Callable[[int], None] | None = None
    ) -> None:
        """All of a shard."""
        with closing(ReadingAhead(store, shard)) as ahead:
            while rows := await ahead.rows():
                for row in rows:
                    self.take(row)
                if progress is not None:
                    progress(len(rows))
                if rows[-1].seq > self.hashes.end(shard):
                    break  # behind a hole without an end

    def verified(self) -> Verified:
        return Verified(self.count, self.types.total(), len(self._versions), self.types)

    def take(self, row: Row) -> None:
        """The next row of its shard."""
        shard, seq, _, body = row
        due = self.hashes.end(shard) + 1
        if seq != due:
            self.tell(Position(self.log or "", shard, due), Wrong.HOLE)
            self._last.pop(shard, None)
            if seq > due + HOLE_MAX:
                return
        try:
            told = parts_of(body)
        except ValueError:
            self.tell(Position(self.log or "", shard, seq), Wrong.UNREADABLE)
            self.hashes.put(shard, seq, None)
            self._last.pop(shard, None)
            return
        leaf, types = leaf_hash(body), self.types
        self.log = self.log or told["log"]
        self.hashes.put(shard, seq, leaf)
        for what in self._judge(row, told, leaf):
            self.tell(Position(self.log, shard, seq), what)
        self._last[shard] = (leaf, told["at"])
        self.count += 1
        for name in told["types"]:
            types[name] += 1

    def _judge(self, row: Row, told: dict[str, Any], leaf: str) -> list[Wrong]:
        wrong = []
        shard, seq, columns, _ = row
        stream, first, last, types = told["stream"], told["first"], told["last"], told["types"]
        prev, command, before = told["prev"], told["command"].int, self._last.get(shard)
        written = told["content"]["command"]
        if told["log"] != self.log:
            wrong.append(Wrong.FOREIGN)
        if (
            columns != columns_of(stream, first, last, written, leaf, types, told["subjects"])
            or told["shard"] != shard
            or told["seq"] != seq
        ):
            wrong.append(Wrong.INDEX)
        if prev != (NO_PREV if seq == 1 else before[0] if before is not None else prev):
            wrong.append(Wrong.CHAIN)
        if shard_of(stream) != told["shard"]:
            wrong.append(Wrong.SHARD)
        if first != self._versions.get(stream, 0) + 1:
            wrong.append(Wrong.STREAM)
        if last - first + 1 != len(types):
            wrong.append(Wrong.VERSIONS)
        if command in self.commands:
            wrong.append(Wrong.COMMAND)
        if before is not None and told["at"] < before[1]:
            wrong.append(Wrong.TIME)
        self._versions[stream] = last
        self.commands[command] = None
        return wrong
