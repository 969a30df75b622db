"""Loops live exactly as long as the service: restarted when away, fatal when mistaken."""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable

import pytest

from libs.common import tasks
from libs.common.errors import Conflict, Fork, StoreAway
from libs.common.tasks import Died, Loops, reached, running
from libs.common.web.client import Client, Reply
from tests.common.ports_free import free_port

STARTED_SECONDS_MAX = 20.0

SERVICE = """
import asyncio, sys
from libs.common.web.application import application
from libs.common.tasks import Leaving, running, run, serve

async def forever():
    try:
        await asyncio.Event().wait()
    finally:
        sys.stderr.write("loop ended\\n")

async def mistaken():
    await asyncio.Event().wait() if sys.argv[2] == "well" else await asyncio.sleep(0)
    raise ValueError("Hanna")

async def main():
    async with running({"relay": forever, "project": mistaken}) as loops:
        leaving = Leaving(float(sys.argv[3]))
        await serve(application("beads", loops.ready), "127.0.0.1", int(sys.argv[1]), leaving)
    sys.stderr.write("closed\\n")

run(main())
"""


async def forever() -> None:
    await asyncio.Event().wait()


@pytest.fixture
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "PAUSE_SECONDS_MIN", 0.0)


async def test_leaving_the_block_ends_the_loops() -> None:
    ended: list[str] = []

    async def loop() -> None:
        try:
            await forever()
        finally:
            ended.append("relay")

    async with running({"relay": loop}) as loops:
        await asyncio.sleep(0)
        assert loops.ready() == []
    assert ended == ["relay"]


@pytest.mark.usefixtures("no_pause")
async def test_a_loop_whose_store_is_away_starts_again() -> None:
    errors: list[Exception] = [StoreAway("x"), OSError("x"), TimeoutError("x"), Conflict()]
    started = asyncio.Event()

    async def loop() -> None:
        if errors:
            raise errors.pop()
        started.set()
        await forever()

    stops: list[None] = []
    async with running({"relay": loop}, stop=lambda: stops.append(None)) as loops:
        await started.wait()
        assert (loops.dead(), loops.ready()) == ([], [])
    assert stops == []


@pytest.mark.usefixtures("no_pause")
async def test_a_loop_that_a_library_cancelled_starts_again() -> None:
    started = asyncio.Event()
    turns: list[None] = []

    async def loop() -> None:
        turns.append(None)
        if len(turns) == 1:
            theirs = asyncio.create_task(forever())
            theirs.cancel()
            await theirs
        started.set()
        await forever()

    async with running({"project": loop}) as loops:
        await started.wait()
        assert loops.dead() == []


async def test_a_loop_that_waits_to_start_again_is_said_to_be_away() -> None:
    tried = asyncio.Event()

    async def loop() -> None:
        tried.set()
        raise StoreAway("x")

    async with running({"relay": loop}) as loops:
        await tried.wait()
        while not loops.away():
            await asyncio.sleep(0)
        assert loops.away() == ["relay"]
        assert loops.ready() == []


@pytest.mark.usefixtures("no_pause")
async def test_what_needs_the_store_from_the_start_waits_until_it_answers() -> None:
    answers = [StoreAway("x"), StoreAway("x"), None]

    async def opening() -> str:
        if away := answers.pop(0):
            raise away
        return "open"

    assert await reached(opening) == "open"
    assert answers == []


async def test_a_store_that_never_answers_is_not_waited_for_without_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def opening() -> None:
        raise StoreAway("x")

    monkeypatch.setattr(tasks, "START_SECONDS_MAX", 0.0)
    with pytest.raises(StoreAway):
        await reached(opening)


async def dying(loop: Callable[[], Awaitable[None]]) -> tuple[Loops, int]:
    """The state after a loop has died, and how often the process was asked to stop."""
    stopped, stops = asyncio.Event(), 0

    def stop() -> None:
        nonlocal stops
        stops += 1
        stopped.set()

    found: list[Loops] = []

    async def living() -> None:
        async with running({"project": loop, "relay": forever}, stop=stop) as loops:
            found.append(loops)
            await stopped.wait()

    with pytest.raises(Died, match="project"):
        await living()
    return found[0], stops


async def test_a_mistake_makes_the_service_not_ready_and_asks_it_to_stop(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async def mistaken() -> None:
        raise ValueError("Hanna")

    loops, stops = await dying(mistaken)
    assert stops == 1
    assert loops.ready() == ["loop project: ValueError"]
    logged = capsys.readouterr().err
    assert "loop.died" in logged
    assert '"where":"test_tasks.py:' in logged, "files and lines"
    assert "Hanna" not in logged


async def test_a_loop_that_just_ends_is_a_mistake_too() -> None:
    async def ending() -> None:
        await asyncio.sleep(0)

    loops, _ = await dying(ending)
    assert loops.ready() == ["loop project: ended"]


async def test_work_for_the_start_may_end() -> None:
    done = asyncio.Event()

    async def erase() -> None:
        done.set()

    async with running({"relay": forever}, once={"erasures": erase}) as loops:
        await done.wait()
        await asyncio.sleep(0)
        assert loops.ready() == []


async def test_two_histories_wait_for_a_human() -> None:
    """Starting the process again would only meet them again, so nothing asks it to stop."""

    async def forked() -> None:
        raise Fork("beads:03:7")

    stops: list[None] = []

    async def living() -> None:
        async with running({"relay": forked}, stop=lambda: stops.append(None)) as loops:
            while not loops.dead():
                await asyncio.sleep(0)
            assert loops.ready() == ["loop relay: Fork"]

    with pytest.raises(Died):
        await living()
    assert stops == []


async def start(port: int, how: str, leaves: float = 0.0) -> asyncio.subprocess.Process:
    words = (str(port), how, str(leaves))
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", SERVICE, *words, stderr=asyncio.subprocess.PIPE
    )


async def answered(client: Client) -> Reply:
    """Once it has started."""
    while True:
        try:
            return await client.request("GET", "/health/ready")
        except OSError:
            await asyncio.sleep(0.05)


async def test_sigterm_drains_loops_and_doors_and_ends_well() -> None:
    port = free_port()
    process = await start(port, "well")
    async with asyncio.timeout(STARTED_SECONDS_MAX), Client("127.0.0.1", port) as client:
        reply = await answered(client)
    assert reply.body == {"ready": True, "reasons": []}
    os.kill(process.pid, signal.SIGTERM)
    _, said = await process.communicate()
    assert process.returncode == 0, said.decode()
    assert said.decode().splitlines() == ["loop ended", "closed"]


async def test_who_leaves_goes_on_answering_and_every_answer_is_the_last_on_its_connection() -> (
    None
):
    port = free_port()
    process = await start(port, "well", STARTED_SECONDS_MAX * 10)
    async with asyncio.timeout(STARTED_SECONDS_MAX), Client("127.0.0.1", port) as client:
        assert "connection" not in (await answered(client)).headers
        os.kill(process.pid, signal.SIGTERM)
        while "connection" not in (await client.request("GET", "/health/ready")).headers:
            await asyncio.sleep(0.05)  # until it has looked whether it was told to stop
        again = await client.request("GET", "/health/ready")
        assert (again.status, again.headers["connection"]) == (200, "close")
    os.kill(process.pid, signal.SIGINT)
    await process.communicate()
    assert process.returncode == 0, "a second word ends it at once"


async def test_a_service_with_a_dead_loop_ends_itself_and_not_well() -> None:
    process = await start(free_port(), "ill")
    _, said = await asyncio.wait_for(process.communicate(), STARTED_SECONDS_MAX)
    assert process.returncode == 1
    assert '"loop":"project","error":"ValueError"' in said.decode()
    assert "closed" not in said.decode()
