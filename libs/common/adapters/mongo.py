"""The log of record on MongoDB: one ordered insert a group, everything read at majority.

The driver is Motor, which is past its end of life: it is used in the files named `mongo` only, so
that moving to PyMongo's own async client is one small change. A server that is no replica set has
no majority; what it answers is read as it is.
"""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from uuid import UUID

from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import ASCENDING, IndexModel
from pymongo.errors import BulkWriteError, PyMongoError
from pymongo.read_concern import ReadConcern

from libs.common.commit import Commit, parse
from libs.common.errors import StoreAway
from libs.common.ports import LOG_BATCH_MAX, SHARDS, Inserted, Row, columns_of

if TYPE_CHECKING:  # these are generic for the type checker only
    from motor.motor_asyncio import AsyncIOMotorCollection, AsyncIOMotorDatabase

    Client = AsyncIOMotorClient[dict[str, Any]]
    Database = AsyncIOMotorDatabase[dict[str, Any]]
    Collection = AsyncIOMotorCollection[dict[str, Any]]

TIMEOUT_MS = 5_000
"""For one call with all its retries. What has timed out may have been done."""
CONNECTIONS_MAX = 20
STREAM_BATCH_MAX = 1_000
"""Versions looked at in one question; more than a commit can hold."""
PROBES = (0, *(2**power for power in range(24)))
DUPLICATE_KEY = 11_000
COMMITS = "commits"
COMMIT_INDEXES = [
    IndexModel([("shard", ASCENDING), ("seq", ASCENDING)], name="position", unique=True),
    IndexModel([("stream", ASCENDING), ("first", ASCENDING)], name="stream", unique=True),
    IndexModel([("command", ASCENDING)], name="command", unique=True),
    IndexModel([("subjects", ASCENDING)], name="subjects"),
]


class Mongo:
    """A connection for all that one process keeps there. It belongs to its event loop."""

    def __init__(self, url: str, prefix: str, timeout_ms: int = TIMEOUT_MS) -> None:
        self._url, self._prefix, self._timeout_ms = url, prefix, timeout_ms
        self.client: Client
        self.level = "majority"

    async def __aenter__(self) -> Self:
        """Raises StoreAway."""
        self.client = AsyncIOMotorClient(
            self._url,
            w="majority",
            journal=True,
            timeoutMS=self._timeout_ms,
            maxPoolSize=CONNECTIONS_MAX,
            readPreference="primary",
        )
        try:
            with reaching():
                about = await self.client.admin.command("hello")
        except BaseException:
            self.client.close()
            raise
        self.level = "majority" if "setName" in about else "local"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.client.close()

    def database(self, name: str) -> "Database":
        """Read at majority, unless a collection of it says otherwise."""
        return self.client.get_database(
            f"{self._prefix}_{name}", read_concern=ReadConcern(self.level)
        )


class MongoStore:
    """The log of one service: collection `commits` of its database."""

    parallel = False  # the driver computes, and the server has a price for each insert

    def __init__(self, mongo: Mongo, log: str) -> None:
        self._log = log
        self._commits: Collection = mongo.database(log)[COMMITS]
        self._local = self._commits.with_options(read_concern=ReadConcern("local"))
        self._known = [0] * SHARDS  # a seq of each shard that was read at majority
        self._fit = True

    async def __aenter__(self) -> Self:
        """Raises StoreAway."""
        with reaching():
            await self._commits.create_indexes(COMMIT_INDEXES)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None: ...

    async def insert(self, rows: Sequence[Commit]) -> Inserted:
        """In order, stopping at the first duplicate; the stored prefix is durable on return. A
        database that once went on after a duplicate gets no more commits from this process."""
        if not self._fit:
            raise StoreAway("the database is not fit to keep a log")
        try:
            await self._commits.insert_many([document_of(row) for row in rows], ordered=True)
        except BulkWriteError as error:
            self._fit = False  # unless its answer makes sense
            outcome = _outcome(error.details)
            self._fit = True
            return outcome
        except PyMongoError:
            return Inserted(0, "unknown")
        return Inserted(len(rows))

    async def head(self, shard: int, known: int = 0) -> Commit | None:
        """The last commit of a shard, at majority; `known` is a seq that is surely there.

        The log is dense, so it is found by looking 0, 1, 2, 4, 8… further on, again and again from
        the furthest that was there. That is one question where little is new, and few anywhere.
        """
        last = max(known, self._known[shard])
        while True:
            ids = [_id(shard, last + step) for step in PROBES]
            with reaching():
                found = await self._commits.find({"_id": {"$in": ids}}).to_list(None)
            if not found:
                return None
            furthest = max(found, key=lambda row: int(row["seq"]))
            if furthest["seq"] == last:
                return _commit(furthest)
            self._known[shard] = last = furthest["seq"]

    async def stream(self, stream: str, after: int = 0) -> AsyncIterator[Commit]:
        """Commits of a stream with `first` > after, in order, at majority."""
        end = after
        while end <= after:
            end = after + STREAM_BATCH_MAX
            query = {"stream": stream, "first": {"$gt": after, "$lte": end}}
            with reaching():
                rows = await self._commits.find(query).sort("first", ASCENDING).to_list(None)
            for commit in map(_commit, rows):
                yield commit
                after = commit.last

    async def log(self, shard: int, after: int, limit: int = LOG_BATCH_MAX) -> list[Commit]:
        """Commits with seq > after, dense and in order, at majority; empty at the end."""
        end = after + min(limit, LOG_BATCH_MAX)
        query = {"shard": shard, "seq": {"$gt": after, "$lte": end}}
        with reaching():
            rows = await self._commits.find(query).sort("seq", ASCENDING).to_list(None)
        # A scan that runs while commits arrive may see a later one and miss an earlier one.
        dense = [row for number, row in enumerate(rows, after + 1) if row["seq"] == number]
        return [_commit(row) for row in dense]

    async def news(self, nexts: Sequence[int]) -> list[int]:
        """Which shards have the seq `nexts[shard]`; one question for all."""
        ids = [_id(shard, seq) for shard, seq in enumerate(nexts)]
        with reaching():
            rows = await self._commits.find({"_id": {"$in": ids}}, {"shard": 1}).to_list(None)
        return sorted(row["shard"] for row in rows)

    async def by_commands(
        self, commands: Sequence[UUID], local: bool = False
    ) -> dict[UUID, Commit]:
        """Commits by command id; `local` also sees what is not yet at majority."""
        query = {"command": {"$in": [str(command) for command in commands]}}
        with reaching():
            rows = await (self._local if local else self._commits).find(query).to_list(None)
        return {commit.command: commit for commit in map(_commit, rows)}

    async def rows(self, shard: int, after: int, limit: int = LOG_BATCH_MAX) -> list[Row]:
        """What lies behind this seq, in order, dense or not and readable or not."""
        found = await self._window(shard, after, limit)
        if not found:  # the end, or a hole: asked without an end only here, it may cost much
            behind = {"shard": shard, "seq": {"$gt": after}}
            with reaching():
                first = await self._commits.find(behind).sort("seq", ASCENDING).to_list(1)
            if first:
                found = await self._window(shard, first[0]["seq"] - 1, limit)
        return found

    def fit(self) -> bool:
        return self._fit

    async def _window(self, shard: int, after: int, limit: int) -> list[Row]:
        query = {"shard": shard, "seq": {"$gt": after, "$lte": after + limit}}
        with reaching():
            found = await self._commits.find(query).sort("seq", ASCENDING).to_list(None)
        return [_row(row) for row in found]


@contextmanager
def reaching() -> Iterator[None]:
    """Turns every trouble of the driver into StoreAway; its own words may quote documents."""
    try:
        yield
    except PyMongoError as error:
        raise StoreAway(f"MongoDB does not answer: {type(error).__name__}") from error


def _id(shard: int, seq: int) -> str:
    return f"{shard:02}:{seq:012}"


def document_of(row: Commit) -> dict[str, Any]:
    return {
        "_id": _id(row.shard, row.seq),
        "shard": row.shard,
        "seq": row.seq,
        "stream": row.stream,
        "first": row.first,
        "last": row.last,
        "command": str(row.command),
        "at": row.at,  # for people who look: BSON keeps milliseconds, the body all
        "types": list(row.types),
        "subjects": list(row.subjects),
        "hash": row.hash,
        "body": row.body.decode(),
    }


def _row(row: dict[str, Any]) -> Row:
    columns = columns_of(
        row["stream"], row["first"], row["last"], row["command"], row["hash"],
        map(str, row["types"]), map(str, row["subjects"]),
    )  # fmt: skip
    return Row(row["shard"], row["seq"], columns, row["body"].encode())


def _commit(row: dict[str, Any]) -> Commit:
    return parse(row["body"].encode())


def _outcome(details: Any) -> Inserted:
    """What a failed insert has left. The prefix counts only if no write concern failed."""
    stored, errors = details["nInserted"], details["writeErrors"]
    if details["writeConcernErrors"] or not errors:
        return Inserted(0, "unknown")
    if stored != errors[0]["index"]:
        raise StoreAway("the database went on after a duplicate: it is not fit to keep a log")
    return Inserted(stored, "duplicate" if errors[0]["code"] == DUPLICATE_KEY else "unknown")
