"""Runs in which an engine is away for longer than anybody waits, and the network is bad.

While Kafka is away writes go on and readers are told the truth; while the store is away everybody
hears 503 with Retry-After, nobody 500, and nothing is acknowledged. Afterwards all is there.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from time import monotonic, monotonic_ns

from libs.common.web.client import Client, Reply
from tests.faults import edges
from tests.faults.checker import Finding
from tests.faults.clients import HOST, TEACHER, GaveUp, Person, Town
from tests.faults.deployment import Deployment, Progress, on_engines
from tests.faults.history import AWAY, OK, Operation, read
from tests.faults.kills import FREEZE, Load, Sensitivity, faulted, judged, loaded, loading
from tests.faults.proxy import Trouble
from tests.faults.report import Report
from tests.faults.schedule import Fault, Kind, schedule

NOTHING = Sensitivity(0, 0)
ENOUGH_FREEZES = Sensitivity(100, 0)
PROBES_MIN = 5
"""Each thing that must be so while an engine is away is seen so often at least."""
PROBE_PAUSE_SECONDS = 0.5
PATIENCE_SECONDS = 2
"""What a read waits for news that cannot come: many are to ask meanwhile."""
AGAIN_TRIES_MAX = 240
GRACE_NS = 1_000_000_000
"""A reply that was on its way when the engine went, or came just after it was back."""
LOOK_SECONDS = 0.05


async def kafka_away(folder: Path, seed: int, progress: Progress, seconds: float = 180.0) -> Report:
    """Nothing is distributed for so long; both services take commands all the same."""
    fault = Fault(0.0, "kill", "kafka", seconds)
    began = monotonic()
    async with on_engines(folder, seed) as deployment:
        for program in deployment.programs:
            patience = {"REACHED_SECONDS": str(PATIENCE_SECONDS)}
            program.environ = {**program.environ, **patience}
        await deployment.start()
        async with loading(deployment) as load, probing(load.town) as probe:
            await loaded(load)
            await probe.prepared(load)
            kafka = deployment.supervisor.children["kafka"]
            await kafka.kill()
            until = monotonic() + seconds
            while monotonic() < until:
                progress(1 - (until - monotonic()) / seconds, "kafka is away")
                await probe.once()
            await kafka.start()
            progress(1.0, "kafka is back")
            await probe.caught_up()
        findings = probe.findings()
        return await judged(load, "kafka-away", [fault], NOTHING, began, progress, findings)


@dataclass(eq=False)
class Probe:
    """Somebody who adds to one referral, and insists on reading what was added."""

    person: Person
    counts: Counter[str] = field(default_factory=Counter)
    path: str = ""
    last: Reply | None = None

    async def prepared(self, load: Load) -> None:
        """Takes the first referral that the load has raised."""
        while not load.town.raised:
            load.check()
            await asyncio.sleep(LOOK_SECONDS)  # until there is one
        self.path = f"/v1/referrals/{load.town.raised[0]}"

    async def once(self) -> None:
        """One command, one read of its effect, both answered while nothing is distributed."""
        words = {"setting": "school", "words": f"Synthetic {sum(self.counts.values())}."}
        path = f"{self.path}/concerns"
        try:
            self.last = await self.person.command(TEACHER, "referrals", path, words)
        except GaveUp:
            self.counts["not written"] += 1
            return
        self.counts["written"] += 1
        heard = await self.person.read(TEACHER, self.path, self._stream(), self.last)
        behind = heard.outcome == AWAY and heard.retry_after
        self.counts["told that it is behind" if behind else "told something else"] += 1
        await asyncio.sleep(PROBE_PAUSE_SECONDS)  # waits: probes are to leave room for the load

    async def caught_up(self) -> None:
        """The same read is answered once all has been distributed."""
        for _ in range(AGAIN_TRIES_MAX):
            heard = await self.person.read(TEACHER, self.path, self._stream(), self.last)
            if heard.outcome == OK:
                self.counts["read afterwards"] += 1
                return
            await asyncio.sleep(PROBE_PAUSE_SECONDS)  # as it is told to

    def findings(self) -> list[Finding]:
        found = []
        for what in ("written", "told that it is behind"):
            if self.counts[what] < PROBES_MIN:
                found.append(Finding("while away", f"{what} only {self.counts[what]} times"))
        for what in ("not written", "told something else"):
            if self.counts[what]:
                found.append(Finding("while away", f"{what} {self.counts[what]} times"))
        if not self.counts["read afterwards"]:
            found.append(Finding("catching up", "the reader was never answered"))
        return found

    def _stream(self) -> str:
        return f"referral/{self.path.rpartition('/')[2]}"


@asynccontextmanager
async def probing(town: Town) -> AsyncIterator[Probe]:
    async with AsyncExitStack() as stack:
        places = {
            service: await stack.enter_async_context(Client(HOST, port, 1))
            for service, port in town.ports.items()
        }
        yield Probe(Person(town, 99, places, Random(town.seed)))


async def store_away(folder: Path, seed: int, progress: Progress, seconds: float = 30.0) -> Report:
    """The store is dead for so long, and later as long frozen."""
    faults = [Fault(2.0, "kill", "mongo", seconds), Fault(2.0, FREEZE, "mongo", seconds)]
    began = monotonic()
    spans = []
    async with on_engines(folder, seed) as deployment:
        await deployment.start()
        async with loading(deployment) as load:
            for number, fault in enumerate(faults):
                progress(number / len(faults), f"{fault.what} {fault.whom}")
                await loaded(load)
                await asyncio.sleep(fault.calm_seconds)  # some load in between
                mongo = deployment.supervisor.children["mongo"]
                await (mongo.kill() if fault.what == "kill" else _frozen(deployment))
                start = monotonic_ns()
                await asyncio.sleep(fault.seconds)  # how long it is away is the fault
                spans.append((start, monotonic_ns()))
                if fault.what == "kill":
                    await mongo.start()
                mongo.thaw()
            await loaded(load)
        findings = false_successes(read(deployment.history), spans)
        return await judged(load, "store-away", faults, NOTHING, began, progress, findings)


async def _frozen(deployment: Deployment) -> None:
    deployment.supervisor.children["mongo"].freeze()


def false_successes(
    operations: Sequence[Operation], spans: Sequence[tuple[int, int]]
) -> list[Finding]:
    """While the store was away nothing was acknowledged, and enough was told to come back."""
    found = []
    for start, end in spans:
        told_away = 0
        for operation in operations:
            for invoked, ended, heard in operation.attempts:
                inside = invoked > start + GRACE_NS and ended is not None and ended < end
                if not inside or operation.key is None:
                    continue
                told_away += heard.outcome == AWAY
                if heard.outcome == OK:
                    found.append(Finding("false success", f"operation {operation.number}"))
        if told_away < PROBES_MIN:
            found.append(Finding("while away", f"only {told_away} were told to come back"))
    return found


NETWORK = tuple(one.value for one in Trouble if one is not Trouble.NONE)
EDGES = ("edge-consent", "edge-referrals", edges.STORE, edges.BUS, edges.RELAY)
FROZEN = ("consent-api", "referrals-api", "consent-relay", "referrals-project", "mongo", "kafka")


async def network(
    folder: Path,
    seed: int,
    progress: Progress,
    times: int = 6,
    freezes: int = 10,
    enough: Sensitivity = ENOUGH_FREEZES,
) -> Report:
    """Every kind of bad network on the edges to the services, the store and Kafka; frozen ones."""
    kinds = [Kind(what, EDGES, (0.5, 3.0), times) for what in NETWORK]
    kinds.append(Kind(FREEZE, FROZEN, (1.0, 6.0), freezes))
    faults = schedule(seed, kinds, (1.0, 3.0))
    began = monotonic()
    async with on_engines(folder, seed, proxied=True) as deployment:
        await deployment.start()
        async with loading(deployment) as load:
            await faulted(load, faults, progress)
        return await judged(load, "network", faults, enough, began, progress)
