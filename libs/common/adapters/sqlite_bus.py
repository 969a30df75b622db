"""The bus of the embedded engine: every log is read where it is written, so nothing is sent.

An offset is `seq - 1`, as in a topic that was never disturbed. A log that this process writes wakes
its readers. Of a log that another process writes, the time of the last change is looked at often,
once for all readers, and each reads the log itself every now and then, since that time is coarse.
There is one member in a group.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Self

from libs.common.adapters.sqlite import SqliteStore
from libs.common.commit import Commit
from libs.common.errors import StoreAway
from libs.common.ports import SHARDS, Delivery, Record

POLL_SECONDS_MIN = 0.02
POLL_SECONDS_MAX = 0.1
LOOK_SECONDS = 0.004
GATHER_SECONDS = 0.01
"""So far apart are two batches of a group that has all: what many are told costs less than what
each of them is. News after a pause is told at once, and to a view in memory always: it may be the
one that says what a family has taken back."""
ENDS_SECONDS = 5.0
"""How often a reader that is behind looks how far."""


@dataclass(eq=False)
class SqliteBus:
    """`folder` is the data directory, with a folder for each log; `stores` are those that this
    process writes, by log."""

    folder: Path
    stores: Mapping[str, SqliteStore]
    _readers: dict[str, SqliteStore] = field(default_factory=dict)
    _closing: AsyncExitStack = field(default_factory=AsyncExitStack)
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        await self._closing.aclose()

    async def publish(self, log: str, shard: int, commits: Sequence[Commit]) -> int:  # noqa: ARG002 - the port's
        """They are in the log, and that is where they are read."""
        return commits[0].seq - 1

    async def tail(self, log: str, shard: int) -> tuple[Commit, int] | None:
        store = await self.store(log)
        head = await store.head(shard) if store is not None else None
        return (head, head.seq) if head is not None else None

    async def read(self, log: str, shard: int) -> AsyncIterator[Record]:
        store, after = await self.store(log), 0
        while store is not None and (rows := await store.rows(shard, after)):
            for row in rows:
                yield Record(row.seq - 1, row.body)
            after = rows[-1].seq

    @asynccontextmanager
    async def subscribe(
        self,
        logs: Collection[str],
        group: str | None,
    ) -> AsyncIterator["SqliteFeed"]:
        """The reader's cursors are its place."""
        feed = SqliteFeed(self, tuple(logs), 0.0 if group is None else GATHER_SECONDS)
        try:
            yield feed
        finally:
            feed.close()

    async def store(self, log: str) -> SqliteStore | None:
        """The store that writes this log here, or one that reads it; None while it is not there."""
        if log in self.stores:
            return self.stores[log]
        path = self.folder / log / "log.db"
        async with self._turn:
            if log not in self._readers and path.exists():
                reader = SqliteStore(path, log, readonly=True)
                with suppress(StoreAway):  # it is being made this very moment
                    self._readers[log] = await self._closing.enter_async_context(reader)
                    watching = asyncio.create_task(_watch(self.folder, reader))
                    self._closing.callback(watching.cancel)
        return self._readers.get(log)


@dataclass(eq=False)
class SqliteFeed:
    bus: SqliteBus
    logs: tuple[str, ...]
    gather_seconds: float = 0.0
    _nexts: dict[str, list[int]] = field(default_factory=dict)
    _woken: asyncio.Event = field(default_factory=asyncio.Event)
    _wakers: set[SqliteStore] = field(default_factory=set)
    _reached: float | None = None
    _told: float = 0.0
    _ended: float | None = None
    _ends: dict[tuple[str, int], int] = field(default_factory=dict)
    _looked: float = 0.0

    def __post_init__(self) -> None:
        self._nexts = {log: [1] * SHARDS for log in self.logs}

    async def batch(self, limit: int, wait: float) -> list[Delivery]:
        """To ask for more is to say that everything before has been dealt with."""
        if self._reached is not None:
            self._ended = self._reached
        until = monotonic() + wait
        pause = POLL_SECONDS_MIN
        await asyncio.sleep(max(0.0, self._told + self.gather_seconds - monotonic()))
        while True:
            self._woken.clear()
            now = monotonic()
            found, all_of_it, waking = await self._read(limit)
            self._reached = now if all_of_it else None
            if found:
                await asyncio.sleep(0)  # a reader that never waits for anything lets others in
                self._told = now if all_of_it else 0.0
                return found
            self._ended = self._reached
            left = until - monotonic()
            if left <= 0:
                return []
            await self._wait(left if waking else min(left, pause))
            pause = min(POLL_SECONDS_MAX, 2 * pause)

    async def done(self, log: str, shard: int, offset: int) -> None:
        """Nothing: readers keep their own cursors."""

    async def rewind(self, log: str, shard: int, offset: int) -> None:
        self._nexts[log][shard] = offset + 1
        self._reached = None

    def ended(self) -> float | None:
        return self._ended

    def ends(self) -> Mapping[tuple[str, int], int]:
        return self._ends

    def close(self) -> None:
        for store in self._wakers:
            store.listeners.discard(self._woken)

    async def _read(self, limit: int) -> tuple[list[Delivery], bool, bool]:
        """What is new; whether that was all; whether news of every log would surely wake us."""
        found: list[Delivery] = []
        all_of_it = waking = True
        for log in self.logs:
            store = await self.bus.store(log)
            if store is None or store.file.readonly:
                waking = False
            if store is not None and store not in self._wakers:
                self._wakers.add(store)
                store.listeners.add(self._woken)
            if store is None:
                continue
            if len(found) >= limit:
                all_of_it = False
                break
            commits, whole = await store.log_all(self._nexts[log], limit - len(found))
            all_of_it = all_of_it and whole
            for commit in commits:
                self._nexts[log][commit.shard] = commit.seq + 1
                found.append(Delivery(commit, commit.seq - 1))
            await self._look_ahead(store, log, whole)
        self.logs = self.logs[1:] + self.logs[:1]  # so that a busy log cannot hide another
        return found, all_of_it, waking

    async def _look_ahead(self, store: SqliteStore, log: str, whole: bool) -> None:
        """A reader that has all knows the ends; one that is behind asks for them, seldom."""
        heads = [next_seq - 1 for next_seq in self._nexts[log]]
        if not whole:
            if monotonic() - self._looked < ENDS_SECONDS:
                return
            self._looked = monotonic()
            found = [await store.head(shard) for shard in range(SHARDS)]
            heads = [
                max(seq, head.seq if head else 0) for seq, head in zip(heads, found, strict=True)
            ]
        self._ends |= {(log, shard): end for shard, end in enumerate(heads)}

    async def _wait(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        except TimeoutError:
            pass


async def _watch(folder: Path, store: SqliteStore) -> None:
    """Wakes the readers of a log that another process seems to have written."""
    seen = _changed(folder, store.log_name)
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        now = _changed(folder, store.log_name)
        if now != seen:
            seen = now
            store.wake()


def _changed(folder: Path, log: str) -> tuple[int, int]:
    """What changes when this log is written to: the time, in the file system's nanoseconds, and the
    bytes of what was written."""
    try:
        found = os.stat(f"{folder}/{log}/log.db-wal")
    except FileNotFoundError:
        return (0, 0)
    return (found.st_mtime_ns, found.st_size)
