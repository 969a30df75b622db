"""The main job, small: twice the same figures, and the same on real Kafka and MongoDB."""

import asyncio
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest

STUDENTS, REFERRED = "600", "30"
SECONDS_MAX = 600.0


async def played(folder: Path, apart: int = 0, **settings: str) -> dict[str, Any]:
    """The figures of a demo in a process of its own, as a new user starts it."""
    process = await asyncio.create_subprocess_exec(
        "env",
        *(f"{name}={value}" for name, value in settings.items()),
        sys.executable,
        "-m",
        "demo",
        "--students",
        STUDENTS,
        "--referred",
        REFERRED,
        "--data",
        str(folder / "data"),
        "--beside",
        str(folder / "beside"),
        "--apart",
        str(apart),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(SECONDS_MAX):
        said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()[-2_000:]
    found: dict[str, Any] = orjson.loads((folder / "data" / "summary.json").read_bytes())
    return found


async def test_a_seeded_year_gives_the_same_figures_twice(tmp_path: Path) -> None:
    first = await played(tmp_path / "first")
    assert first == await played(tmp_path / "second")
    assert first["students"] == int(STUDENTS)


@pytest.mark.engines
async def test_real_engines_and_two_of_each_part_give_the_figures_of_the_embedded_run(
    tmp_path: Path, kafka: str, mongo: str
) -> None:
    wanted = await played(tmp_path / "embedded")
    assert await played(tmp_path / "real", STORE_URL=mongo, BUS_URL=kafka) == wanted
    assert await played(tmp_path / "apart", 2, STORE_URL=mongo, BUS_URL=kafka) == wanted
