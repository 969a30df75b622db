"""Read models, cursors and aliases on MongoDB: one collection a kind, every write guarded.

A page that goes on from a keyset is read in slices, each of which is one stretch of an index: asked
for with one `$or`, it is found by walking over everything that came before it.
"""

import asyncio
from collections.abc import Collection, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import orjson
from pymongo import ASCENDING, DESCENDING, IndexModel, InsertOne, ReplaceOne
from pymongo.errors import DuplicateKeyError, OperationFailure

from libs.common.adapters.mongo import Mongo, reaching
from libs.common.ports import PAGE_MAX, Doc, Page, Put, Query, Scalar
from libs.common.words import written

if TYPE_CHECKING:
    from motor.motor_asyncio import AsyncIOMotorClientSession as Session

VIEWS = "views"
"""Ends the database's name, behind the deployment's prefix and the service."""
KEYS_MAX = 1_000
"""Documents asked for at once."""
WRITES_MAX = 2
"""Single writes under way. A write waits in one of the driver's few threads while another process's
transaction holds its document: with all of them waiting, ours could not be ended."""
TEXT_LOWEST, TEXT_HIGHEST = "", "\U0010ffff"


class MongoDocuments:
    """In a database of their own beside the log's, so that whoever writes them need have no right
    to change a commit. A kind is the name of a collection."""

    def __init__(self, mongo: Mongo, service: str) -> None:
        self._mongo = mongo
        self._database = mongo.database(f"{service}_{VIEWS}")
        self._indexes: dict[str, set[tuple[str, ...]]] = {}
        self._turn = asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None: ...

    async def prepare(self, kind: str, indexes: Sequence[tuple[str, ...]]) -> None:
        """Creates what is needed; before anything is put. Doing it again is nothing."""
        wanted = [
            IndexModel([(name, ASCENDING) for name in (*fields, "_id")], name=",".join(fields))
            for fields in indexes
        ]
        if wanted:
            with reaching():
                await self._database[kind].create_indexes(wanted)
        self._indexes[kind] = set(indexes)

    async def get(self, kind: str, keys: Collection[str]) -> dict[str, Doc]:
        wanted = list(keys)
        found: dict[str, Doc] = {}
        for start in range(0, len(wanted), KEYS_MAX):
            query = {"_id": {"$in": wanted[start : start + KEYS_MAX]}}
            with reaching():
                rows = await self._database[kind].find(query).to_list(None)
            found.update((row["_id"], row) for row in rows)
        return found

    async def find(self, kind: str, query: Query) -> Page:
        """Raises ValueError for a shape that no declared index serves. A document that is changed
        meanwhile may be missed or seen twice, as it may be from one page to the next."""
        await self._check(kind, query)
        way = DESCENDING if query.descending else ASCENDING
        order = [(name, way) for name in (*query.order, "_id")]
        docs: list[Doc] = []
        for part in slices(query):
            room = query.limit + 1 - len(docs)
            cursor = self._database[kind].find(part).sort(order).limit(room)
            with reaching():
                docs += await cursor.to_list(None)
            if len(docs) > query.limit:
                break
        else:
            return Page(docs, None)
        docs.pop()
        return Page(docs, tuple(docs[-1].get(name) for name in (*query.order, "_id")))

    async def put(self, puts: Sequence[Put]) -> list[bool]:
        """Each guarded on its own; False = lost the race.

        Many go as one transaction: it is synced once, and where all guards hold it is the same.
        """
        async with self._turn:
            if len(puts) > 1 and self._mongo.level == "majority" and await self._at_once(puts):
                return [True] * len(puts)
            writing = asyncio.Semaphore(WRITES_MAX)
            return await asyncio.gather(*(self._put_one(put, writing) for put in puts))

    async def drop(self, kind: str) -> None:
        with reaching():
            await self._database[kind].drop()
        self._indexes.pop(kind, None)

    async def _at_once(self, puts: Sequence[Put]) -> bool:
        """False: some guard does not hold, or others write here; nothing was done."""
        with reaching():
            async with await self._mongo.client.start_session() as session:
                session.start_transaction()
                try:
                    if await self._guards_hold(puts, session):
                        await session.commit_transaction()
                        return True
                except OperationFailure as error:  # a duplicate, or a conflict with another writer
                    if error.has_error_label("UnknownTransactionCommitResult"):
                        raise
        return False  # leaving the session has undone it

    async def _guards_hold(self, puts: Sequence[Put], session: "Session") -> bool:
        for kind in sorted({put.kind for put in puts}):
            writes = [_write(put) for put in puts if put.kind == kind]
            done = await self._database[kind].bulk_write(writes, ordered=False, session=session)
            if done.inserted_count + done.matched_count != len(writes):
                return False
        return True

    async def _put_one(self, put: Put, writing: asyncio.Semaphore) -> bool:
        collection = self._database[put.kind]
        async with writing:
            with reaching():
                if put.rev:
                    guard = {"_id": put.key, "_rev": put.rev}
                    done = await collection.replace_one(guard, _stored(put))
                    return bool(done.matched_count)
                try:
                    await collection.insert_one(_stored(put))
                except DuplicateKeyError:
                    return False
                return True

    async def _check(self, kind: str, query: Query) -> None:
        if not 0 < query.limit <= PAGE_MAX:
            raise ValueError(f"a page has 1 to {PAGE_MAX} documents")
        if (query.low is not None or query.high is not None) and not query.order:
            raise ValueError("a range is on the first field of the order")
        if query.after is not None and len(query.after) != len(query.order) + 1:
            raise ValueError("a keyset of another question")
        if not query.where and not query.order:
            return  # by `_id`
        if kind not in self._indexes:
            with reaching():
                stored = await self._database[kind].index_information()
            self._indexes[kind] = {
                tuple(name for name, _ in about["key"][:-1]) for about in stored.values()
            }
        count = len(query.where)
        if not any(
            set(fields[:count]) == set(query.where) and fields[count:] == query.order
            for fields in self._indexes[kind]
        ):
            raise ValueError(f"{kind} has no index for {sorted(query.where)} then {query.order}")


def _stored(put: Put) -> Doc:
    return {**orjson.loads(written(put.doc)), "_id": put.key, "_rev": put.rev + 1}


def _write(put: Put) -> InsertOne[Doc] | ReplaceOne[Doc]:
    """Never an upsert: when its guard misses it would insert a twin."""
    if put.rev == 0:
        return InsertOne(_stored(put))
    return ReplaceOne({"_id": put.key, "_rev": put.rev}, _stored(put))


def slices(query: Query) -> list[dict[str, Any]]:
    """Filters that together find the answer, in its order. Without a keyset it is one; with one,
    first what ties with it in every field but the last, then in every field but two, …"""
    base: list[dict[str, Any]] = [{name: value} for name, value in query.where.items()]
    if query.low is not None or query.high is not None:
        low, high = _both_ends(query.low, query.high)
        base.append({query.order[0]: {"$gte": low, "$lte": high}})
    if query.after is None:
        return [_all_of(base)]
    found: list[dict[str, Any]] = []
    for name, value in zip((*query.order, "_id"), query.after, strict=True):
        further = _beyond(name, value, query.descending)
        found = [_all_of([*base, condition]) for condition in further] + found
        base.append({name: value})
    return found


def _all_of(clauses: list[dict[str, Any]]) -> dict[str, Any]:
    return {"$and": clauses} if clauses else {}


def _both_ends(low: Scalar, high: Scalar) -> tuple[Scalar, Scalar]:
    """A range with one end open is answered by reading the whole collection on some servers."""
    if isinstance(low, str) or isinstance(high, str):
        return (TEXT_LOWEST if low is None else low), (TEXT_HIGHEST if high is None else high)
    return (-(2**63) if low is None else low), (2**63 - 1 if high is None else high)


def _beyond(name: str, value: Scalar, descending: bool) -> list[dict[str, Any]]:
    """What comes after a value of one field. Absent sorts first."""
    if not descending:
        return [{name: {"$ne": None} if value is None else {"$gt": value}}]
    if value is None:
        return []
    return [{name: {"$lt": value}}, *([] if name == "_id" else [{name: None}])]
