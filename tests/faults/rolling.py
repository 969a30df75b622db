"""A rolling update under load: every process told to stop, awaited, started anew, none is missed.

Nobody may notice: what was acknowledged is there, no request is lost on its way, no read fails, and
whoever is refused is told to come again.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from time import monotonic
from typing import NamedTuple

from tests.faults.away import NOTHING
from tests.faults.balancer import Replica
from tests.faults.checker import Finding
from tests.faults.deployment import PARTS, Deployment, Progress, on_engines
from tests.faults.history import UNKNOWN, UNSENT, Operation, read
from tests.faults.kills import CLIENTS, Load, judged, loaded, loading
from tests.faults.report import Report
from tests.faults.schedule import Fault
from tests.faults.supervisor import Program
from tests.serving import SERVICES

REPLICAS = 2
TOLD_SECONDS = (0.1, 1.5)
"""The gateway hears so long after a process was told to stop that nothing is to be sent there."""
UNDER_WAY_SECONDS_MAX = 20.0
STOP_SECONDS_MAX = 45.0
"""As long as a pod may take beside its first 5 s, with room for the rest."""
Stop = Callable[[Program], Awaitable[None]]


EVERY = tuple(f"{service}-{part}" for service in SERVICES for part in PARTS)


class Form(NamedTuple):
    """How much of it: processes one after the other, then all parts at once, as `kubectl apply`
    does; `under_way` requests must have been met by stops, and `awaiting` reads must have named a
    position, else nothing was shown."""

    parts: Sequence[str] = EVERY
    singly: int = 1
    at_once: int = 1
    clients: int = CLIENTS
    under_way: int = 8
    awaiting: int = 30


WHOLE = Form()
SHORT = Form(singly=0, clients=6, under_way=1, awaiting=1)


@dataclass(eq=False)
class Rolling:
    """`met` counts requests that were under way where a process was told to stop."""

    load: Load
    chance: Random
    stop: Stop
    progress: Progress
    total: int
    met: int = 0
    done: Counter[str] = field(default_factory=Counter)
    longest_seconds: float = 0.0
    findings: list[Finding] = field(default_factory=list)

    async def one(self, name: str) -> None:
        """Told to stop while requests are under way there, started anew, awaited."""
        self.progress(sum(self.done.values()) / self.total, f"rolling {name}")
        deployment = self.load.deployment
        program = deployment.supervisor.children[name]
        assert isinstance(program, Program)
        replica = deployment.replica(name)
        if replica is not None:
            await self._busy(replica)
        began = monotonic()
        telling = asyncio.create_task(self._told(replica))
        await self.stop(program)
        self.longest_seconds = max(self.longest_seconds, monotonic() - began)
        await telling
        assert program.process is not None
        if program.process.returncode != 0:
            self.findings.append(Finding("stop", f"{name} ended with {program.process.returncode}"))
        await program.start()
        self.done[name] += 1
        if replica is not None:
            replica.listed = True
            await replica.is_ready.wait()
        self.load.check()

    async def _busy(self, replica: Replica) -> None:
        """Until something is under way there, or nothing comes."""
        until = monotonic() + UNDER_WAY_SECONDS_MAX
        while not replica.under_way and monotonic() < until:
            await asyncio.sleep(0)  # a request lasts some milliseconds
        self.met += replica.under_way

    async def _told(self, replica: Replica | None) -> None:
        if replica is not None:
            await asyncio.sleep(self.chance.uniform(*TOLD_SECONDS))  # news takes its time
            replica.unlist()


async def gracefully(program: Program) -> None:
    """SIGTERM; a kill when it takes longer than a pod is given."""
    program.terminate()
    try:
        async with asyncio.timeout(STOP_SECONDS_MAX):
            await program.reap()
    except TimeoutError:
        await program.kill()


async def rolled(
    folder: Path,
    seed: int,
    progress: Progress,
    form: Form = WHOLE,
    stop: Stop = gracefully,
) -> Report:
    began = monotonic()
    async with on_engines(folder, seed, replicas=REPLICAS) as deployment:
        await deployment.start()
        async with loading(deployment, form.clients) as load:
            await loaded(load)
            rolling = await _rolled(load, Random(seed), form, stop, progress)
        findings = [*rolling.findings, *_missed(deployment, form, rolling), *_noticed(deployment)]
        report = await judged(load, "rolling", _faults(rolling), NOTHING, began, progress, findings)
    answers = sum(balancer.told.total() for balancer in deployment.balancers.values())
    elsewhere = sum(b.told["sent elsewhere"] for b in deployment.balancers.values())
    waits = awaited(read(deployment.history))
    figures = {
        **report.figures,
        "answers passed on": answers,
        "sent elsewhere": elsewhere,
        "reads that named a position": len(waits),
        "longest of these ms": int(max(waits, default=0.0) * 1_000),
        "under way at a stop": rolling.met,
        "longest stop ms": int(rolling.longest_seconds * 1_000),
    }
    void = report.void
    if rolling.met < form.under_way:
        void = f"{rolling.met} requests under way at a stop, {form.under_way} wanted"
    if len(waits) < form.awaiting:
        void = f"{len(waits)} reads named a position, {form.awaiting} wanted"
    return replace(report, figures=figures, void=void)


async def _rolled(
    load: Load, chance: Random, form: Form, stop: Stop, progress: Progress
) -> Rolling:
    parts = list(form.parts)
    total = len(parts) * REPLICAS * (form.singly + form.at_once)
    rolling = Rolling(load, chance, stop, progress, total)
    for _ in range(form.singly):
        chance.shuffle(parts)
        for part in parts:
            await _part(rolling, part)
    for _ in range(form.at_once):
        async with asyncio.TaskGroup() as group:
            for part in parts:
                group.create_task(_part(rolling, part))
    return rolling


async def _part(rolling: Rolling, part: str) -> None:
    """One replica after the other."""
    for number in range(1, REPLICAS + 1):
        await rolling.one(f"{part}-{number}")
        await loaded(rolling.load)


def _faults(rolling: Rolling) -> list[Fault]:
    return [Fault(0.0, "restart", name, 0.0) for name in sorted(rolling.done.elements())]


def _missed(deployment: Deployment, form: Form, rolling: Rolling) -> Iterator[Finding]:
    for program in deployment.programs:
        wanted = program.name.startswith(tuple(form.parts))
        if rolling.done[program.name] < wanted * (form.singly + form.at_once):
            yield Finding("restart", f"{program.name} was replaced too seldom")


def _noticed(deployment: Deployment) -> Iterator[Finding]:
    """What callers must not notice: by the gateway's count, and by their own history."""
    told = sum((balancer.told for balancer in deployment.balancers.values()), Counter[str]())
    yield from failed(told)
    yield from unanswered(read(deployment.history))


def awaited(operations: Sequence[Operation]) -> list[float]:
    """The seconds that each read took whose reader had asked to see a position."""
    return [
        (attempt.ended - attempt.invoked) / 1e9
        for operation in operations
        if operation.at_least is not None
        for attempt in operation.attempts
        if attempt.ended is not None
    ]


def failed(told: Mapping[str, int]) -> Iterator[Finding]:
    for what, times in sorted(told.items()):
        method, _, status = what.partition(" ")
        bad = method == "GET" and status >= "500"  # also one that is to come again
        if bad or what in ("lost", "nobody ready"):
            yield Finding("noticed", f"{what}, {times} times")


def unanswered(operations: Sequence[Operation]) -> Iterator[Finding]:
    for operation in operations:
        for attempt in operation.attempts:
            heard = attempt.heard
            if heard.outcome in (UNKNOWN, UNSENT):
                what = f"operation {operation.number}: {heard.outcome} {heard.status} {heard.code}"
                yield Finding("noticed", what)
