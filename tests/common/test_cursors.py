"""Where a reader stands is stored behind what it has written, and told as soon as that is there."""

import asyncio
from pathlib import Path

import pytest

from libs.common import project
from libs.common.consume import CURSORS
from libs.common.project import Generation
from libs.common.views import heads
from tests.common.beads import Tally, tallies
from tests.common.doors import open_doors, service, until
from tests.common.test_project import COLOURS, replayed, stored, strung


async def test_who_folds_alone_stores_cursors_now_and_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Readers in the process are told at once; what was not stored is folded again, in vain."""
    async with open_doors(tmp_path / "data") as doors:
        monkeypatch.setattr(project, "PENDING_SECONDS", 3_600)  # and never because there is a pause
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
        monkeypatch.setattr(project, "UNTOLD_MAX", 1)
        again = await folded(first.kind)
        assert (await doors.documents.get(CURSORS, keys)).keys() == {
            f"{again.kind}|beads:{target.shard}" for target in targets
        }
        found = (await doors.documents.get(first.kind, COLOURS)).items()
        assert {key: doc["_rev"] for key, doc in found} == revisions
