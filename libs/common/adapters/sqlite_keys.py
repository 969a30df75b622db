"""Wrapped keys in one file on disk, and the proof of absence once one is destroyed.

What is deleted is overwritten in the file, and the write-ahead log, which still has it, is emptied
before `forget` returns.
"""

import sqlite3
from collections.abc import Collection, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import orjson

from libs.common.adapters.sqlite_file import (
    Layout,
    SqliteFile,
    empty_wal,
    snapshot,
    transaction,
)
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
TOMBSTONE = "SELECT 1 FROM tombstones WHERE subject = ? AND class IN (?, '*')"
KEY = "SELECT wrapped FROM keys WHERE subject = ? AND class = ?"
HELD = (
    "SELECT subject, class, wrapped FROM keys WHERE subject IN (SELECT value FROM json_each(?)) "
    "ORDER BY subject, class"
)
FORGOTTEN = (
    "SELECT subject FROM tombstones "
    "WHERE subject IN (SELECT value FROM json_each(?)) AND class = '*'"
)
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

        def work(connection: sqlite3.Connection) -> dict[tuple[str, str], WrappedKey]:
            stored = {}
            with transaction(connection):
                for (subject, key_class), wrapped in offers.items():
                    if connection.execute(TOMBSTONE, (subject, key_class)).fetchone():
                        raise Forgotten(subject)
                    connection.execute(
                        "INSERT INTO keys(subject, class, wrapped) VALUES (?, ?, ?) "
                        "ON CONFLICT DO NOTHING",
                        (subject, key_class, wrapped),
                    )
                    (ours,) = connection.execute(KEY, (subject, key_class)).fetchone()
                    stored[subject, key_class] = WrappedKey(_id(subject, key_class), ours)
            return stored

        return await self.file.write(work)

    async def get(self, ids: Collection[str]) -> dict[str, bytes | None]:
        def work(connection: sqlite3.Connection) -> dict[str, bytes | None]:
            found = {}
            for ident in ids:
                subject, key_class, number = ident.rsplit(":", 2)
                row = connection.execute(KEY, (subject, key_class)).fetchone()
                found[ident] = row[0] if row and number == "1" else None
            return found

        return await self.file.read(work)

    async def held(self, subjects: Collection[str]) -> dict[str, list[WrappedKey] | None]:
        wanted = orjson.dumps(sorted(subjects)).decode()

        def work(connection: sqlite3.Connection) -> dict[str, list[WrappedKey] | None]:
            with snapshot(connection):
                found: dict[str, list[WrappedKey] | None] = {subject: [] for subject in subjects}
                for subject, key_class, wrapped in connection.execute(HELD, (wanted,)):
                    found[subject] = [
                        *(found[subject] or ()),
                        WrappedKey(_id(subject, key_class), wrapped),
                    ]
                for (subject,) in connection.execute(FORGOTTEN, (wanted,)):
                    found[subject] = None
            return found

        return await self.file.read(work)

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
