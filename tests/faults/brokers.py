"""Runs on three brokers of which one is always in trouble, and with relays that race each other.

Nothing acknowledged is lost or doubled by a broker that dies or freezes, and a relay that wakes
after its rivals have done its work costs duplicates, never a gap.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from time import monotonic

from deploy.engines import engines
from libs.common.commit import Commit
from libs.common.messages import Position
from tests.faults.checker import Finding
from tests.faults.deployment import Deployment, Progress, on_engines, silent
from tests.faults.evidence import published
from tests.faults.kills import FREEZE, KILL, RELAY, Sensitivity, faulted, judged, loaded, loading
from tests.faults.report import Report
from tests.faults.schedule import Fault, Kind, schedule
from tests.serving import SERVICES

BROKERS = ("kafka-1", "kafka-2", "kafka-3")
NOTHING = Sensitivity(0, 0)
"""Callers are answered from the store: a broker or a relay in trouble costs them no reply."""
AWAY_SECONDS = 2.0, 8.0
"""Longer than a broker's session, so that others must take over what it led."""
FAULTS_A_SECOND_MAX = 1.0
RIVALS = (2, 3)
"""The relays of each service beside its first."""
EPOCHS = "*.commits-*/leader-epoch-checkpoint"
"""What a broker writes of each shard: a version, a count, and a line for each time of a leader."""
EPOCH_LINES = 2


async def three_brokers(
    folder: Path, seed: int, progress: Progress, seconds: float = 900.0
) -> Report:
    """One broker at a time is killed, or frozen for longer than its session, for so long."""
    times = int(seconds * FAULTS_A_SECOND_MAX) // 2 + 1
    kinds = [Kind(what, BROKERS, AWAY_SECONDS, times) for what in (KILL, FREEZE)]
    done: list[Fault] = []
    began = monotonic()
    async with on_engines(folder, seed, brokers=len(BROKERS)) as deployment:
        await deployment.start()
        async with loading(deployment) as load:
            start = monotonic()
            for fault in schedule(seed, kinds, (2.0, 5.0)):
                share = (monotonic() - start) / seconds
                if share > 1:
                    break
                progress(share, f"{fault.what} {fault.whom}")
                await faulted(load, [fault], silent)
                done.append(fault)
        report = await judged(load, "three-brokers", done, NOTHING, began, progress)
        report = await with_topics(report, deployment)
    changes = leader_changes(folder)
    void = report.void or ("" if changes else "no shard ever changed its leader")
    return replace(report, figures={**report.figures, "leader changes": changes}, void=void)


async def three_relays(
    folder: Path, seed: int, progress: Progress, seconds: float = 20.0
) -> Report:
    """Three relays of each service at once; the first of each is frozen under load for so long."""
    faults = [Fault(2.0, FREEZE, f"{service}-{RELAY}", seconds) for service in SERVICES]
    began = monotonic()
    async with on_engines(folder, seed) as deployment:
        for service in SERVICES:
            for number in RIVALS:
                name = f"{service}-{RELAY}-{number}"
                deployment.program(name, f"services.{service}", engines.free_port(), (RELAY,))
        await deployment.start()
        async with loading(deployment) as load:
            await faulted(load, faults, progress)
            await loaded(load)
        report = await judged(load, "three-relays", faults, NOTHING, began, progress)
        report = await with_topics(report, deployment)
    void = report.void or ("" if report.figures["published twice"] else "the relays never met")
    return replace(report, void=void)


async def with_topics(report: Report, deployment: Deployment) -> Report:
    """What lies in the topics besides: how often something twice, and whether anything too early.

    A relay sends what follows the topic's end, so that no record lies there before the one that it
    follows: that is more than readers need, and less would be a surprise.
    """
    twice, findings = 0, list(report.findings)
    for service in SERVICES:
        records = await published(deployment.places, service)
        twice += len(records) - len({commit.position for commit in records})
        findings += [Finding("topic", f"{position} came too early") for position in early(records)]
    return replace(
        report, figures={**report.figures, "published twice": twice}, findings=tuple(findings)
    )


def early(records: Iterable[Commit]) -> Iterator[Position]:
    """Records that lie before the one that they follow."""
    reached = Counter[int]()
    for commit in records:
        if commit.seq > reached[commit.shard] + 1:
            yield commit.position
        reached[commit.shard] = max(reached[commit.shard], commit.seq)


def leader_changes(folder: Path) -> int:
    """How often a shard was led by another broker than before, as the brokers of `folder` wrote it
    down."""
    found = Counter[str]()
    for broker in BROKERS:
        for file in (folder / broker).glob(f"data/{EPOCHS}"):
            times = len(_lines(file)) - EPOCH_LINES
            found[file.parent.name] = max(found[file.parent.name], times - 1)
    return found.total()


def _lines(file: Path) -> Sequence[str]:
    return file.read_text().splitlines()
