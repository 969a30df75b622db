"""Whatever is wrong with a log, its topic or its readers is found and named; nothing else is."""

import asyncio
import os
import sys
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from libs.common.adapters import open_bus, open_store
from libs.common.commit import Commit
from libs.common.consume import CURSORS, Cursor
from libs.common.messages import Position
from libs.common.operators.compare import Apart
from libs.common.operators.console import NOT_WELL, WELL, Operator
from libs.common.operators.fsck import ELSEWHERE, NOWHERE_YET, Findings, Reader, checked, fsck
from libs.common.ports import Query
from libs.common.settings import Settings
from libs.common.verify import Broken, Wrong, surveyed, verify
from tests.common.beads import add
from tests.common.broken import behind_its_back, forged, last_of, replace, rows_of, written
from tests.common.doors import ROOMS, alive, open_doors, service, settled, until
from tests.common.test_verify_shards import same
from tests.common.topics import MemoryBus
from tests.ports.chains import LOG
from tests.serving import DIRECTORY

Forge = Callable[[Commit, Commit], Commit]
"""The last commit of a shard, and the last of another one."""

FORGERIES: dict[Wrong, Forge] = {
    Wrong.FOREIGN: lambda end, _: forged(end, log="shells"),
    Wrong.CHAIN: lambda end, _: forged(end, prev="ab" * 32),
    Wrong.STREAM: lambda end, _: forged(end, first=end.first + 5, last=end.last + 5),
    Wrong.VERSIONS: lambda end, _: forged(end, last=end.last + 1),
    Wrong.COMMAND: lambda end, other: forged(end, command=str(other.command)),
    Wrong.TIME: lambda end, _: forged(end, at="2020-01-01T00:00:00.000000Z"),
}

COLUMNS = {
    "stream": "pearl/elsewhere",
    "first": 77,
    "last": 78,
    "command": "0193a6c2-7d1e-5c3b-9c55-0e2f6f1f6a10",
    "types": "pearl.lost",
    "subjects": "stu_other",
    "hash": "ab" * 32,
}


async def found_in(folder: Path) -> dict[str, tuple[Position, int]]:
    findings = Findings()
    async with open_store(f"sqlite://{folder}", LOG, readonly=True) as store:
        await surveyed(store, findings.tell, log=LOG)
        if findings.found:
            with pytest.raises(Broken):
                await verify(store)
    await same(folder)
    return findings.found


async def test_a_whole_log_is_well(tmp_path: Path) -> None:
    await written(tmp_path)
    assert await found_in(tmp_path) == {}


@pytest.mark.parametrize("wrong", FORGERIES, ids=lambda wrong: wrong.name)
async def test_a_forged_commit_is_found(tmp_path: Path, wrong: Wrong) -> None:
    await written(tmp_path)
    commits = await rows_of(tmp_path)
    end, other = last_of(commits, 1), last_of(commits)
    replace(tmp_path, end, FORGERIES[wrong](end, other))
    assert await found_in(tmp_path) == {wrong: (end.position, 1)}


async def test_a_stream_in_a_strange_shard_is_found(tmp_path: Path) -> None:
    await written(tmp_path)
    commits = await rows_of(tmp_path)
    end, other = last_of(commits, 1), last_of(commits)
    away = forged(end, stream=other.stream, first=other.last + 1, last=other.last + len(end.types))
    replace(tmp_path, end, away)
    assert await found_in(tmp_path) == {Wrong.SHARD: (end.position, 1)}


@pytest.mark.parametrize("column", COLUMNS)
async def test_an_index_that_lies_is_found(tmp_path: Path, column: str) -> None:
    """What the bytes say is not enough: streams and commands are looked up by these columns."""
    await written(tmp_path)
    end = last_of(await rows_of(tmp_path))
    with behind_its_back(tmp_path) as connection:
        connection.execute(
            f"UPDATE commits SET {column} = ? WHERE shard = ? AND seq = 2",
            (COLUMNS[column], end.shard),
        )
    assert await found_in(tmp_path) == {Wrong.INDEX: (end.position._replace(seq=2), 1)}


async def test_bytes_that_were_touched_are_found(tmp_path: Path) -> None:
    await written(tmp_path)
    end = last_of(await rows_of(tmp_path))
    with behind_its_back(tmp_path) as connection:
        connection.execute(
            "UPDATE commits SET body = CAST(replace(body, 'red', 'bad') AS BLOB)"
            " WHERE shard = ? AND seq = 2",
            (end.shard,),
        )
    second, third = end.position._replace(seq=2), end.position._replace(seq=3)
    assert await found_in(tmp_path) == {Wrong.INDEX: (second, 1), Wrong.CHAIN: (third, 1)}


async def test_bytes_that_are_no_commit_are_found(tmp_path: Path) -> None:
    await written(tmp_path)
    end = last_of(await rows_of(tmp_path))
    with behind_its_back(tmp_path) as connection:
        connection.execute(
            "UPDATE commits SET body = x'7b7d' WHERE shard = ? AND seq = ?", (end.shard, end.seq)
        )
    assert await found_in(tmp_path) == {Wrong.UNREADABLE: (end.position, 1)}


async def test_a_missing_commit_is_found(tmp_path: Path) -> None:
    await written(tmp_path)
    end = last_of(await rows_of(tmp_path))
    with behind_its_back(tmp_path) as connection:
        connection.execute(
            "DELETE FROM commits WHERE shard = ? AND seq = ?", (end.shard, end.seq - 1)
        )
    found = await found_in(tmp_path)
    assert found[Wrong.HOLE] == (end.position._replace(seq=end.seq - 1), 1)
    assert found.keys() <= {Wrong.HOLE, Wrong.STREAM}


Say = Callable[[list[Commit]], list[Commit]]
"""From the commits of one shard to what lies in its topic."""

TOPICS: dict[str, tuple[Say, dict[Apart, int]]] = {
    "as it was sent": (lambda rows: rows, {}),
    "sent again by a relay": (lambda rows: rows[:4] + rows[1:3] + rows[2:], {}),
    "an end that is on its way": (lambda rows: rows[:-2], {}),
    "a gap that was healed": (lambda rows: rows[:2] + rows[4:5] + rows[1:], {}),
    "a gap": (lambda rows: rows[:2] + rows[3:], {Apart.GAP: 3}),
    "a lost beginning": (lambda rows: rows[1:], {Apart.GAP: 1}),
    "a gap behind a duplicate": (lambda rows: [*rows[:2], rows[4], rows[1]], {Apart.GAP: 3}),
    "another history": (
        lambda rows: [*rows[:-1], forged(rows[-1], trace="other")],
        {Apart.FORK: -1},
    ),
    "two histories in itself": (lambda rows: [*rows, forged(rows[1], trace="x")], {Apart.FORK: 2}),
    "a commit of another log": (
        lambda rows: [forged(rows[0], log="shells"), *rows],
        {Apart.UNREADABLE: 1},
    ),
    "a commit of another shard": (
        lambda rows: [*rows, forged(rows[0], shard=(rows[0].shard + 1) % 16)],
        {Apart.UNREADABLE: 0},
    ),
}


@pytest.mark.parametrize("name", TOPICS)
async def test_a_topic_tells_what_the_store_tells(tmp_path: Path, name: str) -> None:
    await written(tmp_path)
    commits = await rows_of(tmp_path)
    shard = last_of(commits).shard
    rows = [commit for commit in commits if commit.shard == shard]
    assert len(rows) > 5
    say, wrong = TOPICS[name]
    bus = MemoryBus({(LOG, shard): say(rows)})
    seqs = {what: seq if seq > 0 else len(rows) + 1 + seq for what, seq in wrong.items()}
    async with open_store(f"sqlite://{tmp_path}", LOG, readonly=True) as store:
        seen = await checked(store, bus, bus, LOG, [])
    assert seen.findings.found == {
        what: (Position(LOG, shard, seq), 1) for what, seq in seqs.items()
    }


async def test_a_store_that_lost_its_end_is_behind_its_topic(tmp_path: Path) -> None:
    await written(tmp_path)
    commits = await rows_of(tmp_path)
    end = last_of(commits)
    bus = MemoryBus({(LOG, end.shard): [row for row in commits if row.shard == end.shard]})
    with behind_its_back(tmp_path) as connection:
        gone = "DELETE FROM commits WHERE shard = ? AND seq > ?"
        connection.execute(gone, (end.shard, end.seq - 2))
    async with open_store(f"sqlite://{tmp_path}", LOG, readonly=True) as store:
        seen = await checked(store, bus, bus, LOG, [])
    assert seen.findings.found == {Apart.AHEAD: (end.position._replace(seq=end.seq - 1), 2)}


async def test_readers_stand_on_the_log(tmp_path: Path) -> None:
    await written(tmp_path)
    end = last_of(await rows_of(tmp_path))

    def reader(name: str, seq: int, leaf: str, log: str = LOG) -> Reader:
        return Reader(name, log, end.shard, Cursor(seq, leaf, 0))

    readers = [
        reader("views", end.seq, end.hash),
        reader("ahead", end.seq + 1, end.hash),
        reader("astray", end.seq - 1, end.hash),
        reader("neighbour", 1, end.hash, "shells"),
    ]
    async with (
        open_store(f"sqlite://{tmp_path}", LOG, readonly=True) as store,
        open_bus(f"sqlite://{tmp_path}") as bus,
    ):
        seen = await checked(store, None, bus, LOG, readers)
    assert seen.findings.found == {
        f"{NOWHERE_YET}: ahead": (end.position._replace(seq=end.seq + 1), 1),
        f"{ELSEWHERE}: astray": (end.position._replace(seq=end.seq - 1), 1),
        f"{NOWHERE_YET}: neighbour": (Position("shells", end.shard, 1), 1),
    }


def told(folder: Path, words: tuple[str, ...] = (), **more: str) -> tuple[Operator, StringIO]:
    """An operator of the beads' service, and the page that its commands are told on."""
    given = {"DATA_DIR": str(folder), "KEK_FILE": str(folder.parent / "kek"), **more}
    page = StringIO()
    return Operator(Settings.of("beads", given), [ROOMS], words, Console(file=page)), page


async def test_an_operator_is_told_in_words_also_while_the_service_works(tmp_path: Path) -> None:
    operator, page = told(tmp_path / "data")
    async with open_doors(tmp_path / "data") as doors:
        running = await service(doors)
        async with alive(running):
            await running.handle(add(1, "red"))
            await running.handle(add(2, "blue"))
            await settled(running, doors.store)

            async def pausing() -> bool:
                """Cursors are stored when there is a pause."""
                found = await doors.documents.find(CURSORS, Query())
                return sum("seq" in doc for doc in found.docs) == 6

            await until(pausing)
            assert await fsck(operator) == WELL
    assert page.getvalue().splitlines() == [
        "beads: 4 commits, 4 events, 3 streams; 6 cursors of readers",
        "beads: well",
    ]


async def test_an_operator_is_told_of_the_first_bad_position(tmp_path: Path) -> None:
    operator, page = told(tmp_path / "data")
    async with open_doors(tmp_path / "data") as doors:
        position = (await (await service(doors)).handle(add(1, "red"))).position
    with behind_its_back(tmp_path / "data", "beads") as connection:
        connection.execute("UPDATE commits SET types = 'bead.lost'")
    assert await fsck(operator) == NOT_WELL
    assert page.getvalue().splitlines()[1:] == [f"  {position}  {Wrong.INDEX}", "beads: NOT well"]


async def test_a_service_that_never_wrote_is_told_of(tmp_path: Path) -> None:
    code, out = await ran(tmp_path, "services.consent", "fsck")
    assert (code, "is not there" in out) == (NOT_WELL, True), out


async def ran(folder: Path, module: str, *words: str) -> tuple[int, str]:
    """A command of a service as it is typed."""
    directory = folder / "directory.json"
    directory.write_bytes(DIRECTORY)
    environ: dict[str, Any] = {
        **os.environ,
        "DATA_DIR": str(folder / "data"),
        "KEK_FILE": str(folder / "kek"),
        "DIRECTORY_FILE": str(directory),
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, *words, env=environ,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    out, _ = await process.communicate()
    return process.returncode or 0, out.decode()
