"""Reads what is in the stores and topics after a run, as it lies there: the other half of the
evidence. Nothing here goes through a service, and nothing is repaired on the way.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid5

import orjson

from libs.common.adapters import open_bus, open_keys, open_store
from libs.common.adapters.sqlite_documents import LAYOUT
from libs.common.adapters.sqlite_file import SqliteFile, snapshot
from libs.common.commit import Commit
from libs.common.consume import Standing
from libs.common.messages import Position
from libs.common.personal import Sealed
from libs.common.ports import LOG_BATCH_MAX, SHARDS, Doc, EventStore
from libs.common.sealing import ERASED, Keyring, read_kek
from libs.common.service import Rooms
from libs.common.verify import surveyed
from libs.common.views import ALIASES
from libs.common.web.edge import COMMANDS
from tests.faults.history import Operation

TABLES = "SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE 'd.%'"
TOPIC_BATCH_MAX = 500
TOPIC_WAIT_SECONDS = 0.2

Kinds = Mapping[str, Mapping[str, Doc]]
"""Kind (a generation, cursors, aliases) -> key -> document."""
CommandOf = Callable[[Operation], UUID]


@dataclass(frozen=True)
class Places:
    """Where a deployment keeps its things, by URL."""

    store: str
    views: str
    keys: str
    bus: str
    kek: Path
    prefix: str


@dataclass(frozen=True)
class Evidence:
    """`logs` and `topics` hold commits in the order in which they lie there, shard by shard."""

    operations: Sequence[Operation]
    logs: Mapping[str, Sequence[Commit]]
    topics: Mapping[str, Sequence[Commit]]
    kinds: Mapping[str, Kinds]
    rooms: Sequence[Rooms]
    command_of: CommandOf
    unreadable: Sequence[Position] = ()
    """Commits that hold something sealed which no key opens."""
    unsound: Sequence[str] = ()
    """What is wrong with the rows of a log where they lie: what is no commit, or behind a hole."""


async def gathered(
    places: Places, rooms: Sequence[Rooms], operations: Sequence[Operation]
) -> Evidence:
    """Call it when the services have stopped (an embedded log has one user)."""
    async with AsyncExitStack() as stack:
        stores = {
            one.name: await stack.enter_async_context(
                open_store(places.store, one.name, readonly=True, prefix=places.prefix)
            )
            for one in rooms
        }
        wrong = [told for name, store in stores.items() for told in await unsound(store, name)]
        logs = {name: await stored(store) for name, store in stores.items()}
        topics = {name: await published(places, name) for name in stores}
        kinds = {one.name: await read_kinds(places, one.name) for one in rooms}
        command_of = await naming(places)
        async with open_keys(places.keys, places.prefix) as keys:
            keyring = Keyring(keys, read_kek(places.kek))
            unreadable = [p for commits in logs.values() for p in await unopened(keyring, commits)]
    return Evidence(operations, logs, topics, kinds, rooms, command_of, unreadable, wrong)


async def stored(store: EventStore) -> list[Commit]:
    found: list[Commit] = []
    for shard in range(SHARDS):
        seq = 0
        while batch := await store.log(shard, seq, LOG_BATCH_MAX):
            found += batch
            seq = batch[-1].seq
    return found


async def unsound(store: EventStore, log: str) -> list[str]:
    found: list[str] = []

    def tell(position: Position, what: str) -> None:
        found.append(f"{position}: {what}")

    await surveyed(store, tell, log=log)
    return found


async def published(places: Places, log: str) -> list[Commit]:
    """Every record of the topic, in order, duplicates and all."""
    found: list[Commit] = []
    asked = monotonic()
    async with (
        open_bus(places.bus, prefix=places.prefix) as bus,
        bus.subscribe([log], None) as feed,
    ):
        while True:
            batch = await feed.batch(TOPIC_BATCH_MAX, TOPIC_WAIT_SECONDS)
            found += [delivery.commit for delivery in batch]
            if not batch and (feed.ended() or 0.0) > asked:
                return sorted(found, key=lambda commit: commit.shard)  # stable: order is kept


async def unopened(keyring: Keyring, commits: Sequence[Commit]) -> list[Position]:
    found = []
    for commit in commits:
        envelopes = [sealed.envelope() for sealed in _envelopes(commit.content)]
        if ERASED in await keyring.opened(envelopes):
            found.append(commit.position)
    return found


def _envelopes(value: Any) -> Iterator[Sealed]:
    sealed = Sealed.parse(value)
    if sealed is not None:
        yield sealed
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _envelopes(inner)


async def naming(places: Places) -> CommandOf:
    """Derives an operation's command id as the edge does; needs the deployment's own secret."""
    async with open_keys(places.keys, places.prefix) as keys:
        refs = await Keyring(keys, read_kek(places.kek)).refs()

    def command_of(operation: Operation) -> UUID:
        sub = refs.of("usr_", operation.who[0])
        return uuid5(COMMANDS, f"{sub}|{operation.method}|{operation.path}|{operation.key}")

    return command_of


async def read_kinds(places: Places, service: str) -> Kinds:
    """All documents of a service; also while it runs."""
    if urlsplit(places.views).scheme == "sqlite":
        folder = Path(places.views.removeprefix("sqlite://"))
        file = SqliteFile(folder / service / "views.db", LAYOUT, readonly=True)
        await file.open()
        try:
            return await file.read(_all_tables)
        finally:
            await file.close()
    return await _all_collections(places, service)


def _all_tables(connection: Any) -> dict[str, dict[str, Doc]]:
    with snapshot(connection):
        names = [name for (name,) in connection.execute(TABLES)]
        return {name.removeprefix("d."): _table(connection, name) for name in names}


def _table(connection: Any, name: str) -> dict[str, Doc]:
    rows = connection.execute(f'SELECT id, rev, body FROM "{name}"')
    return {key: {"_id": key, "_rev": rev, **orjson.loads(body)} for key, rev, body in rows}


async def _all_collections(places: Places, service: str) -> dict[str, dict[str, Doc]]:
    from libs.common.adapters.mongo import Mongo  # only where there is one
    from libs.common.adapters.mongo_documents import VIEWS

    found: dict[str, dict[str, Doc]] = {}
    async with Mongo(places.views, places.prefix) as mongo:
        database = mongo.database(f"{service}_{VIEWS}")
        for name in await database.list_collection_names():
            if not name.startswith("system."):
                rows = await database[name].find({}).to_list(None)
                found[name] = {row["_id"]: row for row in rows}
    return found


@dataclass(frozen=True)
class Dump:
    """Documents that were read out before, as `Standing.load` asks for them."""

    kinds: Kinds

    async def get(self, kind: str, keys: Collection[str]) -> dict[str, Doc]:
        found = self.kinds.get(kind, {})
        return {key: found[key] for key in keys if key in found}


def live_kind(kinds: Kinds, projection: str) -> str | None:
    alias = kinds.get(ALIASES, {}).get(projection)
    return alias["live"] if alias else None


async def behind(rooms: Rooms, kinds: Kinds, heads: Sequence[Position]) -> list[str]:
    """Which read models and policies of a service have not come as far as `heads`."""
    late = []
    readers = [(live_kind(kinds, p.name) or "", p.logs) for p in (*rooms.projections, rooms.clocks)]
    readers += [(f"policy_{policy.name}", policy.logs) for policy in rooms.policies]
    for name, logs in readers:
        standing = Standing(name, logs)
        await standing.load(Dump(kinds))  # type: ignore[arg-type] # only `get` is asked for
        if not name or not standing.reached(heads):
            late.append(f"{rooms.name}.{name}")
    return late


async def heads_of(places: Places, rooms: Sequence[Rooms]) -> list[Position]:
    found = []
    for one in rooms:
        async with open_store(places.store, one.name, True, places.prefix) as store:
            ends = [await store.head(shard) for shard in range(SHARDS)]
        found += [end.position for end in ends if end is not None]
    return found
