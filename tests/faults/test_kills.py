"""Five kill -9 of the serving process under load: what was acknowledged is there, once."""

from pathlib import Path

from tests.faults.deployment import silent
from tests.faults.kills import Sensitivity, on_sqlite_killed

SEED = 20_251_124


async def test_five_kills_under_load_lose_and_double_nothing(tmp_path: Path) -> None:
    enough = Sensitivity(unknown=10, stored_unknown=1)
    report = await on_sqlite_killed(tmp_path, SEED, silent, kills=5, enough=enough)
    assert report.good, report
