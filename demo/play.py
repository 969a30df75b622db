"""Plays the year: each moment's requests go out together, then the clock is moved on.

Requests about one case keep their order; cases of one moment do not touch each other.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from demo.asks import Ask
from demo.callers import Callers
from demo.routes import READS, READS_FAMILY_PAGE, SAID, Known, learned
from libs.common.web.client import Reply

UNDER_WAY_MAX = 160
"""Cases that are played at once."""
NOES = (404, 409)


class Unexpected(Exception):
    """A service said something else than the plan knows."""


@dataclass(eq=False)
class Play:
    """`known` by case; `counts` of what was done, `noes` by code of what was refused as planned."""

    callers: Callers
    students: Mapping[str, str]
    known: dict[str, Known] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    noes: Counter[str] = field(default_factory=Counter)
    asked: int = 0
    _numbers: Counter[str] = field(default_factory=Counter)

    async def moment(self, asks: Iterable[Ask], done: Callable[[int], None]) -> None:
        """Everything of one moment. Raises Unexpected."""
        places = asyncio.Semaphore(UNDER_WAY_MAX)

        async def case(own: list[Ask]) -> None:
            async with places:
                for ask in own:
                    await self.one(ask)
                    done(1)

        ordered = sorted(asks, key=lambda ask: ask.case)
        cases = [list(own) for _, own in groupby(ordered, key=lambda ask: ask.case)]
        async with asyncio.TaskGroup() as group:
            for own in cases:
                group.create_task(case(own))

    async def one(self, ask: Ask) -> Reply:
        """Asks, and compares the answer with what the plan says."""
        known = self.known.setdefault(ask.case, Known(self.students[ask.student]))
        if "after" in ask.body:
            known.before = self.known[ask.body["after"]]
        if ask.act in READS_FAMILY_PAGE:
            await self._read_family_page(ask, known)
        said = SAID[ask.act](ask, known)
        self._numbers[ask.case] += 1
        key = f"{ask.case}-{self._numbers[ask.case]:02}"
        method = "GET" if ask.act in READS else "POST"
        reply = await self.callers.ask(
            ask.who, said.service, method, said.path, said.body, key if method == "POST" else None
        )
        self.asked += 1
        self._note(ask, known, reply)
        return reply

    async def _read_family_page(self, ask: Ask, known: Known) -> None:
        """Once for all that somebody answers at one sitting."""
        if known.sitting != (ask.at, ask.who):
            await self._sit_down(ask, known)
        if ask.body["way"] not in known.asked:
            raise Unexpected(f"{ask.case}: nothing is asked of the family ({ask.body['way']})")

    async def _sit_down(self, ask: Ask, known: Known) -> None:
        page = f"/v1/students/{known.student}/family"
        reply = await self.callers.ask(ask.who, "consent", "GET", page)
        if reply.status != 200:
            raise Unexpected(f"{ask.case}: the family's page answers {_told(reply)}")
        learned(known, reply.body)
        known.sitting = (ask.at, ask.who)

    def _note(self, ask: Ask, known: Known, reply: Reply) -> None:
        if ask.refused is not None:
            code = reply.body.get("code") if isinstance(reply.body, dict) else None
            if reply.status not in NOES or code != ask.refused:
                raise Unexpected(f"{ask.case} {ask.act}: {ask.refused} wanted, {_told(reply)}")
            self.noes[ask.refused] += 1
            return
        if reply.status not in (200, 201):
            raise Unexpected(f"{ask.case} {ask.act} by {ask.who.role}: {_told(reply)}")
        self.counts[ask.act] += 1
        if ask.act == "raise":
            known.referral, known.need = reply.body["referral"], reply.body["need"]


def _told(reply: Reply) -> str:
    body: Any = reply.body if isinstance(reply.body, dict) else {}
    return f"{reply.status} {body.get('code', '')} {body.get('detail', '')}".strip()
