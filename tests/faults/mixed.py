"""Two releases at work side by side, as docs/operate.md says: projectors first, then who may write.

The newer one writes events in shapes that the older one does not know. Whoever is refused is told
to come again, nothing is lost, and in the end the newer release's own judge finds nothing.
"""

import asyncio
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random
from time import monotonic

from tests.faults.checker import Finding
from tests.faults.deployment import PARTS, Deployment, Progress, on_engines
from tests.faults.evidence import published
from tests.faults.history import AWAY, Operation, read
from tests.faults.kills import CLIENTS, Load, loaded, loading
from tests.faults.report import Report
from tests.faults.rolling import REPLICAS, Rolling, gracefully, unanswered
from tests.faults.supervisor import Program
from tests.serving import SERVICES, run_as

RELEASE = "shapes"
CHILD = "tests.faults.child"
BESIDE_MIN = 4
"""So many times the older release is to say 503 before the update goes on."""
BESIDE_SECONDS_MAX = 60.0
JUDGING_SECONDS_MAX = 900.0
LOOK_SECONDS = 0.1


async def two_releases(
    folder: Path, seed: int, progress: Progress, clients: int = CLIENTS
) -> Report:
    began = monotonic()
    async with on_engines(folder, seed, replicas=REPLICAS) as deployment:
        await deployment.start()
        async with loading(deployment, clients) as load:
            await loaded(load)
            total = REPLICAS * len(SERVICES) * len(PARTS)
            rolling = Rolling(load, Random(seed), gracefully, progress, total)
            await _updated(rolling)
            progress(1.0, "finishing what was begun")
        progress(1.0, "catching up")
        await deployment.drained()
        shapes = await _shapes(deployment)
        await asyncio.gather(*(program.end() for program in deployment.programs))
    progress(1.0, "judging")
    findings = [*rolling.findings, *(Finding("answer", one) for one in load.town.unexpected)]
    findings += [*unanswered(read(deployment.history)), *await _judged(folder)]
    told = _told(read(deployment.history))
    figures = {"cases": load.town.cases, **told, **shapes}
    return Report(
        "two-releases",
        seed,
        monotonic() - began,
        {f"restart {name}": times for name, times in sorted(rolling.done.items())},
        figures,
        findings,
        _void(figures),
    )


async def _updated(rolling: Rolling) -> None:
    """In the order of the page; with both releases of an API beside each other for a while."""
    for part in ("project", "api", "relay"):
        for number in range(1, REPLICAS + 1):
            for service in SERVICES:
                await _one(rolling, f"{service}-{part}-{number}")
            if part == "api" and number == 1:
                await _beside(rolling.load)


async def _one(rolling: Rolling, name: str) -> None:
    program = rolling.load.deployment.supervisor.children[name]
    assert isinstance(program, Program)
    words = list(program.arguments)
    program.arguments = (*run_as(RELEASE, CHILD), *words[words.index(CHILD) + 1 :])
    await rolling.one(name)
    await loaded(rolling.load)


async def _beside(load: Load) -> None:
    counts, until = load.town.history.counts, monotonic() + BESIDE_SECONDS_MAX
    wanted = counts[AWAY] + BESIDE_MIN
    while counts[AWAY] < wanted and monotonic() < until:
        load.check()
        await asyncio.sleep(LOOK_SECONDS)  # until the older one has met what it does not know


async def _shapes(deployment: Deployment) -> Counter[str]:
    """Events of the topics by their shape."""
    found: Counter[str] = Counter()
    for name in SERVICES:
        for commit in await published(deployment.places, name):
            for event in commit.content["events"]:
                if event["type"] in ("consent.revoked", "referral.sent"):
                    found[f"{event['type']} v{event['v']}"] += 1
    return found


async def _judged(folder: Path) -> list[Finding]:
    """By a process of the newer release: only that one can read everything."""
    words = (*run_as(RELEASE, "tests.faults"), "--judge", str(folder))
    judging = await asyncio.create_subprocess_exec(
        sys.executable,
        *words,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(JUDGING_SECONDS_MAX):
        said, _ = await judging.communicate()
    if judging.returncode == 0:
        return []
    lines = [line for line in said.decode().splitlines() if line.startswith("* ")]
    return [Finding("judged by the newer release", line) for line in lines]


def _told(operations: list[Operation]) -> dict[str, int]:
    outcomes = Counter(
        f"{operation.method} {attempt.heard.outcome}"
        for operation in operations
        for attempt in operation.attempts
    )
    return dict(sorted(outcomes.items()))


def _void(figures: dict[str, int]) -> str:
    return ", ".join(_lacking(figures))


def _lacking(figures: dict[str, int]) -> Iterator[str]:
    for kind in ("consent.revoked", "referral.sent"):
        if not figures.get(f"{kind} v2"):
            yield f"no {kind} in a new shape"
    if not figures.get("POST away"):
        yield "the older release met too little of the newer one's"
