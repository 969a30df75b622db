"""One fixture a port, opened on SQLite, in memory and, when they are asked for, on real engines."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import pytest

from libs.common.adapters import open_bus, open_documents, open_keys, open_store
from libs.common.commit import Commit
from libs.common.ports import Bus, Documents, EventStore, Keys
from tests.faults.world_bus import WorldBus
from tests.faults.world_documents import WorldDocuments
from tests.faults.world_keys import WorldKeys
from tests.faults.world_store import WorldStore
from tests.ports.chains import LOG

SQLITE = pytest.param("sqlite")
MEMORY = pytest.param("memory")
MONGO = pytest.param("mongo", marks=pytest.mark.engines)
KAFKA = pytest.param("kafka", marks=pytest.mark.engines)
OTHER_LOG = "shells"


@dataclass(frozen=True)
class Memory:
    """The ports of worlds under faults, in calm weather."""

    store: WorldStore = field(default_factory=WorldStore)
    documents: WorldDocuments = field(default_factory=WorldDocuments)
    keys: WorldKeys = field(default_factory=WorldKeys)
    bus: WorldBus = field(default_factory=WorldBus)


@dataclass(frozen=True)
class Place:
    """Where one test's deployment keeps what it keeps."""

    engine: str
    url: str
    prefix: str
    memory: Memory | None = None

    def open_store(self) -> AbstractAsyncContextManager[EventStore]:
        if self.memory is not None:
            return nullcontext[EventStore](self.memory.store)
        return open_store(self.url, LOG, prefix=self.prefix)

    def open_documents(self) -> AbstractAsyncContextManager[Documents]:
        if self.memory is not None:
            return nullcontext[Documents](self.memory.documents)
        return open_documents(self.url, LOG, self.prefix)

    def open_keys(self) -> AbstractAsyncContextManager[Keys]:
        if self.memory is not None:
            return nullcontext[Keys](self.memory.keys)
        return open_keys(self.url, self.prefix)

    def open_bus(self, stores: dict[str, EventStore]) -> AbstractAsyncContextManager[Bus]:
        if self.memory is not None:
            return nullcontext[Bus](self.memory.bus)
        return open_bus(self.url, stores, self.prefix)


def _place(request: pytest.FixtureRequest, folder: Path) -> Place:
    engine: str = request.param
    prefix = f"test-{uuid4().hex[:8]}"
    if engine == "memory":
        return Place(engine, "", prefix, Memory())
    url = f"sqlite://{folder}" if engine == "sqlite" else request.getfixturevalue(engine)
    return Place(engine, url, prefix)


@pytest.fixture(params=[SQLITE, MEMORY, MONGO])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return _place(request, tmp_path)


@pytest.fixture
async def store(place: Place) -> AsyncIterator[EventStore]:
    async with place.open_store() as opened:
        yield opened


@pytest.fixture
async def rivals(place: Place, store: EventStore) -> AsyncIterator[list[EventStore]]:
    """As many writers as the engine allows: another process's too, or the only one, twice."""
    if place.engine != "mongo":
        yield [store, store]
        return
    async with place.open_store() as other:
        yield [store, other]


@pytest.fixture
async def documents(place: Place) -> AsyncIterator[Documents]:
    async with place.open_documents() as opened:
        yield opened


@pytest.fixture
async def other_documents(place: Place, documents: Documents) -> AsyncIterator[Documents]:
    """The same documents, as somebody else has them open."""
    async with place.open_documents() as opened:
        yield opened


@pytest.fixture
async def keys(place: Place) -> AsyncIterator[Keys]:
    async with place.open_keys() as opened:
        yield opened


@dataclass(eq=False)
class Line:
    """A bus, and how commits get onto it: on SQLite it is their being stored."""

    place: Place
    bus: Bus
    stores: dict[str, EventStore]

    async def say(self, *commits: Commit) -> list[int]:
        """The offset of the first one of each shard."""
        for log, store in self.stores.items():
            await store.insert([commit for commit in commits if commit.log == log])
        offsets = []
        for log, shard in sorted({(commit.log, commit.shard) for commit in commits}):
            some = [commit for commit in commits if (commit.log, commit.shard) == (log, shard)]
            offsets.append(await self.bus.publish(log, shard, some))
        return offsets


@pytest.fixture(params=[SQLITE, MEMORY, KAFKA])
async def line(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Line]:
    place = _place(request, tmp_path)
    stores: dict[str, EventStore] = {}
    async with AsyncExitStack() as stack:
        if place.engine == "sqlite":
            for log in (LOG, OTHER_LOG):
                stores[log] = await stack.enter_async_context(open_store(place.url, log))
        bus = await stack.enter_async_context(place.open_bus(stores))
        yield Line(place, bus, stores)
