"""A service on real Kafka and MongoDB: two of it at once, and both engines killed under it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from time import monotonic
from uuid import uuid4

import pytest

from deploy.engines import engines as real
from libs.common.adapters import open_bus, open_documents, open_keys, open_store
from libs.common.consume import Standing
from libs.common.errors import Conflict, Unavailable
from libs.common.ports import SHARDS
from libs.common.replay import as_of, said, said_by
from libs.common.service import Running
from libs.common.verify import verify
from tests import engines
from tests.common.beads import add, tallies
from tests.common.doors import Doors, alive, service, until

pytestmark = pytest.mark.engines
COLOURS = tuple(f"colour{number}" for number in range(12))
COMMITS = 132
"""120 beads and a box for each colour."""
FIRST_GENERATION = "tallies_v1_g1"
ASKED_MAX = 60
ASK_PAUSE_SECONDS = 0.5


@asynccontextmanager
async def open_real(kafka: str, mongo: str, prefix: str) -> AsyncIterator[Doors]:
    async with (
        open_store(mongo, "beads", prefix=prefix) as store,
        open_bus(kafka, prefix=prefix) as bus,
        open_documents(mongo, "beads", prefix) as documents,
        open_keys(mongo, prefix) as keys,
    ):
        yield Doors(store, bus, documents, keys)


async def strung(running: Running, start: int) -> None:
    """Of the numbers of both processes 120 are beads that were not there yet."""

    async def one(number: int) -> None:
        ask = add(number, COLOURS[number % len(COLOURS)], f"string/{number % 40}")
        for _ in range(ASKED_MAX):
            try:
                await running.handle(ask)
            except (Conflict, Unavailable):
                await asyncio.sleep(ASK_PAUSE_SECONDS)  # as a client is told to
            else:
                return
        raise AssertionError("never answered")

    await asyncio.gather(*map(one, range(start, start + 150)))


async def agreed(doors: Doors) -> bool:
    """All is strung and boxed, and the read models say what a replay says."""
    if (await verify(doors.store)).commits != COMMITS:
        return False
    stored = said_by(await doors.documents.get(FIRST_GENERATION, COLOURS))
    return stored == said((await as_of({"beads": doors.store}, [tallies], None))[tallies.name])


async def topic_is_whole(doors: Doors) -> bool:
    """A newcomer who reads the topic from its beginning stands at every head."""
    standing, asked = Standing("newcomer", ("beads",)), monotonic()
    async with doors.bus.subscribe(["beads"], None) as feed:
        while (feed.ended() or 0.0) < asked:
            for delivery in await feed.batch(500, 0.5):
                if standing.follows(delivery):
                    standing.advance(delivery)
    heads = [await doors.store.head(shard) for shard in range(SHARDS)]
    reached = {shard: cursor.hash for (_, shard), cursor in standing.cursors.items()}
    return reached == {head.shard: head.hash for head in heads if head}


async def test_two_processes_keep_one_log_and_one_set_of_views(kafka: str, mongo: str) -> None:
    async with two_processes(kafka, mongo) as (first, second):
        await asyncio.gather(strung(first[1], 0), strung(second[1], 150))
        await until(lambda: agreed(first[0]))
        await until(lambda: topic_is_whole(first[0]))


async def test_killed_engines_lose_nothing(tmp_path: Path) -> None:
    """Both are killed and come back while two processes work; whoever is told no asks again."""
    if engines.missing():
        pytest.skip("an engine is not on this machine")
    kafka, mongo = real.start_kafka(tmp_path / "kafka"), real.start_mongo(tmp_path / "mongo")
    try:
        async with two_processes(kafka.url, mongo.url) as (first, second):
            work = asyncio.gather(strung(first[1], 0), strung(second[1], 150))
            mongo.stop()
            mongo = real.start_mongo(tmp_path / "mongo")
            kafka.stop()
            kafka = real.start_kafka(tmp_path / "kafka")
            await work
            await until(lambda: agreed(first[0]))
            await until(lambda: topic_is_whole(first[0]))
    finally:
        kafka.stop()
        mongo.stop()


@asynccontextmanager
async def two_processes(kafka: str, mongo: str) -> AsyncIterator[list[tuple[Doors, Running]]]:
    """As good as two: nothing is shared but what the engines hold."""
    prefix = f"test-{uuid4().hex[:8]}"
    async with AsyncExitStack() as stack:
        found = []
        for _ in range(2):
            doors = await stack.enter_async_context(open_real(kafka, mongo, prefix))
            running = await service(doors)
            running.relayed = True
            await stack.enter_async_context(alive(running))
            found.append((doors, running))
        yield found
