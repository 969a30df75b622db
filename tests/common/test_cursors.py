"""Where a reader stands is stored behind what it has written, and told as soon as that is there."""

import asyncio
from pathlib import Path
from uuid import UUID

import pytest

from libs.common import consume, project
from libs.common.consume import CURSORS
from libs.common.handle import Ask
from libs.common.project import Generation
from libs.common.service import Running
from libs.common.views import heads
from tests.common.beads import STAMP, Put, Tally, tallies
from tests.common.doors import alive, open_doors, service, settled, until
from tests.common.test_project import COLOURS, replayed, stored, strung


async def test_who_folds_alone_stores_cursors_now_and_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Readers in the process are told at once; what was not stored is folded again, in vain."""
    async with open_doors(tmp_path / "data") as doors:
        monkeypatch.setattr(consume, "PENDING_SECONDS", 3_600)  # and never because there is a pause
        running = await service(doors)
        await strung(running)
        targets = await heads(doors.bus, ["beads"])

        async def folded(kind: str) -> Generation[Tally]:
            generation = Generation.of(tallies, kind)
            folding = project.project(running.bus, doors.documents, "g", [generation], alone=True)
            task = asyncio.ensure_future(folding)
            await until(lambda: done(task, generation))
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            return generation

        async def done(task: "asyncio.Future[None]", generation: Generation[Tally]) -> bool:
            assert not task.done()
            return generation.standing.reached(targets)

        first = await folded("tallies_v1_g1")
        keys = [f"{first.kind}|beads:{shard}" for shard in range(16)]
        assert await doors.documents.get(CURSORS, keys) == {}
        assert await stored(doors, first.kind) == await replayed(doors)
        revisions = {
            k: d["_rev"] for k, d in (await doors.documents.get(first.kind, COLOURS)).items()
        }
        monkeypatch.setattr(consume, "UNTOLD_MAX", 1)
        again = await folded(first.kind)
        assert (await doors.documents.get(CURSORS, keys)).keys() == {
            f"{again.kind}|beads:{target.shard}" for target in targets
        }
        found = (await doors.documents.get(first.kind, COLOURS)).items()
        assert {key: doc["_rev"] for key, doc in found} == revisions


async def test_a_policy_that_is_alone_stores_now_and_then_how_far_it_has_heard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was not stored is heard again after a crash, to no effect."""
    async with open_doors(tmp_path / "data") as doors:

        async def cursors(running: Running) -> tuple[dict[str, int], dict[str, int]]:
            standing = running.reacting[0].standing
            keys = {f"{standing.name}|{place}": place for place in standing.seqs()}
            docs = await doors.documents.get(CURSORS, keys)
            return standing.seqs(), {keys[key]: doc["seq"] for key, doc in docs.items()}

        async def is_stored() -> bool:
            told, there = await cursors(running)
            return told == there

        running = await service(doors)
        async with alive(running):
            await strung(running)
            await settled(running, doors.store)
            await until(is_stored)
            monkeypatch.setattr(consume, "PENDING_SECONDS", 3_600)  # and never because of a pause
            quiet = Put(colour="quiet").stamped(STAMP)
            await running.handle(Ask("box/quiet", quiet, UUID(int=99)))
            await settled(running, doors.store)
            assert not await is_stored()
        monkeypatch.undo()
        before = await heads(doors.bus, ["beads"])
        running = await service(doors)
        async with alive(running):
            await settled(running, doors.store)
            await until(is_stored)
        assert await heads(doors.bus, ["beads"]) == before
