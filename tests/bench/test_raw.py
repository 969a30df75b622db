"""What ours is compared with runs, and stores what ours would."""

import sqlite3
from contextlib import closing
from pathlib import Path

from bench import ours, raw
from bench.domain import LOG

SIZE = 80


async def test_the_raw_group_commit_stores_every_row(tmp_path: Path) -> None:
    assert (await raw.commands(tmp_path, SIZE))["per_second"] > 0
    with closing(sqlite3.connect(tmp_path / "raw.db")) as connection:
        (count,) = connection.execute("SELECT count(*) FROM commits").fetchone()
    assert count == SIZE


async def test_ours_stores_as_many(tmp_path: Path) -> None:
    assert (await ours.commands(tmp_path, SIZE))["per_second"] > 0
    with closing(sqlite3.connect(tmp_path / LOG / "log.db")) as connection:
        (count,) = connection.execute("SELECT count(*) FROM commits").fetchone()
    assert count == SIZE


async def test_the_bare_replay_reads_a_log_that_was_filled(tmp_path: Path) -> None:
    await raw.fill(tmp_path, SIZE)
    assert (await raw.decoded(tmp_path, SIZE, tmp_path))["per_second"] > 0
