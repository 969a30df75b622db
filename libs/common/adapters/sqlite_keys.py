"""Wrapped keys in one file on disk, and the proof of absence once one is destroyed.

What is deleted is overwritten in the file, and the write-ahead log, which still has it, is emptied
before `forget` returns.
"""

import sqlite3
from collections.abc import Collection, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import orjson

from libs.common.adapters.sqlite_file import Layout, SqliteFile, empty_wal, transaction
from libs.common.adapters.sqlite_rows import execute_many
from libs.common.adapters.sqlite_shared import shared
from libs.common.errors import Forgotten
from libs.common.ports import WrappedKey

WHOLE = "*"
"""The class of a tombstone that stands for the whole subject."""
LAYOUT = Layout(
    version=1,
    synchronous="FULL",
    secure=True,
    shared=True,
    schema="""
    CREATE TABLE keys(
        number INTEGER PRIMARY KEY, subject TEXT NOT NULL, class TEXT NOT NULL,
        wrapped BLOB NOT NULL, UNIQUE(subject, class));
    CREATE TABLE tombstones(subject TEXT, class TEXT, PRIMARY KEY(subject, class)) WITHOUT ROWID""",
)
TOMBSTONE = """
    SELECT subject FROM json_each(?) CROSS JOIN tombstones
    ON subject = json_extract(value, '$[0]') AND class IN (json_extract(value, '$[1]'), '*')
    LIMIT 1"""
OFFER = "INSERT INTO keys(subject, class, wrapped) SELECT * FROM {rows} ON CONFLICT DO NOTHING"
GET = """
    SELECT json_group_array(json_array(key, hex(wrapped))) FROM json_each(?) CROSS JOIN keys
    ON subject = json_extract(value, '$[0]') AND class = json_extract(value, '$[1]')"""
HELD = """
    SELECT
    (SELECT json_group_array(json_array(subject, class, hex(wrapped))) FROM (
        SELECT subject, class, wrapped FROM keys
        WHERE subject IN (SELECT value FROM json_each(?1)) ORDER BY subject, class)),
    (SELECT json_group_array(subject) FROM tombstones
        WHERE subject IN (SELECT value FROM json_each(?1)) AND class = '*')"""
"""Each is one statement that gives at most one row: a step of SQLite's lets go of the interpreter,
and gets it back only when others do."""
DELETE = "DELETE FROM keys WHERE subject = ?"


class SqliteKeys:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._closing = AsyncExitStack()
        self.file: SqliteFile

    async def __aenter__(self) -> Self:
        """Raises WrongFormat or StoreAway."""
        self.file = await self._closing.enter_async_context(shared(self._path, LAYOUT))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        await self._closing.aclose()

    async def ensure(
        self, offers: Mapping[tuple[str, str], bytes]
    ) -> dict[tuple[str, str], WrappedKey]:
        """One transaction: a tombstone is either seen here, or comes after and takes the key."""
        wanted = orjson.dumps(list(offers)).decode()
        rows = [value for key, wrapped in offers.items() for value in (*key, wrapped)]

        def work(connection: sqlite3.Connection) -> dict[tuple[str, str], bytes]:
            with transaction(connection):
                forgotten = connection.execute(TOMBSTONE, (wanted,)).fetchone()
                if forgotten:
                    raise Forgotten(*forgotten)
                if execute_many(connection, OFFER, 3, rows) == len(offers):
                    return dict(offers)
                return _got(connection, list(offers))

        stored = await self.file.write(work)
        return {key: WrappedKey(_id(*key), wrapped) for key, wrapped in stored.items()}

    async def get(self, ids: Collection[str]) -> dict[str, bytes | None]:
        keys = {ident: _key(ident) for ident in ids}
        wanted = [key for key in keys.values() if key]
        found = await self.file.read(lambda connection: _got(connection, wanted))
        return {ident: found.get(key) if key else None for ident, key in keys.items()}

    async def held(self, subjects: Collection[str]) -> dict[str, list[WrappedKey] | None]:
        wanted = orjson.dumps(sorted(subjects)).decode()
        keys, forgotten = await self.file.read(
            lambda connection: connection.execute(HELD, (wanted,)).fetchone()
        )
        found: dict[str, list[WrappedKey] | None] = {subject: [] for subject in subjects}
        for subject, key_class, wrapped in orjson.loads(keys):
            kept = found[subject]
            assert kept is not None
            kept.append(WrappedKey(_id(subject, key_class), bytes.fromhex(wrapped)))
        return found | dict.fromkeys(orjson.loads(forgotten))

    async def forget(self, subject: str, classes: Collection[str]) -> int:
        """After StoreAway it is not sure that the bytes are gone: forget again."""

        def work(connection: sqlite3.Connection) -> int:
            with transaction(connection):
                for key_class in classes or (WHOLE,):
                    connection.execute(
                        "INSERT INTO tombstones VALUES (?, ?) ON CONFLICT DO NOTHING",
                        (subject, key_class),
                    )
            before = connection.total_changes
            with transaction(connection):
                if classes:
                    for key_class in classes:
                        connection.execute(f"{DELETE} AND class = ?", (subject, key_class))
                else:
                    connection.execute(DELETE, (subject,))
            count = connection.total_changes - before
            empty_wal(connection)
            return count

        return await self.file.write(work)


def _id(subject: str, key_class: str) -> str:
    return f"{subject}:{key_class}:1"


def _key(ident: str) -> tuple[str, str] | None:
    """Subject and class; None when there can be no such key."""
    subject, key_class, number = ident.rsplit(":", 2)
    return (subject, key_class) if number == "1" else None


def _got(
    connection: sqlite3.Connection, keys: Sequence[tuple[str, str]]
) -> dict[tuple[str, str], bytes]:
    """Those of them that are there."""
    (found,) = connection.execute(GET, (orjson.dumps(keys).decode(),)).fetchone()
    return {keys[number]: bytes.fromhex(wrapped) for number, wrapped in orjson.loads(found)}
