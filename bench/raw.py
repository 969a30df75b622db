"""The raw engine: the same rows in the same file, by nothing but the driver; and logs to read."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

import orjson

from bench.domain import (
    LOG,
    SOMEBODY,
    STAMP,
    STREAMS,
    Latest,
    Notes,
    NoteWritten,
    Write,
    asks,
    decide,
    student_of,
)
from bench.figures import Figures, in_turns, measured, peak_megabytes
from bench.ours import CALLERS, EVENTS_A_STREAM, KEK
from libs.common.adapters import open_store
from libs.common.adapters.sqlite import COLUMN_COUNT, LAYOUT, row_of
from libs.common.adapters.sqlite_file import CACHE_KIBIBYTES, WAL_PAGES_MAX
from libs.common.commit import NO_PREV, Commit, Draft, decode_event, encode, encode_event, shard_of
from libs.common.handle import Ask
from libs.common.personal import KeyClass
from libs.common.ports import WrappedKey
from libs.common.sealing import Keyring

GROUP_MAX = 256
"""As many as ours takes into one transaction."""
ROWS_TOGETHER = 2_000
INSERT = f"INSERT INTO commits VALUES ({','.join('?' * COLUMN_COUNT)})"  # noqa: S608 - our own words only
REQUEST = f"sha256:{'0' * 64}"


@dataclass(eq=False)
class GroupCommit:
    """One thread writes whatever waits, in one transaction, as soon as it is free."""

    connection: sqlite3.Connection
    thread: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1))
    waiting: list[tuple[Any, asyncio.Future[None]]] = field(default_factory=list)
    busy: bool = False

    async def insert(self, row: Any) -> None:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.waiting.append((row, done))
        if not self.busy:
            self.busy = True
            asyncio.get_running_loop().call_soon(self._next)
        await done

    def _next(self) -> None:
        group, self.waiting = self.waiting[:GROUP_MAX], self.waiting[GROUP_MAX:]
        if not group:
            self.busy = False
            return
        loop = asyncio.get_running_loop()
        writing = loop.run_in_executor(self.thread, self._write, [row for row, _ in group])

        def written(outcome: asyncio.Future[None]) -> None:
            for _, done in group:
                if error := outcome.exception():
                    done.set_exception(error)
                else:
                    done.set_result(None)
            self._next()

        writing.add_done_callback(written)

    def _write(self, rows: list[Any]) -> None:
        self.connection.execute("BEGIN IMMEDIATE")
        self.connection.executemany(INSERT, rows)
        self.connection.execute("COMMIT")


def connected(path: Path) -> sqlite3.Connection:
    """Tables, indexes, cache and checkpoints as ours has them; every commit is synced."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    for pragma in (
        "journal_mode = WAL",
        "synchronous = FULL",
        f"cache_size = -{CACHE_KIBIBYTES}",
        f"wal_autocheckpoint = {WAL_PAGES_MAX}",
    ):
        connection.execute(f"PRAGMA {pragma}")
    for statement in LAYOUT.schema.split(";"):
        connection.execute(statement)
    return connection


async def rows(size: int, streams: int = STREAMS) -> AsyncIterator[Commit]:
    """What ours would store, sealed and chained."""
    keyring = Keyring(_OwnKeys(), KEK)
    students = sorted({student_of(stream) for stream in range(min(streams, size))})
    await keyring.prepare(students, {KeyClass.RECORD})
    heads: dict[int, tuple[int, str]] = {}
    for ask in asks(size, streams):
        command, _ = await keyring.sealed(ask.command, ask.command.student)
        events = decide(Notes(), command)
        shard = shard_of(ask.stream)
        seq, prev = heads.get(shard, (0, NO_PREV))
        commit = encode(draft_of(ask, events), LOG, seq + 1, prev, STAMP.at)
        heads[shard] = (commit.seq, commit.hash)
        yield commit


def draft_of(ask: Ask[Write], events: Sequence[NoteWritten]) -> Draft:
    return Draft(
        stream=ask.stream,
        expected=ask.command.number - 1,
        events=tuple(map(encode_event, events)),
        types=tuple([event.type for event in events]),
        command=ask.id,
        correlation=ask.id,
        actor=SOMEBODY,
        subjects=(ask.command.student,),
        request=REQUEST,
    )


class _OwnKeys:
    """Keys in memory: nobody will open these rows."""

    async def held(self, subjects: Collection[str]) -> dict[str, list[WrappedKey] | None]:
        return {subject: [] for subject in subjects}

    async def ensure(
        self, offers: Mapping[tuple[str, str], bytes]
    ) -> dict[tuple[str, str], WrappedKey]:
        return {key: WrappedKey(":".join((*key, "1")), made) for key, made in offers.items()}

    async def get(self, ids: Collection[str]) -> dict[str, bytes | None]:
        return dict.fromkeys(ids)

    async def forget(self, _: str, __: Collection[str]) -> int:
        return 0


async def fill(folder: Path, size: int) -> Figures:
    """A log to read, put into the store as it is, past the handler."""
    began = perf_counter()
    async with open_store(f"sqlite://{folder}", LOG) as store:
        some: list[Commit] = []
        async for commit in rows(size, size // EVENTS_A_STREAM):
            some.append(commit)
            if len(some) == ROWS_TOGETHER:
                await store.insert(some)
                some = []
        await store.insert(some)
    return {"per_second": size / (perf_counter() - began)}


async def commands(folder: Path, size: int, callers: int = CALLERS) -> Figures:
    """The rows are made beforehand: what is measured is the engine."""
    made = [row_of(commit) async for commit in rows(size)]
    group = GroupCommit(connected(folder / "raw.db"))
    return await measured(lambda: in_turns(made, group.insert, callers))


async def decoded(_: Path, size: int, log: Path) -> Figures:
    """Reads in order, decodes, folds the same documents in memory: no chain is checked, no commit
    made, no cursor kept."""
    connection = sqlite3.connect(log / LOG / "log.db", isolation_level=None)
    began = perf_counter()
    views: dict[str, Latest] = {}
    for note in _notes(connection):
        known = views.get(note.student)
        views[note.student] = Latest.model_construct(
            student=note.student, count=known.count + 1 if known else 1, title=note.title
        )
    wall = perf_counter() - began
    assert sum(view.count for view in views.values()) == size
    return {"per_second": size / wall, "megabytes": peak_megabytes()}


def _notes(connection: sqlite3.Connection) -> Iterator[NoteWritten]:
    for (body,) in connection.execute("SELECT body FROM commits ORDER BY shard, seq"):
        for entry in orjson.loads(body)["events"]:
            found = decode_event(entry["type"], entry["v"], entry["data"])
            assert isinstance(found, NoteWritten)
            yield found


def sqlite_version() -> str:
    return sqlite3.sqlite_version
