"""The log of record in one file on disk: one writer, any number of readers.

The writer knows every head by heart, so it is asked for nothing that it has just written; ten
readers of the newest commits share the same objects, and with them what was decoded of them.
"""

import asyncio
import sqlite3
from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from uuid import UUID

from libs.common.adapters.sqlite_file import Layout, OutcomeUnknown, SqliteFile
from libs.common.adapters.sqlite_rows import execute_many
from libs.common.commit import NO_PREV, Commit, chained, parse
from libs.common.errors import StoreAway
from libs.common.ports import LOG_BATCH_MAX, SHARDS, Inserted, Row

KNOWN_MAX = 4_096
"""Commits kept in memory, of all shards together: the newest that were written or read."""
TAIL_CHECKED = 64
"""Commits at the end of each shard whose chain is checked when the writer opens."""

LAYOUT = Layout(
    version=1,
    synchronous="FULL",
    schema="""
    CREATE TABLE commits(
        shard INT NOT NULL, seq INT NOT NULL, stream TEXT NOT NULL, first INT NOT NULL,
        last INT NOT NULL, command TEXT NOT NULL, at TEXT NOT NULL, types TEXT NOT NULL,
        subjects TEXT NOT NULL, hash TEXT NOT NULL, body BLOB NOT NULL);
    CREATE UNIQUE INDEX c_position ON commits(shard, seq);
    CREATE UNIQUE INDEX c_stream ON commits(stream, first);
    CREATE UNIQUE INDEX c_command ON commits(command)""",
)
INSERT = "INSERT OR FAIL INTO commits SELECT * FROM {rows}"
"""A transaction of its own, synced at its end; where a row is refused, those before it are kept."""
COLUMN_COUNT = 11
HEADS = "SELECT shard, seq, body FROM commits WHERE shard = ? ORDER BY seq DESC LIMIT ?"
STREAM = (
    "SELECT shard, seq, body FROM commits WHERE stream = ? AND first > ? ORDER BY first LIMIT ?"
)
COMMAND = "SELECT shard, seq, body FROM commits WHERE command = ?"
COLUMNS = (
    "stream || ' ' || first || ' ' || last || ' ' || command || ' ' || hash "
    "|| '|' || types || '|' || subjects"
)
FOUND = "FROM commits WHERE shard = ? AND seq > ? ORDER BY seq LIMIT ?"
LOG = f"SELECT seq, body {FOUND}"
BODIES = (
    "SELECT group_concat(seq, ' '), CAST(group_concat(body, char(10)) AS BLOB) "  # noqa: S608 - our own words only
    f"FROM (SELECT seq, CAST(body AS TEXT) AS body {FOUND})"
)
ROWS = f"SELECT shard, seq, {COLUMNS}, body {FOUND}"
PAGE = (
    "SELECT group_concat(seq, ' '), group_concat(columns, char(10)), "  # noqa: S608 - our own words only
    "CAST(group_concat(body, char(10)) AS BLOB) "
    f"FROM (SELECT seq, {COLUMNS} AS columns, CAST(body AS TEXT) AS body {FOUND})"
)
"""All rows in one, for thousands of them: a thread that steps from row to row needs the interpreter
at each step, and holds up the one that deals with the rows before."""
PLACE = "SELECT 1 FROM commits WHERE shard = ? AND seq = ?"


class SqliteStore:
    """`listeners` are set when there may be news. `broken`: opened to be mended, whatever its end
    looks like."""

    parallel = True

    def __init__(self, path: Path, log: str, readonly: bool = False, broken: bool = False) -> None:
        self.file = SqliteFile(path.absolute(), LAYOUT, readonly, self._take_heads)
        self.log_name = log
        self._broken = broken
        self.listeners: set[asyncio.Event] = set()
        self._heads: list[Commit | None] = [None] * SHARDS
        self._known: OrderedDict[tuple[int, int], Commit] = OrderedDict()
        self._round = 0

    async def __aenter__(self) -> Self:
        """Raises Taken when this log has a writer already, WrongFormat, or StoreAway."""
        await self.file.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        await self.file.close()

    def fit(self) -> bool:
        return self.file.fit()

    async def insert(self, rows: Sequence[Commit]) -> Inserted:
        if self.file.readonly:
            raise TypeError("this log was opened to be read")
        try:
            outcome = await self.file.write(partial(self._insert, rows))
        except OutcomeUnknown:
            await self.file.write(lambda _: None)  # opens again, and looks at the tail
            outcome = Inserted(0, "unknown")
        self._keep(rows[: outcome.n])
        self.wake()
        return outcome

    def wake(self) -> None:
        for listener in self.listeners:
            listener.set()

    async def head(self, shard: int, known: int = 0) -> Commit | None:  # noqa: ARG002 - an index knows
        if not self.file.readonly:
            return self._heads[shard]
        found = await self.file.read(partial(self._commits, HEADS, (shard, 1)))
        return found[0] if found else None

    async def stream(self, stream: str, after: int = 0) -> AsyncIterator[Commit]:
        while True:
            page = await self.file.read(
                partial(self._commits, STREAM, (stream, after, LOG_BATCH_MAX))
            )
            for commit in page:
                yield commit
            if len(page) < LOG_BATCH_MAX:
                return
            after = page[-1].first

    async def log(self, shard: int, after: int, limit: int = LOG_BATCH_MAX) -> list[Commit]:
        found, _ = await self._read_shards([(shard, after)], limit)
        return found

    async def log_all(self, nexts: Sequence[int], limit: int) -> tuple[list[Commit], bool]:
        """Every shard from its next seq on, each with a fair share of the limit; and whether that
        was all there is. From memory, or with one question."""
        self._round += 1
        turns = [(self._round + number) % SHARDS for number in range(SHARDS)]
        wanted = [
            (shard, nexts[shard] - 1)
            for shard in turns
            if self.file.readonly or self._end(shard) >= nexts[shard]
        ]
        found, all_of_it = await self._read_shards(wanted, max(1, limit // max(1, len(wanted))))
        return found[:limit], all_of_it and len(found) <= limit

    async def news(self, nexts: Sequence[int]) -> list[int]:
        if not self.file.readonly:
            return [shard for shard in range(SHARDS) if self._end(shard) >= nexts[shard]]
        return await self.file.read(
            lambda connection: [
                shard
                for shard in range(SHARDS)
                if connection.execute(PLACE, (shard, nexts[shard])).fetchone()
            ]
        )

    async def by_commands(
        self,
        commands: Sequence[UUID],
        local: bool = False,  # noqa: ARG002 - one writer, one truth
    ) -> dict[UUID, Commit]:
        def look(connection: sqlite3.Connection) -> list[Commit]:
            return [
                commit
                for command in commands
                for commit in self._commits(COMMAND, (str(command),), connection)
            ]

        return {commit.command: commit for commit in await self.file.read(look)}

    async def rows(self, shard: int, after: int, limit: int = LOG_BATCH_MAX) -> list[Row]:
        def together(connection: sqlite3.Connection) -> Any:
            return connection.execute(PAGE, (shard, after, limit)).fetchone()

        def one_by_one(connection: sqlite3.Connection) -> list[Row]:
            return list(map(Row._make, connection.execute(ROWS, (shard, after, limit))))

        found = _taken_apart(*await self.file.read(together))
        if found is None:
            return await self.file.read(one_by_one)
        return [Row(shard, *row) for row in found]

    def _insert(self, rows: Sequence[Commit], connection: sqlite3.Connection) -> Inserted:
        before = connection.total_changes
        values = [value for row in rows for value in row_of(row)]
        with suppress(sqlite3.IntegrityError):
            execute_many(connection, INSERT, COLUMN_COUNT, values)
        stored = connection.total_changes - before
        for row in rows[:stored]:
            self._heads[row.shard] = row
        return Inserted(stored, "duplicate" if stored < len(rows) else None)

    async def _read_shards(
        self, wanted: Sequence[tuple[int, int]], limit: int
    ) -> tuple[list[Commit], bool]:
        """At most `limit` of each shard, and whether none of them has more."""
        found: dict[int, list[Commit]] = {}
        missing = []
        for shard, after in wanted:
            remembered = self._remembered(shard, after, limit)
            if remembered is None:
                missing.append((shard, after))
            else:
                found[shard] = remembered
        if missing:

            def look(connection: sqlite3.Connection) -> list[list[tuple[int, bytes]]]:
                return [_page(connection, shard, after, limit) for shard, after in missing]

            # Parsed here: the thread that reads would take the interpreter from whoever deals with
            # the page before, by turns.
            read = {
                shard: [self._known.get((shard, seq)) or _parsed(body) for seq, body in page]
                for (shard, _), page in zip(missing, await self.file.read(look), strict=True)
            }
            for commits in read.values():
                self._keep(commits)
            found.update(read)
        all_of_it = all(len(commits) < limit for commits in found.values())
        return [commit for shard, _ in wanted for commit in found[shard]], all_of_it

    def _remembered(self, shard: int, after: int, limit: int) -> list[Commit] | None:
        """None when the file must be asked."""
        if self.file.readonly:
            return None
        found = []
        for seq in range(after + 1, min(after + limit, self._end(shard)) + 1):
            commit = self._known.get((shard, seq))
            if commit is None:
                return None
            found.append(commit)
        return found

    def _end(self, shard: int) -> int:
        head = self._heads[shard]
        return head.seq if head is not None else 0

    def _keep(self, commits: Sequence[Commit]) -> None:
        for commit in commits:
            self._known[commit.shard, commit.seq] = commit
        while len(self._known) > KNOWN_MAX:
            self._known.popitem(last=False)

    def _commits(
        self, question: str, about: tuple[object, ...], connection: sqlite3.Connection
    ) -> list[Commit]:
        return [
            self._known.get((shard, seq)) or _parsed(body)
            for shard, seq, body in connection.execute(question, about)
        ]

    def _take_heads(self, connection: sqlite3.Connection) -> None:
        """Takes every head from the file. Raises StoreAway when an end is not dense and chained."""
        for shard in range(SHARDS):
            rows = self._commits(HEADS, (shard, TAIL_CHECKED), connection)[::-1]
            self._heads[shard] = rows[-1] if rows else None
            if not rows or self._broken:
                continue
            before = rows[0].seq - 1
            if not chained(rows, rows[0].prev if before else NO_PREV, before):
                raise StoreAway(f"{self.log_name}: shard {shard} is broken at its end")


def _page(
    connection: sqlite3.Connection, shard: int, after: int, limit: int
) -> list[tuple[int, bytes]]:
    """The bodies behind a seq, in one row; by themselves where they cannot be told apart."""
    about = (shard, after, limit)
    found = _taken_apart(*connection.execute(BODIES, about).fetchone())
    return found if found is not None else connection.execute(LOG, about).fetchall()


def _taken_apart(seqs: str | None, *columns: str | bytes | None) -> list[Any] | None:
    """What was many rows: each seq with its part of each column. None where one of them is not as
    it was written, so that they cannot be told apart."""
    if not seqs:
        return []
    numbers = list(map(int, seqs.split(" ")))
    parts = [c.split("\n") if isinstance(c, str) else c.split(b"\n") for c in columns if c]
    if len(parts) < len(columns):
        return None
    if any(len(part) != len(numbers) for part in parts) or numbers != sorted(numbers):
        return None
    return list(zip(numbers, *parts, strict=True))


def row_of(commit: Commit) -> tuple[object, ...]:
    return (
        commit.shard,
        commit.seq,
        commit.stream,
        commit.first,
        commit.last,
        str(commit.command),
        commit.when,
        " ".join(commit.types),
        " ".join(commit.subjects),
        commit.hash,
        commit.body,
    )


def _parsed(body: bytes) -> Commit:
    try:
        return parse(body)
    except ValueError:
        raise StoreAway("a stored commit cannot be read") from None
