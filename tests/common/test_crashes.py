"""Every n-th I/O fails, for every n until nothing is left to fail: nothing lost, nothing twice.

The whole way of an event runs: append, relay, projection, policy. A call that fails may have
happened or not; loops are started again as the supervisor does, clients ask again with their key.
"""

import asyncio
from pathlib import Path

import pytest

from libs.common.errors import StoreAway
from libs.common.replay import as_of
from libs.common.service import Running
from libs.common.verify import verify
from tests.common.beads import add, tallies
from tests.common.doors import Doors, alive, open_doors, service, settled
from tests.common.topics import MemoryBus
from tests.failing import Failing, FailingBus, FailingDocuments, FailingStore

COLOURS = ("red", "blue", "green")
STREAMS = ("string/a", "string/b")
TRIES_MAX = 100
N_MAX = 400
PAUSE_SECONDS = 0.001


async def ask_until_known(running: Running, name: int, colour: str, stream: str) -> None:
    for _ in range(TRIES_MAX):
        try:
            await running.handle(add(name, colour, stream, note="planted"))
        except StoreAway:
            await asyncio.sleep(PAUSE_SECONDS)  # between two tries
        else:
            return
    raise AssertionError("the store never came back")


async def play(folder: Path, fail: Failing) -> None:
    """The whole job with one failing call, then the judgement on the real doors."""
    async with open_doors(folder) as real:
        doors = Doors(
            FailingStore(real.store, fail),
            FailingBus(MemoryBus(), fail),
            FailingDocuments(real.documents, fail),
            real.keys,
        )
        running = await service(doors, relayed=True)
        fail.armed = True
        while True:
            try:
                async with alive(running):
                    await asyncio.gather(
                        *(
                            ask_until_known(running, 10 * number + place, colour, stream)
                            for number, colour in enumerate(COLOURS)
                            for place, stream in enumerate(STREAMS)
                        )
                    )
                    await settled(running, real.store)
                    await judge(real, running)
            except StoreAway:  # at the start, before a loop was alive
                continue
            return


async def judge(real: Doors, running: Running) -> None:
    whole = await verify(real.store)
    assert whole.commits == len(COLOURS) * len(STREAMS) + len(COLOURS)
    assert whole.streams == len(STREAMS) + len(COLOURS)
    told = await running.views.many(tallies, COLOURS)
    assert told == (await as_of({"beads": real.store}, [tallies], None))["tallies"]
    assert {key: view.count for key, view in told.items()} == dict.fromkeys(COLOURS, 2)


@pytest.mark.parametrize("happened", [False, True], ids=["before", "after"])
async def test_any_one_call_may_fail(tmp_path: Path, happened: bool) -> None:
    """`happened`: the call took effect and only its reply was lost."""
    for n in range(1, N_MAX):
        fail = Failing(n, happened)
        await play(tmp_path / str(n), fail)
        if not fail.fired:
            assert n > 30, "too few calls failed to show anything"
            return
    raise AssertionError("the job never ran through without a failure")
