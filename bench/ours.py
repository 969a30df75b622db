"""Ours: the same calls that a service makes, on the engine that a URL names."""

import asyncio
import gc
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

from bench.domain import LOG, STREAMS, asks, latest, notes
from libs.common.adapters import open_bus, open_documents, open_keys, open_store
from libs.common.append import Appender
from libs.common.clock import SystemClock
from libs.common.handle import Handler
from libs.common.personal import KeyClass
from libs.common.ports import SHARDS, Documents, EventStore, Put
from libs.common.project import Generation, project
from libs.common.replay import commits
from libs.common.sealing import Keyring
from libs.common.tasks import GC_THRESHOLDS
from libs.common.verify import verify

Figures = dict[str, float]
KEK = bytes(64)


@dataclass(frozen=True)
class Desk:
    """A handler with its doors open."""

    handler: Handler[Any, Any, Any]
    store: EventStore


@asynccontextmanager
async def desk(url: str, prefix: str = "bench") -> AsyncIterator[Desk]:
    """Keys of all students stand before anything is measured, as after an import."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(open_store(url, LOG, prefix=prefix))
        keys = await stack.enter_async_context(open_keys(url, prefix))
        keyring = Keyring(keys, KEK)
        students = [f"stu_{number}" for number in range(STREAMS)]
        await keyring.prepare(students, {KeyClass.RECORD})
        handler = Handler(notes, Appender(store, LOG, SystemClock()), keyring)
        yield Desk(handler, store)
        await handler.close()
        await handler.appender.close()


async def written(handler: Handler[Any, Any, Any], count: int, callers: int) -> list[float]:
    """Seconds that each command took, asked by so many callers at once."""
    coming = asks(count)

    async def ask() -> None:
        for one in coming:
            began = perf_counter()
            await handler(one)
            took.append(perf_counter() - began)

    took: list[float] = []
    await asyncio.gather(*(ask() for _ in range(callers)))
    return took


async def measured(work: Callable[[], Awaitable[Sequence[float]]]) -> Figures:
    """Rate, latency and processor time of some commands."""
    cpu, began = process_time(), perf_counter()
    took = sorted(await work())
    wall, used = perf_counter() - began, process_time() - cpu
    return {
        "per_second": len(took) / wall,
        "p50_ms": 1e3 * took[len(took) // 2],
        "p99_ms": 1e3 * took[len(took) * 99 // 100],
        "cpu_us": 1e6 * used / len(took),
    }


async def commands(folder: Path, size: int, callers: int = 64) -> Figures:
    async with desk(f"sqlite://{folder}") as opened:
        return await measured(lambda: written(opened.handler, size, callers))


async def serial(folder: Path, size: int) -> Figures:
    return await commands(folder, size, 1)


async def filled(folder: Path, size: int) -> None:
    """A log to read, made by the ordinary way."""
    async with desk(f"sqlite://{folder}") as opened:
        await written(opened.handler, size, 256)


async def replay(folder: Path, size: int) -> Figures:
    """Reads all, checks the chain, decodes, folds in memory."""
    await filled(folder, size)
    async with open_store(f"sqlite://{folder}", LOG, readonly=True) as store:
        began = perf_counter()
        views: dict[str, Any] = {}
        async for commit in commits(store):
            for entry, key in latest.places(commit):
                views[key] = latest.fold(views.get(key), entry, key)
        return {"per_second": size / (perf_counter() - began)}


async def verified(folder: Path, size: int) -> Figures:
    await filled(folder, size)
    async with open_store(f"sqlite://{folder}", LOG, readonly=True) as store:
        began = perf_counter()
        found = await verify(store)
        assert found.commits == size
        return {"per_second": size / (perf_counter() - began)}


async def rebuild(folder: Path, size: int) -> Figures:
    """From nothing to every document and cursor stored."""
    await filled(folder, size)
    url = f"sqlite://{folder}"
    async with (
        open_store(url, LOG, readonly=True) as store,
        open_bus(url) as bus,
        open_documents(url, LOG) as documents,
    ):
        ends = [end.position for end in [await store.head(n) for n in range(SHARDS)] if end]
        generation = Generation.of(latest, "latest_v1_g1")
        began = perf_counter()
        folding = asyncio.create_task(project(bus, documents, "bench", [generation]))
        while not generation.standing.reached(ends):
            await asyncio.sleep(0.005)
            if folding.done():
                folding.result()
        wall = perf_counter() - began
        folding.cancel()
        await asyncio.gather(folding, return_exceptions=True)
    return {"per_second": size / wall, "megabytes": peak_megabytes()}


async def bare_rebuild(folder: Path, size: int) -> Figures:
    """The same events folded in memory without cursors, each document written once."""
    await filled(folder, size)
    url = f"sqlite://{folder}"
    async with open_store(url, LOG, readonly=True) as store, open_documents(url, LOG) as documents:
        await documents.prepare("bare", ())
        began = perf_counter()
        views: dict[str, Any] = {}
        for shard in range(SHARDS):
            seq = 0
            while batch := await store.log(shard, seq):
                seq = batch[-1].seq
                for commit in batch:
                    for entry, key in latest.places(commit):
                        views[key] = latest.fold(views.get(key), entry, key)
        await _all_put(documents, views)
        return {"per_second": size / (perf_counter() - began), "megabytes": peak_megabytes()}


async def _all_put(documents: Documents, views: dict[str, Any]) -> None:
    puts = [Put("bare", key, view.model_dump(mode="json"), 0) for key, view in views.items()]
    for part in parted(puts, 500):
        assert all(await documents.put(part))


def parted(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def peak_megabytes() -> float:
    """The most that this process has held in memory since it began."""
    with open("/proc/self/status") as status:
        found = next(line for line in status if line.startswith("VmHWM"))
    return int(found.split()[1]) / 1024


async def growth(folder: Path, size: int) -> Figures:
    """Commands into a log that holds `size` commits already."""
    async with desk(f"sqlite://{folder}") as opened:
        await written(opened.handler, size, 256)
        more = GROWTH_COMMANDS
        coming = asks(more, first=size)

        async def ask() -> None:
            for one in coming:
                began = perf_counter()
                await opened.handler(one)
                took.append(perf_counter() - began)

        took: list[float] = []

        async def work() -> Sequence[float]:
            await asyncio.gather(*(ask() for _ in range(64)))
            return took

        return await measured(work)


GROWTH_COMMANDS = 10_000


def interpreter() -> str:
    """What the figures were measured with."""
    info = os.uname()
    return f"{info.sysname} {info.machine}, {os.cpu_count()} cores"
