"""Read models in one file on disk: a table for each kind, an index for each declared shape.

A table holds JSON text; an index is over what `json_extract` finds in it. A page that goes on from
a keyset is read in slices, each of which one index answers without sorting.
"""

import re
import sqlite3
from collections.abc import Collection, Sequence
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import orjson

from libs.common.adapters.sqlite_file import Layout, SqliteFile, snapshot, transaction
from libs.common.adapters.sqlite_rows import execute_many
from libs.common.adapters.sqlite_shared import shared
from libs.common.ports import PAGE_MAX, Doc, Page, Put, Query, Scalar
from libs.common.words import written

INTEGER_MAX = 2**63 - 1
LEAST = "-9e999"
"""Minus infinity: beyond it is everything but null, as a range of an index."""
LAYOUT = Layout(
    version=1,
    synchronous="NORMAL",
    schema="CREATE TABLE shapes(kind TEXT, fields TEXT, PRIMARY KEY(kind, fields)) WITHOUT ROWID",
)
KINDS = re.compile(r"[A-Za-z0-9_-]{1,100}")
FIELDS = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,60}")


class SqliteDocuments:
    """A kind must be prepared before anything is put: ValueError otherwise. `readonly` reads beside
    the process that writes, what was there when it was opened."""

    def __init__(self, path: Path, readonly: bool = False) -> None:
        self._path, self._readonly = path, readonly
        self._closing = AsyncExitStack()
        self.file: SqliteFile

    async def __aenter__(self) -> Self:
        """Raises Taken for another process, WrongFormat, or StoreAway."""
        if self._readonly:
            self.file = SqliteFile(self._path.absolute(), LAYOUT, readonly=True)
            self._closing.push_async_callback(self.file.close)
            await self.file.open()
            await self.file.read(self._learn)
            return self
        self.file = await self._closing.enter_async_context(shared(self._path, LAYOUT))
        await self.file.write(self._learn)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        await self._closing.aclose()

    async def prepare(self, kind: str, indexes: Sequence[tuple[str, ...]]) -> None:
        shapes = {" ".join(map(_name, fields)): fields for fields in indexes}
        table = _table(kind)

        def work(connection: sqlite3.Connection) -> None:
            with transaction(connection):
                connection.execute(
                    f"CREATE TABLE IF NOT EXISTS {table}"
                    "(id TEXT PRIMARY KEY NOT NULL, rev INT NOT NULL, body TEXT NOT NULL)"
                )
                connection.execute("INSERT OR IGNORE INTO shapes VALUES (?, '*')", (kind,))
                for shape, fields in shapes.items():
                    connection.execute("INSERT OR IGNORE INTO shapes VALUES (?, ?)", (kind, shape))
                    if fields:
                        index = f'"{kind}.{".".join(fields)}"'
                        found = ", ".join(map(_field, fields))
                        connection.execute(
                            f"CREATE INDEX IF NOT EXISTS {index} ON {table}({found}, id)"
                        )
            self._learn(connection)

        await self.file.write(work)

    async def get(self, kind: str, keys: Collection[str]) -> dict[str, Doc]:
        table, wanted = _table(kind), orjson.dumps(sorted(keys)).decode()

        def work(connection: sqlite3.Connection) -> list[Doc]:
            if not self._shapes().get(kind):
                return []
            where = "WHERE id IN (SELECT value FROM json_each(?))"
            return _found(connection, f"{table} {where}", (wanted,))

        return {doc["_id"]: doc for doc in await self.file.read(work)}

    async def find(self, kind: str, query: Query) -> Page:
        shape = _checked(query)
        statements = [(_select(kind, part, query), part.values) for part in _slices(query)]

        def work(connection: sqlite3.Connection) -> list[Doc]:
            found: list[Doc] = []
            with snapshot(connection):
                declared = self._shapes().get(kind, [])
                if not any(_serves(fields, shape) for fields in declared):
                    raise ValueError(f"{kind} declares no index for this question")
                for statement, values in statements:
                    room = query.limit + 1 - len(found)
                    if room > 0:
                        found += _found(connection, statement, (*values, room))
            return found

        docs = await self.file.read(work)
        more = len(docs) > query.limit
        docs = docs[: query.limit]
        return Page(docs, _keyset(docs[-1], query) if more else None)

    async def put(self, puts: Sequence[Put]) -> list[bool]:
        rows = [(number, _table(put.kind), put, _body(put.doc)) for number, put in enumerate(puts)]
        rows.sort(key=lambda row: (row[2].kind, row[2].key))  # neighbours share pages
        together: dict[str, list[Scalar]] = {}
        for _, table, put, body in rows:
            together.setdefault(table, []).extend((put.key, put.rev, body))

        def work(connection: sqlite3.Connection) -> list[bool]:
            if unknown := {put.kind for put in puts} - self._shapes().keys():
                raise ValueError(f"{min(unknown)} was not prepared")
            with suppress(_Rivals), transaction(connection):
                if sum(_put(connection, *some) for some in together.items()) < len(puts):
                    raise _Rivals
                return [True] * len(puts)
            won = [False] * len(puts)
            with transaction(connection):
                for number, table, put, body in rows:
                    won[number] = _put(connection, table, [put.key, put.rev, body]) == 1
            return won

        return await self.file.write(work)

    async def drop(self, kind: str) -> None:
        table = _table(kind)

        def work(connection: sqlite3.Connection) -> None:
            with transaction(connection):
                connection.execute("DELETE FROM shapes WHERE kind = ?", (kind,))
                connection.execute(f"DROP TABLE IF EXISTS {table}")
            self._learn(connection)

        await self.file.write(work)

    def _learn(self, connection: sqlite3.Connection) -> None:
        """Only in the writing thread: what a reader has seen may be old when it is remembered."""
        found: Shapes = {}
        for kind, fields in connection.execute("SELECT kind, fields FROM shapes"):
            shape = () if fields == "*" else tuple(fields.split())  # by `_id`, all can be asked for
            found.setdefault(kind, []).append(shape)
        self.file.remembered["shapes"] = found

    def _shapes(self) -> "Shapes":
        shapes: Shapes = self.file.remembered["shapes"]
        return shapes


class _Slice(NamedTuple):
    """A stretch of an index: the conditions on it, the values that they compare with, and how many
    fields of the order have one value all along."""

    conditions: tuple[str, ...] = ()
    values: tuple[Scalar, ...] = ()
    fixed: int = 0

    def also(self, condition: str, *values: Scalar) -> "_Slice":
        return self._replace(
            conditions=(*self.conditions, condition), values=(*self.values, *values)
        )

    def at(self, name: str, value: Scalar) -> "_Slice":
        return self.also(f"{name} IS ?", value)._replace(fixed=self.fixed + 1)


def _slices(query: Query) -> list[_Slice]:
    """The stretches that together hold the answer, in its order. Without a keyset it is one; with
    one, first what ties with it in every field but the last, then in every field but two, …"""
    base = _Slice()
    for name, value in query.where.items():
        base = base.also(f"{_field(name)} IS ?", value)
    if query.after is None:
        return [_ranged(base, query, walks_low=True, walks_high=True)]
    found: list[_Slice] = []
    for name, value in zip(_order(query), query.after, strict=True):
        ahead = base.fixed == 0
        walks_low, walks_high = ahead and query.descending, ahead and not query.descending
        further = _beyond(base, name, value, query)
        found = [_ranged(part, query, walks_low, walks_high) for part in further] + found
        base = base.at(name, value)
    return found


def _ranged(part: _Slice, query: Query, walks_low: bool, walks_high: bool) -> _Slice:
    """Within the question's range. An end that the keyset has passed, or that ties with it, is
    checked by a `+` alone: SQLite would begin at that end of the index instead, or sort."""
    name = _field(query.order[0]) if query.order else ""
    if query.low is not None:
        part = part.also(f"{'' if walks_low else '+'}{name} >= ?", query.low)
    if query.high is not None:
        part = part.also(f"{'' if walks_high else '+'}{name} <= ?", query.high)
    return part


def _beyond(base: _Slice, name: str, value: Scalar, query: Query) -> list[_Slice]:
    """What comes after a value of one field. Null is the least of all values."""
    if value is None:
        return [] if query.descending else [base.also(f"{name} > {LEAST}")]
    if not query.descending:
        return [base.also(f"{name} > ?", value)]
    ranged = base.fixed == 0 and (query.low is not None or query.high is not None)
    nulls = [] if ranged or name == "id" else [base.at(name, None)]
    return [base.also(f"{name} < ?", value), *nulls]


def _order(query: Query) -> list[str]:
    return [*map(_field, query.order), "id"]


def _select(kind: str, part: _Slice, query: Query) -> str:
    """Ordered by what is not fixed: asked to order by a null, SQLite would sort."""
    down = " DESC" if query.descending else ""
    order = ", ".join(f"{name}{down}" for name in _order(query)[part.fixed :])
    where = f"WHERE {' AND '.join(part.conditions)} " if part.conditions else ""
    return f"(SELECT id, rev, body FROM {_table(kind)} {where}ORDER BY {order} LIMIT ?)"  # noqa: S608 - checked names


def _checked(query: Query) -> tuple[frozenset[str], tuple[str, ...]]:
    """The shape of a question. Raises ValueError when it is none."""
    if not 0 < query.limit <= PAGE_MAX:
        raise ValueError("a page has 1 to 200 documents")
    if (query.low is not None or query.high is not None) and not query.order:
        raise ValueError("a range is on the first field of the order")
    if query.after is not None and len(query.after) != len(query.order) + 1:
        raise ValueError("a keyset of another question")
    for value in (*query.where.values(), query.low, query.high, *(query.after or ())):
        if isinstance(value, int) and abs(value) > INTEGER_MAX:
            raise ValueError("an integer out of range")
    return frozenset(query.where), query.order


def _serves(fields: tuple[str, ...], shape: tuple[frozenset[str], tuple[str, ...]]) -> bool:
    where, order = shape
    count = len(where)
    return frozenset(fields[:count]) == where and fields[count:] == order


Shapes = dict[str, list[tuple[str, ...]]]
"""The declared shapes by kind."""


class _Rivals(Exception):
    """Some put of a batch was not won, so each must be asked for by itself."""


def _put(connection: sqlite3.Connection, table: str, values: list[Scalar]) -> int:
    """Takes key, revision and body of each put; returns how many were won. The others change
    nothing."""
    guard = f"EXISTS (SELECT 1 FROM {table} WHERE id = column1 AND rev = column2)"  # noqa: S608 - a checked name
    statement = (
        f"INSERT INTO {table} SELECT column1, column2 + 1, column3 FROM {{rows}} "  # noqa: S608 - a checked name
        f"AND (column2 = 0 OR {guard}) "
        "ON CONFLICT(id) DO UPDATE SET rev = excluded.rev, body = excluded.body "
        "WHERE rev = excluded.rev - 1"
    )
    return execute_many(connection, statement, 3, values)


def _table(kind: str) -> str:
    if KINDS.fullmatch(kind) is None:
        raise ValueError("not the name of a kind")
    return f'"d.{kind}"'


def _name(field: str) -> str:
    if FIELDS.fullmatch(field) is None:
        raise ValueError("not the name of a field")
    return field


def _field(field: str) -> str:
    return f"json_extract(body, '$.{_name(field)}')"


def _body(doc: Doc) -> str:
    if "_id" in doc or "_rev" in doc:
        doc = {name: value for name, value in doc.items() if name not in ("_id", "_rev")}
    return written(doc).decode()


def _found(connection: sqlite3.Connection, source: str, values: tuple[object, ...]) -> list[Doc]:
    """All in one row: see `sqlite_rows`."""
    row = "'[' || json_quote(id) || ',' || rev || ',' || body || ']'"
    select = f"SELECT '[' || group_concat({row}) || ']' FROM {source}"  # noqa: S608 - checked names
    together: str | None = connection.execute(select, values).fetchone()[0]
    rows = orjson.loads(together) if together is not None else ()
    return [{**doc, "_id": key, "_rev": rev} for key, rev, doc in rows]


def _keyset(doc: Doc, query: Query) -> tuple[Scalar, ...]:
    return (*(doc.get(name) for name in query.order), doc["_id"])
