"""Two appenders at the same streams of one store; and the judge of it sees what is planted."""

from pathlib import Path

import pytest

from libs.common.adapters import open_store
from tests import engines
from tests.faults.deployment import silent
from tests.faults.evidence import stored
from tests.faults.rivals import WRONG, Told, rival, two_processes, unlike
from tests.ports.chains import LOG

SEED = 20_261_124


async def test_what_was_told_is_what_lies_there_and_lies_are_found(tmp_path: Path) -> None:
    async with open_store(f"sqlite://{tmp_path}", LOG) as store:
        told = await rival(store, SEED, 200)
        commits = await stored(store)
    assert len(told) == 200
    assert unlike(commits, told) == []
    kept = next(one for one in told if one.where != WRONG)
    others = [one for one in told if one is not kept]
    assert unlike(commits, others), "something that nobody asked for"
    assert unlike(commits, [*others, Told(kept.command, WRONG)]), "stored though refused"
    lost = [one for one in commits if str(one.command) != kept.command]
    assert unlike(lost, told), "acknowledged and lost"
    doubled = [*commits, next(one for one in commits if str(one.command) == kept.command)]
    assert unlike(doubled, told), "stored twice"


@pytest.mark.engines
async def test_two_processes_at_the_same_streams_lose_no_conflict(tmp_path: Path) -> None:
    if engines.missing():
        pytest.skip("an engine is not on this machine")
    report = await two_processes(tmp_path, SEED, silent, count=1_000)
    assert report.good, report
