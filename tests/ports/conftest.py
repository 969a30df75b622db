"""One fixture a port, opened on SQLite and, when they are asked for, on the real engines."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest

from libs.common.adapters import open_bus, open_documents, open_keys, open_store
from libs.common.commit import Commit
from libs.common.ports import Bus, Documents, EventStore, Keys
from tests.ports.chains import LOG

SQLITE = pytest.param("sqlite")
MONGO = pytest.param("mongo", marks=pytest.mark.engines)
KAFKA = pytest.param("kafka", marks=pytest.mark.engines)
OTHER_LOG = "shells"


@dataclass(frozen=True)
class Place:
    """Where one test's deployment keeps what it keeps."""

    engine: str
    url: str
    prefix: str


def _place(request: pytest.FixtureRequest, folder: Path) -> Place:
    engine: str = request.param
    url = f"sqlite://{folder}" if engine == "sqlite" else request.getfixturevalue(engine)
    return Place(engine, url, f"test-{uuid4().hex[:8]}")


@pytest.fixture(params=[SQLITE, MONGO])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return _place(request, tmp_path)


@pytest.fixture
async def store(place: Place) -> AsyncIterator[EventStore]:
    async with open_store(place.url, LOG, prefix=place.prefix) as opened:
        yield opened


@pytest.fixture
async def rivals(place: Place, store: EventStore) -> AsyncIterator[list[EventStore]]:
    """As many writers as the engine allows: another process's too, or the only one, twice."""
    if place.engine == "sqlite":
        yield [store, store]
        return
    async with open_store(place.url, LOG, prefix=place.prefix) as other:
        yield [store, other]


@pytest.fixture
async def documents(place: Place) -> AsyncIterator[Documents]:
    async with open_documents(place.url, LOG, place.prefix) as opened:
        yield opened


@pytest.fixture
async def other_documents(place: Place, documents: Documents) -> AsyncIterator[Documents]:
    """The same documents, as somebody else has them open."""
    async with open_documents(place.url, LOG, place.prefix) as opened:
        yield opened


@pytest.fixture
async def keys(place: Place) -> AsyncIterator[Keys]:
    async with open_keys(place.url, place.prefix) as opened:
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


@pytest.fixture(params=[SQLITE, KAFKA])
async def line(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Line]:
    place = _place(request, tmp_path)
    stores: dict[str, EventStore] = {}
    async with AsyncExitStack() as stack:
        if place.engine == "sqlite":
            for log in (LOG, OTHER_LOG):
                stores[log] = await stack.enter_async_context(open_store(place.url, log))
        bus = await stack.enter_async_context(open_bus(place.url, stores, place.prefix))
        yield Line(place, bus, stores)
