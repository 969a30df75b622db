"""The raw engine: the same rows, grouped by the same number of callers, and nothing else."""

import asyncio
import sqlite3
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

from bench.domain import LOG, SOMEBODY, STAMP, Notes, asks, decide
from bench.ours import KEK, Figures, measured
from libs.common.adapters.sqlite import INSERT, LAYOUT, row_of
from libs.common.commit import NO_PREV, Commit, Draft, encode, encode_event, shard_of
from libs.common.ports import Keys, WrappedKey
from libs.common.sealing import Keyring


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
        group, self.waiting = self.waiting[:256], self.waiting[256:]
        if not group:
            self.busy = False
            return
        loop = asyncio.get_running_loop()
        writing = loop.run_in_executor(self.thread, self._write, [row for row, _ in group])

        def written(_: Any) -> None:
            for _, done in group:
                done.set_result(None)
            self._next()

        writing.add_done_callback(written)

    def _write(self, rows: list[Any]) -> None:
        self.connection.execute("BEGIN IMMEDIATE")
        self.connection.executemany(INSERT, rows)
        self.connection.execute("COMMIT")


def connected(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "cache_size = -65536"):
        connection.execute(f"PRAGMA {pragma}")
    for statement in LAYOUT.schema.split(";"):
        connection.execute(statement)
    return connection


async def rows(size: int) -> list[Commit]:
    """What ours would store, made beforehand."""
    keyring = Keyring(_NoKeys(), KEK)
    heads: dict[int, tuple[int, str]] = {}
    found = []
    versions: dict[str, int] = {}
    for ask in asks(size):
        command, _ = await keyring.sealed(ask.command, ask.command.student)
        events = decide(Notes(), command)
        shard = shard_of(ask.stream)
        seq, prev = heads.get(shard, (0, NO_PREV))
        draft = Draft(
            stream=ask.stream,
            expected=versions.get(ask.stream, 0),
            events=tuple(map(encode_event, events)),
            types=tuple(event.type for event in events),
            command=ask.id,
            correlation=ask.id,
            actor=SOMEBODY,
            subjects=(ask.command.student,),
            request="sha256:" + "0" * 64,
        )
        commit = encode(draft, LOG, seq + 1, prev, STAMP.at)
        heads[shard] = (commit.seq, commit.hash)
        versions[ask.stream] = commit.last
        found.append(commit)
    return found


class _NoKeys(Keys):
    """Every student's key is made anew: nobody will open these rows."""

    async def held(self, subjects: Collection[str]) -> dict[str, list[WrappedKey] | None]:
        return {subject: [] for subject in subjects}


async def commands(folder: Path, size: int, callers: int = 64) -> Figures:
    made = [row_of(commit) for commit in await rows(size)]
    group = GroupCommit(connected(folder / "raw.db"))
    coming = iter(made)
    took: list[float] = []

    async def insert() -> None:
        for row in coming:
            began = perf_counter()
            await group.insert(row)
            took.append(perf_counter() - began)

    async def work() -> Sequence[float]:
        await asyncio.gather(*(insert() for _ in range(callers)))
        return took

    return await measured(work)

