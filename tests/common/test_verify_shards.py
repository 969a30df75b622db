"""Whoever checks a log by several processes learns the same as by one, or that one was lost."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import orjson
import pytest

from libs.common.adapters import PREFIX, open_store
from libs.common.commit import Commit
from libs.common.errors import StoreAway
from libs.common.messages import Position
from libs.common.ports import SHARDS, EventStore
from libs.common.verify import Broken, Verified, Wrong, verify
from libs.common.verify_shards import CHECKER, Part, joined, part_of, verified
from tests.common.broken import forged, last_of, replace, rows_of, written
from tests.failing import Failing, FailingStore
from tests.ports.chains import LOG

COMMITS = 150
EARLIER = "2020-01-01T00:00:00.000000Z"
CHECKED_SECONDS = 60
KILLED = "import os; print(5, flush=True); os.kill(os.getpid(), 9)"
SILENT = (
    "import os, sys, time; open(sys.argv[1], 'a').write(f'{os.getpid()} ');"
    "print(5, flush=True); time.sleep(600)"
)


async def in_parts(store: EventStore, log: str = LOG) -> Verified:
    """As several processes do it, in one."""
    return joined(
        log, [await part_of(store, log, shard, lambda _: None) for shard in range(SHARDS)]
    )


async def outcome(of: Awaitable[Verified]) -> Verified | str:
    try:
        return await of
    except (Broken, StoreAway) as wrong:
        return f"{type(wrong).__name__} {wrong}"


async def same(folder: Path) -> Verified | str:
    """What both say."""
    async with open_store(f"sqlite://{folder}", LOG, readonly=True) as store:
        found = await outcome(verify(store, log=LOG))
        assert await outcome(in_parts(store)) == found
    return found


async def test_two_processes_find_the_same_in_a_whole_log_as_one(tmp_path: Path) -> None:
    await written(tmp_path)
    url, read = f"sqlite://{tmp_path}", list[int]()
    found = await verified(url, LOG, read.append, processes=2)
    assert found == await verified(url, LOG) == await same(tmp_path)
    assert found.commits == sum(read) == COMMITS


Twice = Callable[[Commit, Commit], Commit]


@pytest.mark.parametrize(
    ("twice", "what"),
    [
        (lambda end, other: forged(end, command=other), Wrong.COMMAND),
        (lambda end, other: forged(end, command=other, at=EARLIER), Wrong.COMMAND),
        (lambda end, other: forged(end, command=other, prev="ab" * 32), Wrong.CHAIN),
    ],
)
async def test_a_command_in_two_shards_is_found_where_one_process_finds_it(
    tmp_path: Path, twice: Twice, what: Wrong
) -> None:
    await written(tmp_path)
    commits = await rows_of(tmp_path)
    first, second = last_of(commits), last_of(commits, 1)
    replace(tmp_path, second, twice(second, str(first.command)))  # type: ignore[arg-type]  # its id
    assert await same(tmp_path) == f"Broken {second.position}: {what}"
    with pytest.raises(Broken, match=what) as found:
        await verified(f"sqlite://{tmp_path}", LOG, processes=2)
    assert found.value.position == second.position


async def test_what_is_wrong_first_is_told_of_several(tmp_path: Path) -> None:
    await written(tmp_path)
    commits = await rows_of(tmp_path)
    ends = [last_of(commits, place) for place in range(3)]
    replace(tmp_path, ends[2], forged(ends[2], at=EARLIER))
    replace(tmp_path, ends[1], forged(ends[1], command=str(ends[0].command)))
    assert await same(tmp_path) == f"Broken {ends[1].position}: {Wrong.COMMAND}"
    replace(tmp_path, ends[0], forged(ends[0], log="shells"))
    assert await same(tmp_path) == f"Broken {ends[0].position}: {Wrong.FOREIGN}"


async def test_a_store_that_fails_is_no_whole_log_whichever_read_it_is(tmp_path: Path) -> None:
    await written(tmp_path)
    async with open_store(f"sqlite://{tmp_path}", LOG, readonly=True) as store:
        for number in range(1, SHARDS + 1):
            failing = [FailingStore(store, Failing(number, armed=True)) for _ in range(2)]
            assert await outcome(in_parts(failing[0])) == await outcome(verify(failing[1]))


def test_a_shard_that_nobody_looked_at_is_no_whole_log() -> None:
    parts = [Part(shard, 0, {}, None, None, b"") for shard in range(SHARDS)]
    assert joined(LOG, parts).commits == 0
    with pytest.raises(StoreAway, match="lost"):
        joined(LOG, parts[:-1])
    with pytest.raises(Broken) as found:
        joined(LOG, [parts[0]._replace(wrong=(3, Wrong.CHAIN), away="behind it")])
    assert found.value.position == Position(LOG, 0, 3)


async def test_a_process_that_is_killed_is_an_error(tmp_path: Path) -> None:
    await written(tmp_path)
    with pytest.raises(StoreAway, match="lost"):
        await verified(
            f"sqlite://{tmp_path}", LOG, processes=2, checker=(sys.executable, "-c", KILLED)
        )


async def test_who_stops_asking_leaves_no_process_behind(tmp_path: Path) -> None:
    await written(tmp_path)
    begun, told = asyncio.Event(), tmp_path / "pids"
    checker = (sys.executable, "-c", SILENT, str(told))
    asking = asyncio.create_task(
        verified(f"sqlite://{tmp_path}", LOG, lambda _: begun.set(), processes=2, checker=checker)
    )
    async with asyncio.timeout(CHECKED_SECONDS):
        await begun.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    for pid in told.read_text().split():
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid), 0)


async def test_a_process_hears_no_ctrl_c_and_ends_with_whoever_asked(tmp_path: Path) -> None:
    await written(tmp_path)
    with subprocess.Popen(CHECKER, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write(orjson.dumps([f"sqlite://{tmp_path}", LOG, PREFIX]) + b"\n0\n")
        process.stdin.flush()
        assert process.stdout.readline()
        process.send_signal(signal.SIGINT)
        process.stdin.write(b"1\n")
        answers, _ = process.communicate(timeout=CHECKED_SECONDS)
    assert process.returncode == 0
    assert b"\n[1," in answers
