"""A small demo, from end to end: the same figures twice, also after one that was killed."""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, STDOUT, Process
from pathlib import Path
from typing import Any

SMALL = ("--students", "400", "--referred", "12")
SECONDS_MAX = 150
LOOK_SECONDS = 0.05


async def begun(folder: Path) -> Process:
    where = ("--data", str(folder / "data"), "--beside", str(folder / "beside"))
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "demo", *SMALL, *where, stdout=PIPE, stderr=STDOUT
    )


async def played(folder: Path) -> tuple[str, dict[str, Any]]:
    """What it printed, and the figures it left."""
    process = await begun(folder)
    async with asyncio.timeout(SECONDS_MAX):
        told, _ = await process.communicate()
    assert process.returncode == 0, told.decode()
    return told.decode(), json.loads((folder / "data" / "summary.json").read_bytes())


async def killed(folder: Path) -> None:
    """As soon as students are in the log."""
    process = await begun(folder)
    async with asyncio.timeout(SECONDS_MAX):
        while not (folder / "data" / "consent" / "log.db").exists():
            await asyncio.sleep(LOOK_SECONDS)
    process.kill()
    await process.communicate()


async def test_two_runs_end_well_with_the_same_figures_also_after_one_that_was_killed(
    tmp_path: Path,
) -> None:
    await killed(tmp_path)
    told, figures = await played(tmp_path)
    _, again = await played(tmp_path)
    assert figures == again
    assert figures["events"]["student.enrolled"] == 400
    assert "His mother takes everything back." in told


async def test_a_folder_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "letters.txt").write_text("mine")
    process = await begun(tmp_path)
    async with asyncio.timeout(SECONDS_MAX):
        told, _ = await process.communicate()
    assert process.returncode == 1
    assert "does not touch it" in told.decode()
    assert (tmp_path / "data" / "letters.txt").read_text() == "mine"
