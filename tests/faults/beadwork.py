"""The beads' service played small, with its evidence: what the checker's tests break on purpose.

One client, one thing after the other, the real store, relay, projection and policy; every part may
be replaced by one that is broken.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic_ns
from typing import Any
from uuid import UUID

from libs.common.commit import Commit
from libs.common.errors import Refused
from libs.common.handle import Answer, Ask
from libs.common.ports import Documents, EventStore, Keys
from libs.common.sealing import Keyring
from libs.common.service import Rooms, Running
from tests.common.beads import add
from tests.common.doors import KEK, ROOMS, Doors, alive, open_doors, service, settled
from tests.common.topics import MemoryBus
from tests.faults.evidence import Evidence, Places, read_kinds, stored, unopened, unsound
from tests.faults.history import FAIL, OK, UNKNOWN, Attempt, Heard, Operation

COLOURS = ("red", "blue", "green", "white", "black")
STREAMS = tuple(f"string/{name}" for name in "abcd")
RETRIED = 3
"""The number of the thing whose first reply is lost."""
Say = Callable[[Running, Ask[Any]], Awaitable[Answer]]


async def honestly(running: Running, ask: Ask[Any]) -> Answer:
    return await running.handle(ask)


@dataclass(eq=False)
class Build:
    """What this build consists of; each part can be exchanged for a broken one. `whole` is False
    when its readers can never catch up."""

    store: Callable[[EventStore], EventStore] = lambda store: store
    documents: Callable[[Documents], Documents] = lambda documents: documents
    keys: Callable[[Keys], Keys] = lambda keys: keys
    rooms: Rooms = ROOMS
    bus: MemoryBus = field(default_factory=MemoryBus)
    say: Say = honestly
    whole: bool = True
    spoil: Callable[[Path], None] = lambda _: None
    """Happens to the files when all is over."""


async def played(folder: Path, build: Build) -> Evidence:
    async with open_doors(folder) as real:
        documents, keys = build.documents(real.documents), build.keys(real.keys)
        doors = Doors(build.store(real.store), build.bus, documents, keys)
        running = await service(doors, build.rooms, relayed=True)
        async with alive(running):
            asks = [
                add(10 * place + number, colour, stream, note="planted")
                for number, colour in enumerate(COLOURS, 1)
                for place, stream in enumerate(STREAMS)
            ]
            asks.append(add(999, "none"))
            operations = [await _done(running, build, n, one) for n, one in enumerate(asks, 1)]
            if build.whole:
                await settled(running, real.store)
            else:
                await _relayed(build.bus, real.store)
        url = f"sqlite://{folder}"
        places = Places(url, url, url, url, folder / "kek", "beads")
        build.spoil(folder)
        log = await stored(real.store)
        return Evidence(
            operations,
            {"beads": log},
            {"beads": _delivered(build.bus)},
            {"beads": await read_kinds(places, "beads")},
            [build.rooms],
            lambda operation: UUID(operation.key),
            await unopened(Keyring(real.keys, KEK), log),
            await unsound(real.store, "beads"),
        )


async def _done(running: Running, build: Build, number: int, ask: Ask[Any]) -> Operation:
    operation = Operation(number, 1, ("a", "b", "c"), "POST", "/v1/beads", str(ask.id))
    for turn in range(2 if number == RETRIED else 1):
        invoked = monotonic_ns()
        try:
            answer = await build.say(running, ask)
            heard = Heard(
                OK, 201, "", str(answer.position), answer.version, answer.replayed, answer.result
            )
        except Refused as refused:
            heard = Heard(FAIL, 409, refused.code)
        if number == RETRIED and turn == 0:
            heard = Heard(UNKNOWN)
        operation.attempts.append(Attempt(invoked, monotonic_ns(), heard))
    return operation


async def _relayed(bus: MemoryBus, store: EventStore) -> None:
    """Until the topic's last record is the store's last commit, in every shard."""
    async with asyncio.timeout(60):
        for shard in range(16):
            while head := await store.head(shard):
                topic = bus.topics.get(("beads", shard), [])
                if topic and topic[-1].seq == head.seq:
                    break
                await asyncio.sleep(0.01)  # between two looks


def _delivered(bus: MemoryBus) -> Sequence[Commit]:
    return [commit for _, topic in sorted(bus.topics.items()) for commit in topic]
