"""The beads' service with its doors open on SQLite, and a supervisor in a dozen lines."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from libs.common.adapters import open_bus, open_documents, open_keys, open_store
from libs.common.clock import SystemClock
from libs.common.errors import Behind, StoreAway
from libs.common.ports import Bus, Clock, Documents, EventStore, Keys
from libs.common.sealing import Keyring
from libs.common.service import Loop, Rooms, Running
from libs.common.shapes import Projection
from libs.common.timers import ClockRow
from tests.common.beads import Put, box, boxing, string, tallies

KEK = b"k" * 64
SETTLED_SECONDS_MAX = 60.0
LOOK_SECONDS = 0.01
RESTART_SECONDS = 0.001

clocks = Projection[ClockRow](
    name="clocks",
    version=1,
    logs=("beads",),
    view=ClockRow,
    keys=lambda _: [],
    fold=lambda _view, _entry, _key: None,
    indexes=(("due",),),
)
ROOMS = Rooms("beads", (string, box), (tallies,), (), (boxing,), clocks, lambda _: Put(colour="x"))


@dataclass(frozen=True)
class Doors:
    store: EventStore
    bus: Bus
    documents: Documents
    keys: Keys


@asynccontextmanager
async def open_doors(folder: Path) -> AsyncIterator[Doors]:
    folder.mkdir(parents=True, exist_ok=True)
    async with (
        open_store(f"sqlite://{folder}", "beads") as store,
        open_bus(f"sqlite://{folder}", {"beads": store}) as bus,
        open_documents(f"sqlite://{folder}", "beads") as documents,
        open_keys(f"sqlite://{folder}") as keys,
    ):
        yield Doors(store, bus, documents, keys)


async def service(
    doors: Doors, rooms: Rooms = ROOMS, clock: Clock | None = None, relayed: bool = False
) -> Running:
    ring = Keyring(doors.keys, KEK)
    return Running(
        rooms,
        doors.store,
        doors.bus,
        doors.documents,
        ring,
        await ring.refs(),
        clock or SystemClock(),
        relayed=relayed,
    )


async def kept_alive(loop: Loop) -> None:
    """Starts a loop again when store or bus were away, as the supervisor does."""
    while True:
        try:
            await loop()
        except (StoreAway, Behind, OSError):
            await asyncio.sleep(RESTART_SECONDS)  # a pause between starts, not a wait for an effect


@asynccontextmanager
async def alive(running: Running, *more: Loop) -> AsyncIterator[None]:
    loops = [*(await running.loops()).values(), *more]
    tasks = [asyncio.create_task(kept_alive(loop)) for loop in loops]
    try:
        yield
    finally:
        await running.close()
        for task in tasks:
            task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        failures = [o for o in outcomes if o and not isinstance(o, asyncio.CancelledError)]
        assert not failures, failures


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Looks until it is so; the limit is generous, for slow shared machines."""
    async with asyncio.timeout(SETTLED_SECONDS_MAX):
        while not await condition():
            await asyncio.sleep(LOOK_SECONDS)  # between two looks


async def settled(running: Running, store: EventStore) -> None:
    """Every consumer stands at the head of every shard, twice in a row with equal heads."""
    last: dict[str, Any] = {}

    async def calm() -> bool:
        nonlocal last
        status = await seen_from_outside(running, store)
        heads = status["heads"]
        level = all(
            cursors.get(place, 0) == seq
            for cursors in status["cursors"].values()
            for place, seq in heads.items()
        )
        before, last = last, heads
        return running.built and level and before == heads and status["waiting"] == 0

    await until(calm)


async def seen_from_outside(running: Running, store: EventStore) -> dict[str, Any]:
    """The status as an outsider sees it, past the failing doors."""
    ends = [await store.head(shard) for shard in range(16)]
    return {
        "heads": {f"beads:{end.shard}": end.seq for end in ends if end},
        "cursors": {standing.name: standing.seqs() for standing in running.standings()},
        "waiting": running.appender.waiting(),
    }
