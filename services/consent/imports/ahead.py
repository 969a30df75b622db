"""Takes the new students of a large file into the log by drafts of a process beside this one.

This process makes the keys durable first and appends what comes back; the index judges. Whoever is
not settled here, for whatever reason, is asked about in the ordinary way. Names and keys of the
students go through the pipe between the two processes and nowhere else.
"""

import asyncio
import os
import pickle
import sys
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager, suppress
from itertools import compress

from libs.common.append import Appended
from libs.common.beside import beside
from libs.common.commit import Draft
from libs.common.errors import Forgotten, TooLarge, Unavailable, WrongVersion
from libs.common.messages import Stamp
from libs.common.personal import KeyClass
from libs.common.sealing import Offers
from libs.common.service import Running
from libs.common.telemetry import current, log, span
from services.consent.imports.asking import Job
from services.consent.imports.drafting import LENGTH_BYTES, Part
from services.consent.imports.plan import Plan

NEW_MIN = 5_000
"""For fewer a process, which takes half a second to begin, does not pay."""
TOGETHER = 250
"""Students of one part of the file: drafts of one answer, keys made in one go."""
AHEAD_MAX = 3
"""Parts of a file that may be on their way at once."""
DRAFTER = (sys.executable, "-m", "services.consent.imports.drafting")
LOST = (asyncio.IncompleteReadError, OSError)
"""How it shows that the process is gone, or could not begin."""


async def take_new(running: Running, job: Job, plan: Plan) -> Collection[str]:
    """Takes new students into the log; returns the sourcedIds of those who are settled."""
    new = [source for source in plan.roster.taken if plan.students[source] not in job.enrolled]
    settled: set[str] = set()
    if len(new) < NEW_MIN or os.cpu_count() == 1:
        return settled
    parts = [new[start : start + TOGETHER] for start in range(0, len(new), TOGETHER)]
    try:
        async with beside(DRAFTER) as (asked, answers):
            free = asyncio.Semaphore(AHEAD_MAX)
            async with _sending(running, job, plan, parts, asked, free):
                for part in parts:
                    with span("decide", log=running.appender.log):
                        drafts, trace = await _read(answers), current()
                    free.release()
                    taken = await _append(running, job, drafts, trace)
                    if any(drafts) and not any(taken):
                        break  # the store is away: the ordinary way knows how to wait
                    settled.update(compress(part, taken))
    except LOST as lost:
        left = len(new) - len(settled)  # they are asked about in the ordinary way
        log("drafting.lost", error=type(lost).__name__, count=left)
    return settled


@asynccontextmanager
async def _sending(
    running: Running,
    job: Job,
    plan: Plan,
    parts: Sequence[Sequence[str]],
    asked: asyncio.StreamWriter,
    free: asyncio.Semaphore,
) -> AsyncIterator[None]:
    """A few parts ahead of what comes back; raises what kept it from sending."""

    async def send() -> None:
        try:
            for sources in parts:
                await free.acquire()
                some = plan.part(sources)
                keys = await _new_keys(running, list(some.students.values()))
                stamp = Stamp(running.clock.now(), job.wish.actor)
                words = pickle.dumps(Part(job.wish.id, some, stamp, keys), pickle.HIGHEST_PROTOCOL)
                asked.writelines((len(words).to_bytes(LENGTH_BYTES), words))
                await asked.drain()
        finally:
            asked.close()  # nobody waits for an answer to what was not sent

    sender = asyncio.create_task(send())
    try:
        yield
    finally:
        if not sender.done():
            sender.cancel()
        [failed] = await asyncio.gather(sender, return_exceptions=True)
        if isinstance(failed, Exception):
            raise failed


async def _new_keys(running: Running, refs: Sequence[str]) -> dict[str, bytes]:
    """Durable keys of those who had none. Whoever has one has been here before, or is erased."""
    made: Offers = {}
    with suppress(Forgotten):
        await running.keyring.prepare(refs, {KeyClass.IDENTITY}, made)
    return {subject: key for (subject, _), key in made.items()}


async def _read(answers: asyncio.StreamReader) -> list[Draft | None]:
    length = int.from_bytes(await answers.readexactly(LENGTH_BYTES))
    words = await answers.readexactly(length)
    drafts: list[Draft | None] = pickle.loads(words)  # noqa: S301 - by our own process
    return drafts


async def _append(
    running: Running, job: Job, drafts: Sequence[Draft | None], trace: str | None
) -> list[bool]:
    """Which of them are settled."""
    some = [draft._replace(trace=trace) if trace else draft for draft in drafts if draft]
    offered = map(running.appender.offered, some)
    outcomes = iter(await asyncio.gather(*offered, return_exceptions=True))
    return [draft is not None and _settled(job, next(outcomes)) for draft in drafts]


def _settled(job: Job, outcome: Appended | BaseException) -> bool:
    if isinstance(outcome, WrongVersion | TooLarge | Unavailable):
        return False
    if isinstance(outcome, BaseException):
        raise outcome
    job.progress.reached(outcome.commit.position)
    job.progress.counts["again" if outcome.replayed else "added"] += 1
    return True
