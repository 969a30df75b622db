"""Processes that append to the same streams of one store, and what must be so afterwards.

`python -m tests.faults.rivals URL PREFIX SEED COUNT` is one of them. It asks for COUNT commands and
writes a line for each: the command, the position where it lies, or what it was told instead.
"""

import asyncio
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from random import Random
from time import monotonic
from typing import NamedTuple
from uuid import UUID

from deploy.engines import engines
from libs.common.adapters import open_store
from libs.common.append import Appender
from libs.common.clock import SystemClock
from libs.common.commit import Commit, Draft
from libs.common.errors import Unavailable, WrongVersion
from libs.common.ports import EventStore
from libs.common.verify import Broken, verify
from tests.faults.checker import Finding
from tests.faults.deployment import Progress
from tests.faults.evidence import stored
from tests.faults.report import Report
from tests.faults.supervisor import Program, Supervisor
from tests.ports.chains import EVENT, LOG, SOMEBODY

PREFIX = "rivals"
STREAMS = 40
CALLERS = 32
PROCESSES = 2
WRONG = "wrong-version"
TRIES_MAX = 200
PAUSE_SECONDS = 0.1
LOOK_SECONDS = 0.5
SECONDS_MAX = 3_600.0


class Told(NamedTuple):
    """`where`: the position that was acknowledged, or `wrong-version`."""

    command: str
    where: str


async def rival(store: EventStore, seed: int, count: int) -> list[Told]:
    """`count` commands by callers who know no more of a stream than this process has seen."""
    appender, chance = Appender(store, LOG, SystemClock()), Random(seed)
    versions: dict[str, int] = {}
    told: list[Told] = []

    async def caller(number: int) -> None:
        for _ in range(number, count, CALLERS):
            stream = f"pearl/{chance.randrange(STREAMS)}"
            command = UUID(int=chance.getrandbits(128), version=4)
            draft = _draft(stream, versions.get(stream, 0), command)
            where = await _asked(appender, draft)
            told.append(Told(str(command), where))
            if where == WRONG:
                async for commit in store.stream(stream, versions.get(stream, 0)):
                    versions[stream] = max(versions.get(stream, 0), commit.last)
            else:
                versions[stream] = max(versions.get(stream, 0), draft.expected + 1)

    await asyncio.gather(*map(caller, range(min(CALLERS, count))))
    await appender.close()
    return told


def _draft(stream: str, expected: int, command: UUID) -> Draft:
    return Draft(stream, expected, (EVENT,), ("pearl.threaded",), command, command, SOMEBODY)


async def _asked(appender: Appender, draft: Draft) -> str:
    """Until the outcome is known; an unknown one is asked again as the same command."""
    for _ in range(TRIES_MAX):
        try:
            return str((await appender.append(draft)).commit.position)
        except WrongVersion:
            return WRONG
        except Unavailable:
            await asyncio.sleep(PAUSE_SECONDS)  # as a caller is told to
    raise TimeoutError("never answered")


def unlike(commits: Sequence[Commit], told: Iterable[Told]) -> list[Finding]:
    """What was acknowledged lies where it was said, once; what was refused does not; and there is
    nothing else."""
    places: dict[str, list[str]] = {}
    for commit in commits:
        places.setdefault(str(commit.command), []).append(str(commit.position))
    found = []
    for command, where in told:
        lying = places.pop(command, [])
        if lying != ([] if where == WRONG else [where]):
            found.append(Finding("append", f"{where} was told, {lying or 'nothing'} is there"))
    found += [Finding("append", f"{lying} was asked by nobody") for lying in places.values()]
    return found


async def two_processes(
    folder: Path, seed: int, progress: Progress, count: int = 100_000
) -> Report:
    """Two processes share `count` commands over the same streams of one server."""
    began = monotonic()
    folder.mkdir(parents=True, exist_ok=True)
    supervisor = Supervisor()
    mongo = supervisor.engine("mongo", engines.start_mongo, folder / "mongo")
    try:
        await mongo.start()
        programs = []
        for number in range(PROCESSES):
            share = str(count // PROCESSES)
            words = ("-m", "tests.faults.rivals", mongo.url, PREFIX, f"{seed + number}", share)
            programs.append(_program(f"rival-{number}", words, folder))
            supervisor.own(programs[-1])
            await programs[-1].spawn()
        async with asyncio.timeout(SECONDS_MAX):
            ends = asyncio.gather(*(program.reap() for program in programs))
            while not ends.done():
                progress(0.5, "two processes append")
                await asyncio.wait([ends], timeout=LOOK_SECONDS)
        told = [Told(*line.split()) for p in programs for line in p.log.read_text().splitlines()]
        async with open_store(mongo.url, LOG, readonly=True, prefix=PREFIX) as store:
            commits, findings = await stored(store), list[Finding]()
            try:
                await verify(store)
            except Broken as broken:
                findings.append(Finding("whole log", str(broken)))
    finally:
        await supervisor.close()
    findings += unlike(commits, told)
    if len(told) != PROCESSES * (count // PROCESSES):
        findings.append(Finding("append", f"{len(told)} of {count} commands were answered"))
    kinds = Counter(one.where == WRONG for one in told)
    figures = {"accepted": kinds[False], "wrong version": kinds[True], "commits": len(commits)}
    void = "" if kinds[True] and kinds[False] else "the processes never met"
    seconds = monotonic() - began
    return Report("two-processes", seed, seconds, {}, figures, tuple(findings), void)


def _program(name: str, words: Sequence[str], folder: Path) -> Program:
    async def ready() -> bool:
        return True

    return Program(name, words, {}, folder / f"{name}.log", ready)


async def main() -> None:
    url, prefix, seed, count = sys.argv[1:]
    async with open_store(url, LOG, prefix=prefix) as store:
        for one in await rival(store, int(seed), int(count)):
            print(*one)


if __name__ == "__main__":
    asyncio.run(main())
