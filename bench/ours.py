"""Ours: the same calls that a service makes, on the engine that a URL names."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from resource import RUSAGE_CHILDREN, getrusage
from time import perf_counter
from typing import Any

from bench.domain import LOG, STREAMS, ask_of, asks, latest, notes, student_of
from bench.figures import Figures, in_turns, measured, peak_megabytes
from libs.common.adapters import open_bus, open_documents, open_keys, open_store
from libs.common.append import Appender
from libs.common.clock import SystemClock
from libs.common.handle import Handler
from libs.common.personal import KeyClass
from libs.common.ports import SHARDS, Documents, EventStore, Put
from libs.common.project import Generation, build
from libs.common.replay import commits
from libs.common.sealing import Keyring
from libs.common.verify_shards import verified as verified_by_all
from libs.common.views import heads

KEK = bytes(64)
CALLERS = 64
EVENTS_A_STREAM = 2
"""Of a log made beforehand: it is short, so that cold commands read as much in a long log."""
COLD_COMMANDS = 5_000
SEED = 20_261_124
LOOK_SECONDS = 0.002
PUTS_TOGETHER = 500


@dataclass(frozen=True)
class Desk:
    """A handler with its doors open."""

    handler: Handler[Any, Any, Any]
    store: EventStore


@asynccontextmanager
async def desk(
    url: str, prefix: str = "bench", streams: Sequence[int] = range(STREAMS)
) -> AsyncIterator[Desk]:
    """Keys of these streams' students stand before anything is measured, as after an import."""
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(open_store(url, LOG, prefix=prefix))
        keys = await stack.enter_async_context(open_keys(url, prefix))
        keyring = Keyring(keys, KEK)
        students = sorted({student_of(stream) for stream in streams})
        await keyring.prepare(students, {KeyClass.RECORD})
        handler = Handler(notes, Appender(store, LOG, SystemClock()), keyring)
        yield Desk(handler, store)
        await handler.appender.close()


async def commands(folder: Path, size: int, callers: int = CALLERS) -> Figures:
    """Durable when they are answered: decided, sealed, hashed, appended."""
    return await on_engine(folder, size, f"sqlite://{folder}", callers)


async def on_engine(_: Path, size: int, url: str, callers: int = CALLERS) -> Figures:
    """The same on any engine; the folder's name keeps one run's data from another's."""
    async with desk(url, prefix=f"bench-{_.name}"[:40]) as opened:
        return await measured(lambda: in_turns(asks(size), opened.handler, callers))


async def replay(_: Path, size: int, log: Path) -> Figures:
    """Reads all, checks the chain, decodes, folds in memory."""
    async with open_store(f"sqlite://{log}", LOG, readonly=True) as store:
        began = perf_counter()
        views: dict[str, Any] = {}
        async for commit in commits(store):
            for entry, key in latest.places(commit):
                views[key] = latest.fold(views.get(key), entry, key)
        wall = perf_counter() - began
    assert sum(view.count for view in views.values()) == size
    return {"per_second": size / wall, "megabytes": peak_megabytes()}


async def verified(_: Path, size: int, log: Path) -> Figures:
    """The chain, every stream, every command's uniqueness; by all cores."""
    began = perf_counter()
    found = await verified_by_all(f"sqlite://{log}", LOG)
    wall = perf_counter() - began
    assert found.commits == size
    largest = getrusage(RUSAGE_CHILDREN).ru_maxrss / 1024
    together = peak_megabytes() + largest * (os.cpu_count() or 1)
    return {"per_second": size / wall, "megabytes": together}


async def rebuild(folder: Path, size: int, log: Path) -> Figures:
    """From nothing to every document and cursor stored."""
    async with (
        open_bus(f"sqlite://{log}") as bus,
        open_documents(f"sqlite://{folder}", LOG) as documents,
    ):
        targets = await heads(bus, [LOG])
        generation = Generation.of(latest, "latest_v1_g1")
        began = perf_counter()
        folding = asyncio.create_task(build(bus, documents, "bench", [generation]))
        while not generation.standing.reached(targets):
            await asyncio.sleep(LOOK_SECONDS)
            if folding.done():
                folding.result()
        wall = perf_counter() - began
        folding.cancel()
        await asyncio.gather(folding, return_exceptions=True)
    return {"per_second": size / wall, "megabytes": peak_megabytes()}


async def bare_rebuild(folder: Path, size: int, log: Path) -> Figures:
    """The same events folded in memory without cursors, each document written once."""
    async with (
        open_store(f"sqlite://{log}", LOG, readonly=True) as store,
        open_documents(f"sqlite://{folder}", LOG) as documents,
    ):
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
        wall = perf_counter() - began
    return {"per_second": size / wall, "megabytes": peak_megabytes()}


async def _all_put(documents: Documents, views: dict[str, Any]) -> None:
    puts = [Put("bare", key, view.model_dump(mode="json"), 0) for key, view in views.items()]
    for start in range(0, len(puts), PUTS_TOGETHER):
        assert all(await documents.put(puts[start : start + PUTS_TOGETHER]))


async def growth(folder: Path, size: int, log: Path) -> Figures:
    """Commands into a log that holds `size` commits already, each to a stream of its own that was
    drawn from all of them and has to be read first: no cache helps, whatever the size."""
    shutil.copytree(log, folder, dirs_exist_ok=True)
    streams = size // EVENTS_A_STREAM
    count = min(COLD_COMMANDS, streams)
    drawn = Random(SEED).sample(range(streams), count)  # noqa: S311 - a draw, no secret
    async with desk(f"sqlite://{folder}", streams=drawn) as opened:
        coming = [ask_of(size + stream, streams) for stream in drawn]
        return await measured(lambda: in_turns(coming, opened.handler, CALLERS))
