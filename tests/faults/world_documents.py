"""Read models in memory: each write guarded by its revision, alone and at once."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from libs.common.errors import StoreAway
from libs.common.ports import PAGE_MAX, Doc, Page, Put, Query, Scalar
from tests.faults.weather import Weather


@dataclass(eq=False)
class WorldDocuments:
    """`kinds` holds a document's revision and its JSON; what is read is nobody else's object."""

    weather: Weather = field(default_factory=Weather)
    name: str = "documents"
    kinds: dict[str, dict[str, tuple[int, bytes]]] = field(default_factory=dict)
    shapes: dict[str, set[tuple[str, ...]]] = field(default_factory=dict)

    async def prepare(self, kind: str, indexes: Sequence[tuple[str, ...]]) -> None:
        def make() -> None:
            self.kinds.setdefault(kind, {})
            self.shapes.setdefault(kind, set()).update(indexes)

        await self.weather.call(self.name, "prepare", make)

    async def get(self, kind: str, keys: Collection[str]) -> dict[str, Doc]:
        def look() -> dict[str, Doc]:
            there = self.kinds.get(kind, {})
            return {key: _doc(key, *there[key]) for key in sorted(keys) if key in there}

        return await self.weather.call(self.name, "get", look)

    async def find(self, kind: str, query: Query) -> Page:
        return await self.weather.call(self.name, "find", lambda: self._find(kind, query))

    async def put(self, puts: Sequence[Put]) -> list[bool]:
        """A suffix of the writes may be lost with the reply."""
        if self.weather.bad():
            part = puts[: self.weather.chance.randrange(len(puts) + 1)]
            self.weather.fault("put half", f"{len(part)} of {len(puts)}")
            await self.weather.call(self.name, "put", lambda: [*map(self._put, part)])
            raise StoreAway("the reply to a put was lost")
        return await self.weather.call(self.name, "put", lambda: [*map(self._put, puts)])

    async def drop(self, kind: str) -> None:
        def forget() -> None:
            self.kinds.pop(kind, None)
            self.shapes.pop(kind, None)

        await self.weather.call(self.name, "drop", forget)

    def _put(self, put: Put) -> bool:
        if put.kind not in self.kinds:
            raise ValueError(f"{put.kind} was not prepared")
        there = self.kinds[put.kind]
        rev = there[put.key][0] if put.key in there else 0
        if rev != put.rev:
            return False
        kept = {name: value for name, value in put.doc.items() if name not in ("_id", "_rev")}
        there[put.key] = (rev + 1, orjson.dumps(kept))
        return True

    def _find(self, kind: str, query: Query) -> Page:
        _check(query, self.shapes.get(kind, set()))
        docs = [_doc(key, *stored) for key, stored in self.kinds.get(kind, {}).items()]
        found = [doc for doc in docs if _fits(doc, query)]
        found.sort(key=lambda doc: _place(_keyset(doc, query)), reverse=query.descending)
        if query.after is not None:
            behind = _place(query.after)
            found = [
                doc
                for doc in found
                if (_place(_keyset(doc, query)) > behind) != query.descending
                and _place(_keyset(doc, query)) != behind
            ]
        more = len(found) > query.limit
        page = found[: query.limit]
        return Page(page, _keyset(page[-1], query) if more else None)


def _check(query: Query, shapes: Collection[tuple[str, ...]]) -> None:
    if not 0 < query.limit <= PAGE_MAX:
        raise ValueError("a page has 1 to 200 documents")
    if (query.low is not None or query.high is not None) and not query.order:
        raise ValueError("a range is on the first field of the order")
    if query.after is not None and len(query.after) != len(query.order) + 1:
        raise ValueError("a keyset of another question")
    count = len(query.where)
    if not (query.where or query.order):
        return  # all of a kind, by their keys
    if not any(
        set(fields[:count]) == set(query.where) and fields[count:] == query.order
        for fields in shapes
    ):
        raise ValueError("no declared index serves this question")


def _fits(doc: Doc, query: Query) -> bool:
    if any(doc.get(name) != value for name, value in query.where.items()):
        return False
    if query.low is None and query.high is None:
        return True
    first = doc.get(query.order[0])
    return (
        first is not None
        and (query.low is None or first >= query.low)
        and (query.high is None or first <= query.high)
    )


def _keyset(doc: Doc, query: Query) -> tuple[Scalar, ...]:
    return (*(doc.get(name) for name in query.order), doc["_id"])


def _place(values: Sequence[Scalar]) -> list[tuple[bool, Any]]:
    """Null is the least of all values; text is ordered by its bytes."""
    return [
        (value is not None, value.encode() if isinstance(value, str) else value or 0)
        for value in values
    ]


def _doc(key: str, rev: int, body: bytes) -> Doc:
    return {**orjson.loads(body), "_id": key, "_rev": rev}
