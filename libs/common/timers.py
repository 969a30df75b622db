"""Timers are a fold: a view of what is due when, and a loop that asks once it is.

A row stays until its breach is noted or its situation was left in time; the command's id is derived
from the row, so a timer that fires twice asks once.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID, uuid5

from libs.common.errors import Conflict, Refused
from libs.common.handle import Ask
from libs.common.messages import Actor, Command, Instant, Role, Stamp, View, instant
from libs.common.ports import Clock, Query
from libs.common.react import Handle
from libs.common.shapes import Projection
from libs.common.views import Views

TIMERS = UUID("0b5e4a57-51a4-5c61-8f5e-6f0d2c1c7a10")
"""The namespace of timers' command ids; for ever."""
SWEEP_SECONDS = 1.0
ROWS_MAX = 200
NEXT_ROWS = 5
"""Looked at first for what is due next: rows that were asked for are gone in a moment."""
EARLIEST = ""
"""Before every time: without it, rows that are gone and say no time come first."""
ASKED_MAX = 100_000


class ClockRow(View):
    """One limit that runs: `entered` is the stream's version at which the situation began."""

    stream: str
    entered: int
    kind: str
    due: Instant

    @property
    def key(self) -> str:
        return f"{self.stream}|{self.entered}|{self.kind}"


@dataclass(eq=False)
class Timers:
    """`due` gives the command that a row asks; `swept` is the time of the last whole sweep."""

    views: Views
    rows: Projection[ClockRow]
    due: Callable[[ClockRow], Command]
    handle: Handle
    clock: Clock
    log: str
    swept: datetime | None = None
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    _asked: set[str] = field(default_factory=set)
    _missed: bool = False

    async def run(self) -> None:
        """A supervised loop: every second, and at once when it is woken."""
        while True:
            now = self.clock.now()
            self._missed = False
            await self.sweep(now)
            if not self._missed:
                self.swept = now
            try:
                async with asyncio.timeout(SWEEP_SECONDS):
                    await self.wake.wait()
            except TimeoutError:
                pass
            self.wake.clear()

    async def sweep(self, now: datetime) -> int:
        """Asks for every row that is due and was not asked yet by this process; how many."""
        asked = 0
        async for fresh in self._fresh(Query(order=("due",), high=instant(now), limit=ROWS_MAX)):
            await asyncio.gather(*map(self._ask, fresh))
            asked += len(fresh)
        return asked

    async def next_due(self) -> datetime | None:
        """When the next row is due that this process has not asked for; past, when it is late."""
        async for fresh in self._fresh(Query(order=("due",), low=EARLIEST, limit=NEXT_ROWS)):
            for row in fresh:
                return row.due
        return None

    async def _fresh(self, query: Query) -> AsyncIterator[list[ClockRow]]:
        """Page by page, those that were not asked for yet."""
        cursor: str | None = None
        while True:
            page = await self.views.find(self.rows, query, cursor)
            yield [row for row in page.items if row.key not in self._asked]
            cursor = page.next
            if cursor is None:
                return

    async def _ask(self, row: ClockRow) -> None:
        actor = Actor("clock", Role.SYSTEM, "district")
        command = self.due(row).stamped(Stamp(self.clock.now(), actor))
        deps = await self.views.seen(self.rows, self.log, row.stream)
        try:
            await self.handle(Ask(row.stream, command, uuid5(TIMERS, row.key), deps=deps))
        except Refused:
            pass
        except Conflict:
            self._missed = True  # the next sweep asks again
            return
        if len(self._asked) >= ASKED_MAX:
            self._asked.clear()
        self._asked.add(row.key)
