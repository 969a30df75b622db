"""Nothing that the supervisor started outlives its end, and a frozen child is only frozen."""

import asyncio
import os
from pathlib import Path

import pytest

from tests.faults.supervisor import Program, Supervisor

FAMILY = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(child.pid, flush=True)
time.sleep(600)
"""
SECONDS_MAX = 60.0


def _family(folder: Path) -> tuple[Program, Path]:
    log = folder / "log"

    async def ready() -> bool:
        return bool(log.read_text().strip())

    return Program("family", ("-c", FAMILY), {}, log, ready), log


def _state(pid: int) -> str:
    """As the kernel tells it; empty when there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return ""


async def _until_one_of(pid: int, *wanted: str) -> None:
    async with asyncio.timeout(SECONDS_MAX):
        while _state(pid) not in wanted:
            await asyncio.sleep(0.01)  # between two looks


async def test_a_kill_takes_the_whole_group_and_reaps_it(tmp_path: Path) -> None:
    supervisor = Supervisor()
    program, log = _family(tmp_path)
    supervisor.own(program)
    await program.start()
    grandchild, process = int(log.read_text()), program.process
    assert process is not None
    assert os.getpgid(grandchild) == process.pid
    program.freeze()
    await _until_one_of(process.pid, "T")
    await supervisor.close()
    assert process.returncode == -9
    await _until_one_of(grandchild, "", "Z")  # a zombie is its new parent's to reap


async def test_who_ends_before_being_ready_is_told_with_its_last_words(tmp_path: Path) -> None:
    async def never() -> bool:
        return False

    words = ("-c", "print('no such folder', flush=True)")
    program = Program("brief", words, {}, tmp_path / "log", never)
    with pytest.raises(AssertionError, match="no such folder"):
        await program.start()
    await program.kill()
