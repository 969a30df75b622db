"""An operator parks, retries, evicts and rebuilds by command, and the log says so."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from libs.common.adapters import open_store
from libs.common.commit import shard_of
from libs.common.operators.console import MISUSED, NOT_WELL, WELL, Operator
from libs.common.operators.operate import operate
from libs.common.ports import SHARDS
from libs.common.replay import as_of
from libs.common.service import Rooms, Running
from libs.common.settings import Settings
from libs.common.shapes import Projection
from libs.common.verify import verify
from services.consent.main import rooms as consent_rooms
from services.referrals.main import rooms as referrals_rooms
from tests.common.beads import Tally, tallies
from tests.common.doors import ROOMS, alive, open_doors, service, until
from tests.common.test_parking import (
    BROKEN,
    COLOURS,
    EVERYTHING,
    EVICTED,
    KIND,
    POISON,
    STARTS,
    counts,
    strung,
)
from tests.referrals.office import DIRECTORY

REASON = ("--reason", "ticket 4711: test data")
MENDED = replace(ROOMS, projections=(counts, tallies))
POISONED = replace(ROOMS, projections=(BROKEN["fold"], tallies))
GATED = replace(ROOMS, projections=(replace(BROKEN["fold"], gates=True), tallies))


def rooms_of(folder: Path, rooms: Rooms, *words: str) -> tuple[Operator, StringIO]:
    given = {"DATA_DIR": str(folder), "KEK_FILE": str(folder.parent / "kek")}
    page = StringIO()
    return Operator(Settings.of("beads", given), [rooms], words, Console(file=page)), page


async def told(folder: Path, rooms: Rooms, word: str, *words: str) -> tuple[int, list[str]]:
    operator, page = rooms_of(folder, rooms, *words)
    code = await operate(word, operator)
    return code, page.getvalue().splitlines()


@asynccontextmanager
async def at_work(folder: Path, rooms: Rooms) -> AsyncIterator[Running]:
    """The service, ready or standing still at the head of its log."""
    async with open_doors(folder) as doors:
        running = await service(doors, rooms)
        async with alive(running):
            await until(lambda: _now(running.built))
            yield running

            async def level() -> bool:
                heads = [await doors.store.head(shard) for shard in range(SHARDS)]
                return all(
                    standing.seqs().get(f"beads:{head.shard}", 0) == head.seq
                    for standing in running.standings()
                    for head in heads
                    if head is not None and ("beads", head.shard) not in standing.halted
                )

            await until(level)


async def _now(so: bool) -> bool:
    return so


async def counted(running: Running) -> dict[str, Any]:
    keys = [f"{colour}{start}" for start in STARTS for colour in COLOURS]
    return await running.views.many(counts, [*keys, EVERYTHING])


async def replayed(folder: Path, projection: Projection[Tally]) -> dict[str, Any]:
    async with open_store(f"sqlite://{folder}", "beads", readonly=True) as store:
        return dict((await as_of({"beads": store}, [projection], None))["counts"])


async def upkeep_of(folder: Path, name: str) -> list[tuple[str, dict[str, Any]]]:
    async with open_store(f"sqlite://{folder}", "beads", readonly=True) as store:
        await verify(store)
        return [
            (entry.event.type, entry.event.model_dump(exclude_none=True))
            async for commit in store.stream(f"projection/{name}")
            for entry in commit.recorded
        ]


async def halted(folder: Path) -> None:
    async with at_work(folder, POISONED) as running:
        await strung(running, STARTS[0])
        await until(lambda: _now(running.not_ready() != []))


async def test_what_stands_still_is_listed_parked_and_retried(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    await halted(folder)
    code, (line,) = await told(folder, POISONED, "parked", "list")
    assert code == NOT_WELL
    first = f"beads:{shard_of(POISON):02}:"
    assert line.startswith(f"beads.{KIND}  {POISON}  stands still at {first}")
    assert line.endswith("(ValueError)")
    code, (line,) = await told(folder, POISONED, "parked", "park", "counts")
    assert (code, line[: line.rindex(":")]) == (
        WELL,
        f"{KIND}: {POISON} is parked from {first}"[:-1],
    )
    async with at_work(folder, POISONED) as running:
        await strung(running, STARTS[1])
        assert running.not_ready() == []
    code, (line,) = await told(folder, POISONED, "parked", "list")
    assert code == WELL
    assert line.endswith("(ValueError), 5 waiting")
    code, (line,) = await told(folder, POISONED, "parked", "retry", "counts")
    assert code == NOT_WELL
    assert "stays parked: 0 folded, then" in line
    code, (line,) = await told(folder, MENDED, "parked", "retry", "counts", POISON)
    assert (code, line) == (WELL, f"{KIND}: {POISON} flows again, 5 folded")
    async with at_work(folder, MENDED) as running:
        await strung(running, STARTS[2])
    async with at_work(folder, MENDED) as running:
        assert await counted(running) == await replayed(folder, counts)
    types = [stored_type for stored_type, _ in await upkeep_of(folder, "counts")]
    assert types == ["stream.parked", *["retry.ordered", "retry.ended"] * 2]


async def test_what_is_evicted_is_told_with_its_reason(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    await halted(folder)
    await told(folder, POISONED, "parked", "park", "counts")
    async with at_work(folder, POISONED):
        pass
    code, _ = await told(folder, POISONED, "parked", "evict", "counts", POISON, *REASON)
    assert code == WELL
    *_, (event, said) = await upkeep_of(folder, "counts")
    assert (event, said["reason"], said["stream"]) == ("commit.evicted", REASON[1], POISON)
    assert (await told(folder, MENDED, "parked", "retry", "counts"))[0] == WELL
    async with at_work(folder, MENDED) as running:
        evicted = replace(EVICTED, keys=_without(said["position"]))
        assert await counted(running) == await replayed(folder, evicted)
    code, (line,) = await told(folder, MENDED, "parked", "retry", "counts")
    assert (code, line) == (MISUSED, "parked retry: nothing is parked of counts")


def _without(position: str) -> Any:
    return lambda entry: () if str(entry.position) == position else counts.keys(entry)


async def test_a_rebuild_by_command_has_nothing_parked_and_leads_back(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    await halted(folder)
    await told(folder, POISONED, "parked", "park", "counts")
    async with at_work(folder, POISONED):
        pass
    code, (line,) = await told(folder, POISONED, "rebuild", "counts")
    assert code == NOT_WELL, "the new copy meets the same commit"
    assert line.startswith("counts is read as before: halted at beads:")
    code, (line,) = await told(folder, MENDED, "rebuild", "counts")
    assert (code, line) == (WELL, f"counts_v1_g3 is read now; --back returns to {KIND}")
    code, (line,) = await told(folder, MENDED, "parked", "list")
    assert (code, line.split()[0]) == (WELL, f"beads.{KIND}"), "what was given up is no news"
    async with at_work(folder, MENDED) as running:
        assert await counted(running) == await replayed(folder, counts)
    code, (line,) = await told(folder, MENDED, "rebuild", "counts", "--back")
    assert (code, line) == (WELL, f"{KIND} is read again instead of counts_v1_g3")
    *_, built, back = await upkeep_of(folder, "counts")
    assert built == ("projection.rebuilt", {"generation": "counts_v1_g3", "previous": KIND})
    assert back == (
        "projection.rolled_back", {"generation": KIND, "previous": "counts_v1_g3"}
    )  # fmt: skip


async def test_what_says_who_may_see_something_does_not_park(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    await halted(folder)
    code, (line,) = await told(folder, GATED, "parked", "park", "counts")
    assert code == MISUSED
    assert "says who may see something" in line
    gated = {
        f"{rooms.name}.{p.name}"
        for rooms in (consent_rooms(DIRECTORY), referrals_rooms(DIRECTORY))
        for p in (*rooms.projections, *rooms.memories)
        if p.gates
    }
    assert gated == {
        *("consent.access", "consent.students", "consent.children"),
        *("referrals.covering", "referrals.students"),
    }


@pytest.mark.parametrize("words", [("park", "nothing"), ("evict", "counts", "string/9", *REASON)])
async def test_what_is_not_there_is_said(tmp_path: Path, words: tuple[str, ...]) -> None:
    folder = tmp_path / "data"
    async with at_work(folder, MENDED):
        code, (line,) = await told(folder, MENDED, "parked", "retry", "counts")
        assert (code, "has a writer already" in line) == (NOT_WELL, True)
        assert (await told(folder, MENDED, "parked", "list"))[0] == WELL
    code, (line,) = await told(folder, MENDED, "parked", *words)
    assert code == MISUSED
    assert line.startswith(f"parked {words[0]}: nothing is ")
