"""Runs in which everything that the API's description allows is sent, and much that it does not."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from random import Random
from time import monotonic

from deploy.engines import engines
from tests.canary import clean
from tests.faults.checker import Finding
from tests.faults.deployment import Progress
from tests.faults.fuzz import Fuzzed, Target, fuzz, targets
from tests.faults.proxy import Proxy, Trouble
from tests.faults.report import Report
from tests.serving import HOST, SERVICES, Served

CASES = 20_000
AWAY_CASES = 4_000
QUIET_SECONDS = (1.0, 3.0)
TROUBLE_SECONDS = (0.5, 2.0)
"""What the store's driver sits out."""
LONG_SECONDS = (7.0, 12.0)
LONG_SHARE = 0.25
"""The others last longer than its patience, so that callers hear of them; the first one is long."""
AWAY_MIN = 5
TROUBLES = (Trouble.LATENCY, Trouble.STALL, Trouble.RESET, Trouble.HALF_CLOSE, Trouble.BLACKHOLE)
ROUTES_MIN = 55
"""A run that reached fewer routes proves nothing."""


async def on_sqlite_fuzzed(
    folder: Path, seed: int, progress: Progress, cases: int = CASES
) -> Report:
    """The whole platform in one process."""
    began = monotonic()
    platform = Served(folder)
    try:
        await platform.start()
        outcomes = await _each(await targets(platform), cases, seed, progress)
    finally:
        await platform.close()
    clean(folder)
    return _report("schemas", seed, began, outcomes, {})


async def on_engines_troubled(
    folder: Path,
    seed: int,
    progress: Progress,
    cases: int = AWAY_CASES,
    away_min: int = AWAY_MIN,
) -> Report:
    """Both services on real engines, with a bad network between them and their store: 503 may be
    said, 500 never. A run that says 503 less than `away_min` times proves nothing."""
    began = monotonic()
    with _started(folder) as (kafka, mongo):
        proxy = Proxy(mongo, seed)
        async with proxy.running():
            store = f"mongodb://{HOST}:{proxy.port}/?directConnection=true"
            urls = dict.fromkeys(("STORE_URL", "VIEWS_URL", "KEYS_URL"), store)
            more = {**urls, "BUS_URL": kafka, "PREFIX": f"fuzz{seed}"}
            platform = Served(folder, [f"services.{name}" for name in SERVICES], more)
            try:
                await platform.start()
                aimed = await targets(platform, away=True)
                bad = asyncio.create_task(_bad(proxy, Random(seed)))
                outcomes = await _each(aimed, cases, seed, progress)
                bad.cancel()
                await asyncio.gather(bad, return_exceptions=True)
            finally:
                proxy.trouble = Trouble.NONE
                await platform.close()
    report = _report("schemas-troubled", seed, began, outcomes, proxy.told)
    told = report.figures.get("503", 0) + report.figures["no answer"]
    few = f"503 said {told} times, {away_min} wanted" if told < away_min else ""
    return replace(report, void=report.void or few)


@contextmanager
def _started(folder: Path) -> Iterator[tuple[str, int]]:
    """Kafka's URL and the store's port."""
    kafka = engines.start_kafka(folder / "kafka")
    try:
        mongo = engines.start_mongo(folder / "mongo")
        try:
            yield kafka.url, int(mongo.url.split(":")[2].split("/")[0])
        finally:
            mongo.stop()
    finally:
        kafka.stop()


async def _bad(proxy: Proxy, chance: Random) -> None:
    """Trouble and quiet in turn, for as long as the run lasts."""
    seconds = LONG_SECONDS
    while True:
        await asyncio.sleep(chance.uniform(*QUIET_SECONDS))  # the quiet is part of the schedule
        proxy.trouble = chance.choice(TROUBLES)
        await asyncio.sleep(chance.uniform(*seconds))  # and so is the trouble
        proxy.trouble = Trouble.NONE
        seconds = LONG_SECONDS if chance.random() < LONG_SHARE else TROUBLE_SECONDS


async def _each(aimed: Sequence[Target], cases: int, seed: int, progress: Progress) -> list[Fuzzed]:
    """The cases are shared out by the number of routes."""
    routes = [sum(len(found) for found in one.document["paths"].values()) for one in aimed]
    outcomes: list[Fuzzed] = []
    for one, count in zip(aimed, routes, strict=True):
        share = cases * count // sum(routes)
        before = sum(outcome.cases for outcome in outcomes)

        def told(sent: int, before: int = before) -> None:
            progress(min(1.0, (before + sent) / cases), f"{before + sent} requests")

        outcomes.append(await fuzz(one, share, seed, told))
    return outcomes


def _report(
    name: str, seed: int, began: float, outcomes: Sequence[Fuzzed], faults: dict[str, int]
) -> Report:
    figures = {"requests": 0, "routes": 0, "no answer": 0}
    findings = []
    for outcome in outcomes:
        figures["requests"] += outcome.cases
        figures["routes"] += len(outcome.routes)
        figures["no answer"] += outcome.lost
        for status, count in sorted(outcome.statuses.items()):
            figures[f"{status}"] = figures.get(f"{status}", 0) + count
        findings += [Finding("schemas", what) for what in outcome.findings]
    few = figures["routes"] < ROUTES_MIN
    void = f"{figures['routes']} routes, {ROUTES_MIN} wanted" if few else ""
    return Report(name, seed, monotonic() - began, faults, figures, findings, void)
