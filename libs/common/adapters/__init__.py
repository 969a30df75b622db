"""Adapters: a URL's scheme picks one, and a driver is imported only when its scheme is asked for.

What follows `sqlite://` is a folder: `sqlite://data` from here, `sqlite:///srv/data` from the root.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from libs.common.ports import Bus, Documents, EventStore, Keys

PREFIX = "alliance"
"""What topics and databases of a deployment begin with."""


@asynccontextmanager
async def open_store(
    url: str, log: str, readonly: bool = False, prefix: str = PREFIX
) -> AsyncIterator[EventStore]:
    """The log of one service. On SQLite a log has one writer, and others open it `readonly`."""
    match _scheme(url):
        case "sqlite":
            from libs.common.adapters.sqlite import SqliteStore

            async with SqliteStore(_folder(url) / log / "log.db", log, readonly) as stored:
                yield stored
        case "mongodb":
            from libs.common.adapters.mongo import Mongo, MongoStore

            async with Mongo(url, prefix) as mongo, MongoStore(mongo, log) as kept:
                yield kept
        case other:
            raise ValueError(f"no log in {other}://")


@asynccontextmanager
async def open_broken_store(url: str, log: str, prefix: str = PREFIX) -> AsyncIterator[EventStore]:
    """The same, to be mended: whatever its end looks like."""
    if _scheme(url) != "sqlite":
        async with open_store(url, log, prefix=prefix) as kept:
            yield kept
        return
    from libs.common.adapters.sqlite import SqliteStore

    async with SqliteStore(_folder(url) / log / "log.db", log, broken=True) as stored:
        yield stored


@asynccontextmanager
async def open_bus(
    url: str, stores: Mapping[str, EventStore] | None = None, prefix: str = PREFIX
) -> AsyncIterator[Bus]:
    """`stores`, by log: those that this process writes. On SQLite they wake the bus; any other log
    is read from its file."""
    match _scheme(url):
        case "sqlite":
            from libs.common.adapters.sqlite import SqliteStore
            from libs.common.adapters.sqlite_bus import SqliteBus

            ours = {
                log: store
                for log, store in (stores or {}).items()
                if isinstance(store, SqliteStore)
            }
            async with SqliteBus(_folder(url), ours) as inside:
                yield inside
        case "kafka":
            from libs.common.adapters.kafka import KafkaBus

            async with KafkaBus(url, prefix) as between:
                yield between
        case other:
            raise ValueError(f"no bus in {other}://")


@asynccontextmanager
async def open_documents(
    url: str, service: str, prefix: str = PREFIX, readonly: bool = False
) -> AsyncIterator[Documents]:
    """The read models of one service. On SQLite one process writes, and others open `readonly`."""
    match _scheme(url):
        case "sqlite":
            from libs.common.adapters.sqlite_documents import SqliteDocuments

            async with SqliteDocuments(_folder(url) / service / "views.db", readonly) as stored:
                yield stored
        case "mongodb":
            from libs.common.adapters.mongo import Mongo
            from libs.common.adapters.mongo_documents import MongoDocuments

            async with Mongo(url, prefix) as mongo, MongoDocuments(mongo, service) as kept:
                yield kept
        case other:
            raise ValueError(f"no documents in {other}://")


@asynccontextmanager
async def open_keys(url: str, prefix: str = PREFIX) -> AsyncIterator[Keys]:
    """The key store that all services of a deployment share; on SQLite a folder or a `.db` file."""
    match _scheme(url):
        case "sqlite":
            from libs.common.adapters.sqlite_keys import SqliteKeys

            place = _folder(url)
            async with SqliteKeys(place if place.suffix == ".db" else place / "keys.db") as stored:
                yield stored
        case "mongodb":
            from libs.common.adapters.mongo import Mongo
            from libs.common.adapters.mongo_keys import MongoKeys

            async with Mongo(url, prefix) as mongo, MongoKeys(mongo) as kept:
                yield kept
        case other:
            raise ValueError(f"no keys in {other}://")


def _scheme(url: str) -> str:
    return url.partition(":")[0].partition("+")[0]


def _folder(url: str) -> Path:
    folder = url.removeprefix("sqlite://")
    if folder in ("", url):
        raise ValueError("write sqlite://folder, or sqlite:///absolute/folder")
    return Path("/" + folder.lstrip("/") if folder.startswith("/") else folder)
