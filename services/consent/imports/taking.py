"""Runs roster imports: one at a time, all or nothing at the door, resumable behind it.

A file is read and judged before anything is stored. Then a loop of the service asks about each
student; whoever sends the file again under the same key goes on where it stopped.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import chain, islice
from typing import Any

from libs.common.directory import Directory
from libs.common.errors import Conflict, KeyReused, Missing, Refused, Unavailable
from libs.common.handle import Ask
from libs.common.messages import Stamp
from libs.common.service import Running
from libs.common.web.wellformed import Unfit
from services.consent.imports.ahead import take_new
from services.consent.imports.asking import Job, Way, Wish, answered, ask, prepare, rehearse
from services.consent.imports.judging import ACCEPTED, TOO_MANY, judged
from services.consent.imports.plan import Plan, Step
from services.consent.imports.progress import ImportPage, Progress, mode_of
from services.consent.imports.record import (
    Finished,
    FinishImport,
    Phase,
    Started,
    StartImport,
    Unstarted,
    imports,
)
from services.consent.roster.findings import Problem
from services.consent.roster.students import Roster

TOGETHER = 500
"""Students asked about at once: their keys are made in one go, and group commits fill."""
REMEMBERED_MAX = 20
"""Imports whose progress this process can tell in full; of older ones it tells the outcome."""


class NotTaken(Unfit):
    """The file is refused as a whole, before anything was stored; each problem has its place."""

    def __init__(self, code: str, roster: Roster) -> None:
        super().__init__([(_pointer(found), found.code) for found in roster.findings.listed])
        self.code = code


@dataclass(eq=False)
class Imports:
    """`offer` judges a file and hands it to `run`, a loop of the service."""

    running: Running
    directory: Directory
    _jobs: "asyncio.Queue[Job]" = field(default_factory=lambda: asyncio.Queue(1))
    _busy: str = ""
    _known: "OrderedDict[str, Progress]" = field(default_factory=OrderedDict)

    async def offer(self, data: bytes, wish: Wish) -> ImportPage:
        """Raises NotTaken, Refused (by the guard, or another one is under way), KeyReused or
        Unavailable."""
        reference = self.running.refs.of("imp_", str(wish.id))
        progress = Progress(reference, self._digest(data), wish.dry_run)
        if self._busy:
            return self._under_way(progress)
        self._busy = reference
        try:
            if not wish.dry_run and await self._finished(progress, wish):
                self._busy = ""
                return await self.page(reference)
            job = await judged(self.running, self.directory, data, wish, progress)
            if not wish.dry_run:
                _refuse(job)
                await self._start(job)
        except BaseException:
            self._busy = ""
            raise
        progress.phase = "running"
        self._remember(progress)
        self._jobs.put_nowait(job)
        return progress.page()

    async def page(self, reference: str) -> ImportPage:
        """Raises Missing."""
        progress = self._known.get(reference)
        if progress is not None:
            return progress.page()
        known = await self.running.handlers[imports.category].newest(_stream(reference))
        match known.state:
            case Finished(counts=counts):
                return ImportPage(reference=reference, phase="finished", counts=counts)
            case Started():
                phase: Phase = "elsewhere" if self.running.relayed else "stopped"
                return ImportPage(reference=reference, phase=phase)
            case _:
                raise Missing

    async def run(self) -> None:
        """The loop. An import that cannot go on stays half done, to be sent again."""
        while True:
            job = await self._jobs.get()
            try:
                await self._work(job)
                job.progress.settle("finished")
            except (Unavailable, Conflict):
                job.progress.settle("stopped")
            except BaseException:
                job.progress.settle("stopped")
                raise
            finally:
                self._busy = ""

    async def _work(self, job: Job) -> None:
        stamp = Stamp(self.running.clock.now(), job.wish.actor)
        gone = job.progress.removals.gone
        plan = job.plan
        if job.wish.dry_run:
            await self._each(job, chain(plan.takes(stamp), plan.leaves(gone, stamp)), rehearse)
            return
        if isinstance(plan, Plan):
            settled = await take_new(self.running, job, plan)
            if settled:
                plan = plan.part(source for source in plan.roster.taken if source not in settled)
        await self._each(job, chain(plan.takes(stamp), job.plan.leaves(gone, stamp)), ask)
        counts = {name: count for name, count in job.progress.counts.items() if count}
        finish = FinishImport(counts=counts, stamp=stamp)
        await answered(self.running, job.wish, _stream(job.progress.reference), finish)

    async def _each(self, job: Job, steps: Iterator[Step], way: Way) -> None:
        """While some are asked about, the keys of the next are made."""
        some = await self._next(job, steps)
        while some:
            coming = asyncio.create_task(self._next(job, steps))
            outcomes = await asyncio.gather(
                *(way(self.running, job, step) for step in some), return_exceptions=True
            )
            some = await coming
            for outcome in outcomes:
                if isinstance(outcome, BaseException):
                    raise outcome
                job.progress.counts[outcome] += 1

    async def _next(self, job: Job, steps: Iterator[Step]) -> list[Step]:
        some = list(islice(steps, TOGETHER))
        if some and not job.wish.dry_run:
            await prepare(self.running, some)
        return some

    def _under_way(self, offered: Progress) -> ImportPage:
        """The same request again is told how far it is; any other has to wait."""
        same = self._known.get(offered.reference)
        if self._busy != offered.reference or same is None:
            raise Refused("import-running", "Another roster import is under way.")
        if same.digest != offered.digest:
            raise KeyReused
        return same.page()

    async def _finished(self, progress: Progress, wish: Wish) -> bool:
        """Whether this very request was carried out to its end before. Raises KeyReused."""
        stream = _stream(progress.reference)
        known = await self.running.handlers[imports.category].newest(stream)
        if isinstance(known.state, Unstarted):
            return False
        await self.running.handle(self._started(progress, wish))
        return isinstance(known.state, Finished)

    async def _start(self, job: Job) -> None:
        roster = job.plan.roster
        about = {
            "version": roster.version,
            "students": len(roster.taken),
            "guardians": len(roster.people.guardians),
            "leaving": len(job.progress.removals.gone),
            "skipped": len(roster.present) - len(roster.taken),
            "mode": mode_of(roster),
        }
        await self.running.handle(self._started(job.progress, job.wish, about))

    def _started(
        self, progress: Progress, wish: Wish, about: dict[str, Any] | None = None
    ) -> Ask[StartImport]:
        command = StartImport(
            digest=progress.digest,
            skip_bad_rows=wish.skip_bad_rows,
            allow_removals=wish.allow_removals,
            stamp=Stamp(self.running.clock.now(), wish.actor),
            **(about or {}),
        )
        return Ask(_stream(progress.reference), command, wish.id, path=wish.path)

    def _digest(self, data: bytes) -> str:
        return self.running.refs.of("", sha256(data).hexdigest())

    def _remember(self, progress: Progress) -> None:
        self._known[progress.reference] = progress
        self._known.move_to_end(progress.reference)
        if len(self._known) > REMEMBERED_MAX:
            self._known.popitem(last=False)


def _refuse(job: Job) -> None:
    """Raises for a file that is not accepted."""
    removals, code = job.progress.removals, job.progress.would_be
    if code == TOO_MANY:
        raise Refused(
            code,
            f"{len(removals.gone)} of {removals.students} students and {removals.ended} of"
            f" {removals.guardians} guardians would be removed. If so many are meant, say so with"
            " allow_removals.",
        )
    if code != ACCEPTED:
        raise NotTaken(code, job.plan.roster)


def _pointer(found: Problem) -> str:
    """`#/users.csv/17/givenName`, as far as it is known."""
    return "/".join(["#", found.file, *map(str, filter(None, (found.line, found.column)))])


def _stream(reference: str) -> str:
    return f"{imports.category}/{reference}"
