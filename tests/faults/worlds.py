"""Whole worlds in virtual time: two logs, their processes and clients, under seeded faults.

`python -m tests.faults.worlds --worlds 1000` plays many, `--seed N` one of them with its story.
A world is its seed: who runs, who asks what, what breaks and when, and who goes first each time two
could. After the storm everything is mended; then every promise is judged on what lies there.
"""

import argparse
import asyncio
import contextlib
import gc
import io
import multiprocessing
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from hashlib import sha256
from os import cpu_count
from pathlib import Path
from time import perf_counter

from rich.progress import track

from tests.faults.checker import Finding
from tests.faults.judging import findings
from tests.faults.loop import Stuck
from tests.faults.report import Report
from tests.faults.weather import Line
from tests.faults.world import World

CHUNK = 25


@dataclass
class Verdict:
    """How a world ended. `digest` is of everything that happened in it and lies there now."""

    seed: int
    findings: list[str] = field(default_factory=list)
    faults: Counter[str] = field(default_factory=Counter)
    commits: int = 0
    unknown: int = 0
    steps: int = 0
    digest: str = ""
    lines: list[Line] = field(default_factory=list)


def play(seed: int) -> Verdict:
    """One world from its birth to its judgement. The same seed, the same everything."""
    world = World.of(seed)
    found: list[str] = []
    doors = world.doors

    async def main() -> None:
        try:
            await world.live()
        except TimeoutError:
            clients = "; ".join(world.waits()[:3]) or "a client has no answer"
            found.append(f"hangs: {clients}")
        for host in world.hosts:
            found.extend(host.broken())
        found.extend(findings(doors, world.told))

    collects = gc.isenabled()
    gc.disable()  # a world is thrown away as a whole
    with contextlib.redirect_stderr(io.StringIO()):
        try:
            world.loop.run(main())
        except Stuck as stuck:
            found.append(str(stuck))
        finally:
            if collects:
                gc.enable()
    found += [f"a mistake: {mistake!r}" for mistake in world.loop.mistakes]
    return Verdict(
        seed,
        found,
        doors.weather.faults,
        sum(len(store.oplog) for store in doors.stores.values()),
        world.told.unknown,
        world.loop.steps,
        _digest(world),
        doors.weather.lines,
    )


def _digest(world: World) -> str:
    """Of all that happened and all that is stored."""
    doors, whole = world.doors, sha256()
    for line in doors.weather.lines:
        whole.update(repr(line).encode())
    for store in doors.stores.values():
        for row in store.oplog:
            whole.update(row.body)
    for place, topic in doors.bus.topics.items():
        whole.update(repr((place, [commit.hash for commit in topic])).encode())
    for documents in doors.documents.values():
        for kind, there in documents.kinds.items():
            whole.update(repr((kind, list(there.items()))).encode())
    whole.update(repr((list(doors.keys.kept.items()), world.loop.now, world.loop.steps)).encode())
    return whole.hexdigest()


@dataclass
class Sum:
    """Many worlds together."""

    worlds: int = 0
    commits: int = 0
    unknown: int = 0
    steps: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)

    def add(self, verdict: Verdict) -> None:
        self.worlds += 1
        self.commits += verdict.commits
        self.unknown += verdict.unknown
        self.steps += verdict.steps
        self.faults += verdict.faults
        again = f"python -m tests.faults.worlds --seed {verdict.seed}"
        self.findings += [Finding(again, what) for what in verdict.findings]

    def join(self, other: "Sum") -> None:
        self.worlds += other.worlds
        self.commits += other.commits
        self.unknown += other.unknown
        self.steps += other.steps
        self.faults += other.faults
        self.findings += other.findings


def _chunk(seeds: Sequence[int]) -> Sum:
    found = Sum()
    for seed in seeds:
        found.add(play(seed))
    return found


def run(seeds: Iterable[int], progress: Callable[[int], None] = lambda _: None) -> Sum:
    """Plays them all, on every core. `progress` hears how many more were played."""
    total = Sum()
    for part in _parts(list(seeds)):
        total.join(part)
        progress(part.worlds)
    return total


def _parts(seeds: Sequence[int]) -> Iterator[Sum]:
    """New processes that inherit nothing: whoever asks may have threads of its own."""
    chunks = [seeds[at : at + CHUNK] for at in range(0, len(seeds), CHUNK)]
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(cpu_count(), fresh) as pool:
        yield from pool.map(_chunk, chunks)


async def proved(
    _folder: Path, seed: int, progress: Callable[[float, str], None], worlds: int = 20_000
) -> Report:
    """The run for the long table: so many worlds from a seed on."""
    began, played = perf_counter(), 0

    def more(count: int) -> None:
        nonlocal played
        played += count
        progress(played / worlds, f"{played} worlds")

    total = await asyncio.to_thread(run, range(seed, seed + worlds), more)
    figures = {
        "worlds": total.worlds,
        "commits": total.commits,
        "unknown outcomes": total.unknown,
        "steps": total.steps,
    }
    void = "" if total.unknown > worlds else "the worlds were too kind"
    seconds = perf_counter() - began
    return Report("worlds", seed, seconds, total.faults, figures, total.findings, void)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.worlds")
    parser.add_argument("--seed", type=int, help="one world, with its story")
    parser.add_argument("--worlds", type=int, default=1_000, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    given = parser.parse_args()
    return _one(given.seed) if given.seed is not None else _many(given.first, given.worlds)


def _one(seed: int) -> int:
    verdict = play(seed)
    for line in verdict.lines:
        print(f"{line.at:9.4f}  {line.who:30} {line.what}")
    print(f"\n{verdict.commits} commits, {verdict.steps} steps, digest {verdict.digest}")
    print(*(verdict.findings or ["every promise kept"]), sep="\n")
    return int(bool(verdict.findings))


def _many(first: int, count: int) -> int:
    began, total = perf_counter(), Sum()
    chunks = -(-count // CHUNK)
    for part in track(_parts(range(first, first + count)), "worlds", chunks):
        total.join(part)
    seconds = perf_counter() - began
    print(f"{total.worlds} worlds in {seconds:.1f} s, {total.worlds / seconds:.0f} a second")
    print(f"{total.commits} commits, {total.unknown} unknown outcomes, {total.steps} steps")
    print(", ".join(f"{name} {times}" for name, times in total.faults.most_common()))
    for finding in total.findings:
        print(f"{finding.what}\n    {finding.rule}")
    return int(bool(total.findings))


if __name__ == "__main__":
    sys.exit(main())
