"""A few kills of processes, broker and store on real engines: the small form of `make prove`."""

from pathlib import Path

import pytest

from tests import engines
from tests.faults.deployment import silent
from tests.faults.kills import Sensitivity, on_engines_killed

pytestmark = pytest.mark.engines
SEED = 20_251_124


async def test_killed_processes_and_engines_lose_and_double_nothing(tmp_path: Path) -> None:
    if engines.missing():
        pytest.skip("an engine is not on this machine")
    enough = Sensitivity(unknown=3, stored_unknown=0)
    report = await on_engines_killed(tmp_path, SEED, silent, counts=(3, 1, 1), enough=enough)
    assert report.good, report
