"""A disk that is full, or fails to sync, in the middle of an append: the caller hears of it, the
service says that it is not ready, and afterwards the log is clean and everything goes on.

By the limit on the size of a process's files everywhere; with the tests marked `engines`, where
strace is found, also by errors that it puts in the place of system calls (which makes them slow).
"""

import asyncio
import resource
import shutil
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from libs.common.adapters import open_store
from libs.common.verify import verify
from libs.common.web.client import Reply
from tests.faults.clients import REGISTRAR
from tests.serving import Served, served

WAIT_SECONDS_MAX = 60.0
LOOK_SECONDS = 0.02
TOLD_MIN = 3
"""So many commands are refused while the disk is bad."""
STRACE = shutil.which("strace")
Bad = Callable[[Served], AbstractAsyncContextManager[None]]


def _enrolment(number: int) -> dict[str, object]:
    return {
        "school": "sch_1",
        "names": {"given": "Synthetic", "family": "Child"},
        "birth_date": "2014-05-04",
        "grade": "05",
        "language": "en",
        "roster_id": f"roster-{number}",
    }


async def _enrol(platform: Served, number: int) -> Reply:
    body = _enrolment(number)
    return await platform.ask(REGISTRAR, "POST", "/v1/students", body, f"enrol-{number:06}")


async def _ready(platform: Served) -> bool:
    return (await platform._clients[0].request("GET", "/health/ready")).status == 200


async def _until(what: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(WAIT_SECONDS_MAX):
        while not await what():
            await asyncio.sleep(LOOK_SECONDS)  # between two looks


def _pid(platform: Served) -> int:
    process = platform.programs[0].process
    assert process is not None
    return process.pid


def _log(platform: Served) -> Path:
    return platform.folder / "data" / "consent" / "log.db"


@asynccontextmanager
async def full(platform: Served) -> AsyncIterator[None]:
    """No file of the process may grow beyond the size that the write-ahead log has now."""
    pid = _pid(platform)
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    size = _log(platform).with_name("log.db-wal").stat().st_size
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, before[1]))
    yield
    resource.prlimit(pid, resource.RLIMIT_FSIZE, before)


def injected(call: str, error: str) -> Bad:
    """Every such call on the log's write-ahead log fails, by strace."""

    @asynccontextmanager
    async def failing(platform: Served) -> AsyncIterator[None]:
        assert STRACE is not None
        path = _log(platform).with_name("log.db-wal")
        words = ["-f", "-p", str(_pid(platform)), "-P", str(path), "-e", f"trace={call}"]
        words += ["-e", f"inject={call}:error={error}"]
        said = platform.folder / "strace"
        with said.open("wb") as output:
            tracer = await asyncio.create_subprocess_exec(STRACE, *words, stderr=output)
        try:
            await _until(lambda: _attached(tracer, said))
            yield
        finally:
            if tracer.returncode is None:
                tracer.send_signal(signal.SIGINT)  # lets go of the process
            await tracer.wait()

    return failing


async def _attached(tracer: asyncio.subprocess.Process, said: Path) -> bool:
    if tracer.returncode is not None:
        pytest.skip(f"strace may not attach here: {said.read_text()[-200:]}")
    return "attached" in said.read_text()


async def _survived(folder: Path, bad: Bad) -> None:
    async with served(folder) as platform:
        assert (await _enrol(platform, 0)).status == 201
        async with bad(platform):
            told: list[Reply] = []
            number = 0
            while len(told) < TOLD_MIN:
                number += 1
                reply = await _enrol(platform, number)
                assert number < 1_000, "the disk is not bad"
                if reply.status != 201:
                    told.append(reply)
            assert {reply.status for reply in told} == {503}
            assert all("retry-after" in reply.headers for reply in told)
            assert not await _ready(platform)
        await _until(lambda: _ready(platform))  # nobody is sent to one that is not ready
        replies = [await _enrol(platform, one) for one in range(number + 2)]
        assert {reply.status for reply in replies} == {201}
        await platform.stop()
        positions = {reply.headers["position"] for reply in replies}
        assert len(positions) == len(replies)
        async with open_store(f"sqlite://{folder}/data", "consent", readonly=True) as store:
            commits = (await verify(store)).commits
            assert commits >= len(replies)


async def test_a_full_disk_is_told_and_survived(tmp_path: Path) -> None:
    await _survived(tmp_path, full)


@pytest.mark.engines
@pytest.mark.skipif(STRACE is None, reason="no strace found: it puts errors in place of calls")
@pytest.mark.parametrize(("call", "error"), [("fdatasync", "EIO"), ("pwrite64", "ENOSPC")])
async def test_errors_of_the_disk_are_told_and_survived(
    tmp_path: Path, call: str, error: str
) -> None:
    await _survived(tmp_path, injected(call, error))
