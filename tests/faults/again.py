"""Judges what an earlier run has left (`--keep`) once more, with today's checker."""

from functools import partial
from pathlib import Path
from time import monotonic

from tests.faults.checker import judge
from tests.faults.deployment import on_engines, on_sqlite
from tests.faults.report import Report

SEED = 0
"""Nothing here is left to chance."""


async def judged_again(folder: Path) -> Report:
    """`folder` is one run's. Engines are started on what they had written; services are not."""
    began = monotonic()
    brokers = len(list(folder.glob("kafka*")))
    place = partial(on_engines, brokers=brokers) if brokers else on_sqlite
    async with place(folder, SEED) as deployment:
        verdict = await judge(await deployment.evidence())
    return Report(
        folder.name, SEED, monotonic() - began, {}, verdict.figures, tuple(verdict.findings)
    )
