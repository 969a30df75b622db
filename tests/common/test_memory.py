"""Views in memory: what they say, when they are told, and where they stand still."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from libs.common.adapters import sqlite_bus
from libs.common.memory import InMemory
from libs.common.messages import Recorded
from libs.common.personal import KeyClass
from libs.common.ports import SHARDS
from libs.common.service import Running
from libs.common.shapes import Projection
from tests.common.beads import Tally, add, tallies
from tests.common.doors import Doors, open_doors, service, until
from tests.common.test_project import fragile_fold, strung, unplaced

WAIT_SECONDS = 30.0
opening = replace(tallies, opens=frozenset({KeyClass.RECORD}))


@pytest.fixture
async def doors(tmp_path: Path) -> AsyncIterator[Doors]:
    async with open_doors(tmp_path / "data") as opened:
        yield opened


@asynccontextmanager
async def remembering(
    running: Running, projection: Projection[Tally]
) -> AsyncIterator[InMemory[Tally]]:
    """Until the view has met the end of every shard that does not halt it."""
    memory = InMemory(projection, running.keyring)
    loop = asyncio.create_task(memory.run(running.bus))
    ends = [await running.store.head(shard) for shard in range(SHARDS)]

    async def met() -> bool:
        assert not loop.done(), loop
        halted = {shard for _, shard in memory.standing.halted}
        return memory.reached(
            end.position for end in ends if end is not None and end.shard not in halted
        )

    try:
        await until(met)
        yield memory
    finally:
        loop.cancel()
        await asyncio.gather(loop, return_exceptions=True)


@pytest.mark.parametrize("broken", ["keys", "fold"])
async def test_a_commit_that_cannot_be_folded_halts_its_shard_alone(
    doors: Doors, broken: str
) -> None:
    running = await service(doors)
    await strung(running, 200)
    fold, keys = (fragile_fold, tallies.keys) if broken == "fold" else (tallies.fold, unplaced)
    async with remembering(running, replace(opening, fold=fold, keys=keys)) as memory:
        halted = memory.standing.halted
        assert halted
        assert {halt.reason for halt in halted.values()} == {"ValueError"}
        expected: Counter[str] = Counter()
        for shard in range(SHARDS):
            for commit in await doors.store.log(shard, 0):
                halt = halted.get(commit.place)
                if halt is None or commit.seq < halt.position.seq:
                    expected.update(tallies.keys(commit.recorded[0]))
                elif commit.position == halt.position:
                    assert list(tallies.keys(commit.recorded[0])) == ["colour3"]
        assert {key: tally.count for key, tally in memory.documents.items()} == expected


def _noted(view: Tally | None, entry: Recorded[Any], key: str) -> Tally:
    """The note's letters, where it is open."""
    note = entry.event.note
    return Tally(colour=key, count=len(note) if isinstance(note, str) else -1)


async def test_what_a_view_opens_arrives_open_and_what_is_forgotten_stays_sealed(
    doors: Doors,
) -> None:
    running = await service(doors)
    await running.handle(add(1, "red", "string/a", note="five!"))
    blue = add(2, "blue", "string/b", note="gone")
    await running.handle(
        replace(blue, command=blue.command.model_copy(update={"student": "stu_2"}))
    )
    await running.keyring.forget("stu_2", ())
    async with remembering(running, replace(opening, fold=_noted)) as memory:
        assert {key: tally.count for key, tally in memory.documents.items()} == {
            "red": 5,
            "blue": -1,
        }


async def test_a_group_gathers_what_comes_thick_and_a_view_in_memory_is_told_at_once(
    doors: Doors, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_bus, "GATHER_SECONDS", 3_600.0)
    running = await service(doors)
    async with (
        running.bus.subscribe(["beads"], "group") as group,
        running.bus.subscribe(["beads"], None) as alone,
    ):
        await running.handle(add(1, "red"))
        for feed in (group, alone):
            assert len(await feed.batch(10, WAIT_SECONDS)) == 1
        gathering = asyncio.create_task(group.batch(10, WAIT_SECONDS))
        await running.handle(add(2, "blue"))
        assert len(await alone.batch(10, WAIT_SECONDS)) == 1
        assert not gathering.done()
        gathering.cancel()
        await asyncio.gather(gathering, return_exceptions=True)


async def test_a_group_that_is_behind_reads_on_without_a_pause(
    doors: Doors, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_bus, "GATHER_SECONDS", 3_600.0)
    running = await service(doors)
    await strung(running, 40)
    async with running.bus.subscribe(["beads"], "group") as group:
        assert await group.batch(1, WAIT_SECONDS)
        assert await group.batch(1, WAIT_SECONDS)
