"""Question: what do relay and readers get of a Kafka broker, and when is a commit visible?"""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from time import perf_counter

from bench.domain import LOG, asks, latest
from bench.figures import Figures, latencies
from bench.ours import LOOK_SECONDS, desk
from bench.question import Contender, Question, Row
from bench.raw import rows
from libs.common.adapters import open_bus, open_documents, open_store
from libs.common.commit import Commit
from libs.common.ports import LOG_BATCH_MAX, SHARDS, Bus
from libs.common.project import Generation, project
from libs.common.relay import Relay
from libs.common.views import heads

VISIBLE_LOOK_SECONDS = 0.0002
WARMING = 20


async def relay(folder: Path, size: int, url: str, log: Path) -> Figures:
    """From the log's file into 16 partitions, the tails read first."""
    async with (
        open_store(f"sqlite://{log}", LOG, readonly=True) as store,
        open_bus(url, prefix=f"bench-{folder.name}") as bus,
    ):
        await bus.tail(LOG, 0)  # the topic is there before anything is measured
        relay = Relay(store, bus, LOG)
        began = perf_counter()
        relaying = asyncio.create_task(relay.run())
        while sum(relay.nexts) - SHARDS < size:
            await asyncio.sleep(LOOK_SECONDS)
            if relaying.done():
                relaying.result()
        wall = perf_counter() - began
        relaying.cancel()
        await asyncio.gather(relaying, return_exceptions=True)
    return {"per_second": size / wall}


async def consume(folder: Path, size: int, url: str) -> Figures:
    """From the start of a reader to every document and cursor stored."""
    async with (
        open_bus(url, prefix=f"bench-{folder.name}") as bus,
        open_documents(f"sqlite://{folder}", LOG) as documents,
    ):
        await _publish(bus, [commit async for commit in rows(size)])
        targets = await heads(bus, [LOG])
        generation = Generation.of(latest, "latest_v1_g1")
        began = perf_counter()
        folding = asyncio.create_task(project(bus, documents, "bench", [generation]))
        while not generation.standing.reached(targets):
            await asyncio.sleep(LOOK_SECONDS)
            if folding.done():
                folding.result()
        wall = perf_counter() - began
        folding.cancel()
        await asyncio.gather(folding, return_exceptions=True)
    return {"per_second": size / wall}


async def _publish(bus: Bus, commits: list[Commit]) -> None:
    for shard in range(SHARDS):
        some = [commit for commit in commits if commit.shard == shard]
        for start in range(0, len(some), LOG_BATCH_MAX):
            await bus.publish(LOG, shard, some[start : start + LOG_BATCH_MAX])


async def visible(folder: Path, size: int, url: str) -> Figures:
    """From the call that asks the command until a reader's document shows it: append, relay,
    Kafka, fold, store; one command at a time."""
    took = []
    async with AsyncExitStack() as stack:
        opened = await stack.enter_async_context(desk(f"sqlite://{folder}"))
        bus = await stack.enter_async_context(open_bus(url, prefix=f"bench-{folder.name}"))
        documents = await stack.enter_async_context(open_documents(f"sqlite://{folder}", "other"))
        generation = Generation.of(latest, "latest_v1_g1")
        relay = Relay(opened.store, bus, LOG)
        opened.handler.appender.heard.append(relay.woken.hear)
        loops = [
            asyncio.create_task(relay.run()),
            asyncio.create_task(project(bus, documents, "bench", [generation])),
        ]
        await generation.prepare(documents)
        for ask in asks(WARMING + size):
            began = perf_counter()
            await opened.handler(ask)
            student = ask.command.student
            while student not in await documents.get(generation.kind, [student]):
                await asyncio.sleep(VISIBLE_LOOK_SECONDS)
                for loop in loops:
                    if loop.done():
                        loop.result()
            took.append(perf_counter() - began)
        for loop in loops:
            loop.cancel()
        await asyncio.gather(*loops, return_exceptions=True)
    return latencies(took[WARMING:])


question = Question(
    "kafka",
    "From a log through Kafka, acknowledged by all in-sync replicas, into another's read model",
    (
        Contender("relay", "bench.kafka:relay", 100_000, 4_000, log=True, engine="kafka"),
        Contender("raw produce", "bench.raw_kafka:produce", 100_000, 4_000, engine="kafka"),
        Contender("fold", "bench.kafka:consume", 200_000, 4_000, engine="kafka"),
        Contender("raw consume", "bench.raw_kafka:consume", 200_000, 4_000, engine="kafka"),
        Contender("visible", "bench.kafka:visible", 1_000, 100, engine="kafka"),
        Contender("raw round trip", "bench.raw_kafka:round_trip", 1_000, 100, engine="kafka"),
    ),
    (
        Row("B9", "commits/s relayed, against producing the same records", "relay", 0.7,
            "raw produce"),
        Row("B9", "commits/s consumed and folded, against consuming the same records", "fold", 0.5,
            "raw consume"),
        Row("B10", "from append to visible in another's read model, p50 (ms), against a bare round "
            "trip", "visible", 2, "raw round trip", "p50_ms", at_most=True),
        Row("B10", "the same, p99 (ms)", "visible", 4, "raw round trip", "p99_ms", at_most=True),
    ),
    quick_rounds=1,
)  # fmt: skip
