"""Runs in which processes and engines are killed under load, and judged afterwards."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import NamedTuple

from tests.faults.checker import Finding, judge
from tests.faults.child import ASKED_WHERE
from tests.faults.clients import Town, client
from tests.faults.deployment import Deployment, Progress, on_engines, on_sqlite
from tests.faults.history import OK, Recorder
from tests.faults.proxy import Trouble
from tests.faults.report import Report
from tests.faults.schedule import HEAL, Fault, Kind, counted, schedule

CLIENTS = 16
LOAD_SECONDS_MAX = 120.0
LOOK_SECONDS = 0.02
TELLING_SECONDS = 2.0
NEWS_EVERY = 8
"""So many faults, then news must have come through from one service to the other."""
KILL, FREEZE = "kill", "freeze"
API, RELAY, PROJECT = "api", "relay", "project"


class Sensitivity(NamedTuple):
    """A run that met less than this proves nothing."""

    unknown: int
    stored_unknown: int


ON_SQLITE = Sensitivity(1_000, 30)
ON_ENGINES = Sensitivity(300, 10)


async def on_sqlite_killed(
    folder: Path,
    seed: int,
    progress: Progress,
    kills: int = 200,
    enough: Sensitivity = ON_SQLITE,
) -> Report:
    """kill -9 of the one process, as often as asked."""
    faults = schedule(seed, [Kind(KILL, ["services"], (0.0, 0.05), kills)], (0.3, 0.9))
    async with on_sqlite(folder, seed) as deployment:
        await deployment.start()
        return await under_load(deployment, "sqlite-kills", faults, enough, progress)


def engine_faults(seed: int, processes: int, brokers: int, stores: int) -> list[Fault]:
    """Kills of API, relay and project processes of both services, of the broker and the store."""
    parts = [f"{service}-{part}" for service in ("consent", "referrals") for part in PART_ODDS]
    kinds = [
        Kind(KILL, parts, (0.0, 0.2), processes),
        Kind(KILL, ["kafka"], (0.0, 0.5), brokers),
        Kind(KILL, ["mongo"], (0.0, 0.5), stores),
    ]
    return schedule(seed, kinds, (0.3, 1.2))


PART_ODDS = (API, API, API, API, RELAY, PROJECT)
"""Mostly the API: only there callers lose replies."""


async def on_engines_killed(
    folder: Path,
    seed: int,
    progress: Progress,
    counts: tuple[int, int, int] = (100, 50, 50),
    enough: Sensitivity = ON_ENGINES,
) -> Report:
    """kill -9 of API, relay and project processes, of the broker and of the store."""
    faults = engine_faults(seed, *counts)
    async with on_engines(folder, seed) as deployment:
        await deployment.start()
        return await under_load(deployment, "engine-kills", faults, enough, progress)


@dataclass(eq=False)
class Load:
    """Clients at work on a deployment."""

    deployment: Deployment
    town: Town
    tasks: "list[asyncio.Task[None]]"

    @property
    def wanted(self) -> int:
        """So many answers more are load enough to go on."""
        return len(self.tasks) // 2

    def check(self) -> None:
        """Raises what a client met."""
        for task in self.tasks:
            if task.done():
                task.result()


@asynccontextmanager
async def loading(deployment: Deployment, clients: int = CLIENTS) -> AsyncIterator[Load]:
    """Load inside the block; at its end everybody finishes what was begun."""
    history = Recorder(deployment.history)
    town = Town(deployment.asked, history, deployment.seed, deployment.today())
    tasks = [asyncio.create_task(client(town, number)) for number in range(clients)]
    try:
        yield Load(deployment, town, tasks)
        town.stopping.set()
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        history.close()


async def under_load(
    deployment: Deployment,
    name: str,
    faults: Sequence[Fault],
    enough: Sensitivity,
    progress: Progress,
) -> Report:
    """The load begins, the faults come, all is healed, everything catches up, and is judged."""
    began = monotonic()
    async with loading(deployment) as load:
        await faulted(load, faults, progress)
    return await judged(load, name, faults, enough, began, progress)


async def faulted(load: Load, faults: Sequence[Fault], progress: Progress) -> None:
    for number, fault in enumerate(faults):
        progress(number / len(faults), f"{fault.what} {fault.whom}")
        if fault.what != HEAL:
            await loaded(load, news=number % NEWS_EVERY == 0)
            await asyncio.sleep(fault.calm_seconds)  # the fault comes at any moment
            await _one(load.deployment, fault)
    progress(1.0, "finishing what was begun")


async def judged(
    load: Load,
    name: str,
    faults: Sequence[Fault],
    enough: Sensitivity,
    began: float,
    progress: Progress,
    found: Sequence[Finding] = (),
) -> Report:
    """`found`: what the run itself has met already."""
    deployment, town = load.deployment, load.town
    progress(1.0, "catching up")
    findings = [*found, *(Finding("answer", what) for what in town.unexpected)]
    try:
        await deployment.drained()
    except TimeoutError as late:
        findings.append(Finding("catching up", str(late)))
    progress(1.0, "judging")
    verdict = await judge(await deployment.evidence())
    progress(1.0, "looking for planted names")  # what is done with every run's folder at its end
    figures = {**verdict.figures, "cases": town.cases}
    return Report(
        name,
        deployment.seed,
        monotonic() - began,
        counted(faults),
        figures,
        (*findings, *verdict.findings),
        missed(figures, enough),
    )


def missed(figures: Mapping[str, int], enough: Sensitivity) -> str:
    """What there was too little of for the run to prove anything."""
    if figures["unknown"] < enough.unknown:
        return f"{figures['unknown']} unknown outcomes, {enough.unknown} wanted"
    if figures["stored unknown"] < enough.stored_unknown:
        return f"{figures['stored unknown']} of them stored, {enough.stored_unknown} wanted"
    return "" if figures["by policies"] else "no policy asked for anything"


async def _one(deployment: Deployment, fault: Fault) -> None:
    """The fault, for as long as it lasts, and its end."""
    if fault.whom in deployment.proxies:
        proxy = deployment.proxies[fault.whom]
        proxy.trouble = Trouble(fault.what)
        await asyncio.sleep(fault.seconds)  # how long it lasts is the fault
        proxy.trouble = Trouble.NONE
        return
    child = deployment.supervisor.children[fault.whom]
    if fault.what == FREEZE:
        child.freeze()
        await asyncio.sleep(fault.seconds)  # how long it is frozen is the fault
        child.thaw()
        return
    await child.kill()
    await asyncio.sleep(fault.seconds)  # how long it is away is the fault
    await child.start()


async def loaded(load: Load, news: bool = False) -> None:
    """Until there is load again, and referrals of new students; raises what a client met."""
    town = load.town
    wanted, raised = town.history.counts[OK] + load.wanted, len(town.raised) + news
    until = monotonic() + LOAD_SECONDS_MAX
    while town.history.counts[OK] < wanted or len(town.raised) < raised:
        load.check()
        if monotonic() > until:
            for program in load.deployment.programs:
                program.send(ASKED_WHERE)
            await asyncio.sleep(TELLING_SECONDS)  # waits: their logs are to hold it
            raise TimeoutError("the load does not go on: the logs say where each process waits")
        await asyncio.sleep(LOOK_SECONDS)  # until there is load again
