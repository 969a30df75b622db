"""What goes wrong on the way to a door and back: requests and replies that are lost, slow or late.

Every in-memory port asks the same weather. In calm weather a call goes through at once; in trouble
its request may get lost, its reply may, or it takes effect only after its caller has given up.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import NamedTuple, TypeVar

from libs.common.errors import StoreAway
from tests.faults.loop import HERE, inside

T = TypeVar("T")
QUICK = 0.6
"""How many calls take no time at all."""
CALLS_PER_SECOND = 200.0
SLOW_CALLS_PER_SECOND = 5.0
LATE_SECONDS_MAX = 3.0


class Line(NamedTuple):
    """One line of what happened: when (virtual seconds), to or by whom, and what."""

    at: float
    who: str
    what: str


@dataclass(eq=False)
class Weather:
    """`trouble` is the chance that a single thing goes wrong; `away` names doors that are shut."""

    chance: Random = field(default_factory=lambda: Random(0))
    trouble: float = 0.0
    away: set[str] = field(default_factory=set)
    faults: Counter[str] = field(default_factory=Counter)
    lines: list[Line] = field(default_factory=list)

    def clear(self) -> None:
        self.trouble = 0.0
        self.away.clear()

    def bad(self) -> bool:
        return self.trouble > 0 and self.chance.random() < self.trouble

    def tell(self, what: str, who: str = "") -> None:
        at = asyncio.get_running_loop().time()
        here = HERE.get()
        self.lines.append(Line(at, who or (here.name if here else "world"), what))

    def fault(self, kind: str, what: str = "") -> None:
        self.faults[kind] += 1
        self.tell(f"{kind} {what}" if what else kind)

    async def call(self, door: str, name: str, effect: Callable[[], T]) -> T:
        """Asks `door`. Raises StoreAway when no answer came; `effect` may have happened, may
        happen later still, or never."""
        if not self.trouble and not self.away:
            return effect()
        chance = self.chance
        if door in self.away:
            self.faults["away"] += 1
            await asyncio.sleep(chance.expovariate(CALLS_PER_SECOND))
            raise StoreAway(f"{door} is away")
        if not self.bad():
            if chance.random() < QUICK:
                return effect()
            return await self._slow(effect, CALLS_PER_SECOND)
        kind = chance.choice(("lost", "no reply", "late", "slow", "slow"))
        self.fault(kind, f"{door}.{name}")
        if kind == "slow":
            return await self._slow(effect, SLOW_CALLS_PER_SECOND)
        if kind == "late":
            seconds = chance.uniform(0.0, LATE_SECONDS_MAX)
            loop = asyncio.get_running_loop()
            unheard: asyncio.Future[T] = loop.create_future()
            loop.call_later(seconds, arrive, effect, unheard, context=inside(None))
        await asyncio.sleep(chance.expovariate(SLOW_CALLS_PER_SECOND))
        if kind == "no reply":
            effect()
        raise StoreAway(f"{door}.{name}: {kind}")

    async def _slow(self, effect: Callable[[], T], rate: float) -> T:
        """The request travels by itself: it arrives though its sender may be dead by then."""
        loop = asyncio.get_running_loop()
        reply: asyncio.Future[T] = loop.create_future()
        seconds = self.chance.expovariate(rate)
        loop.call_later(seconds, arrive, effect, reply, context=inside(None))
        return await reply


def arrive(effect: Callable[[], T], reply: "asyncio.Future[T]") -> None:
    """The door answers, with what it found or with its no."""
    try:
        answer(reply, effect())
    except Exception as refused:
        answer(reply, refused)


def answer(reply: "asyncio.Future[T]", outcome: T | Exception) -> None:
    """Nobody may be left to hear it."""
    if reply.done():
        return
    if isinstance(outcome, Exception):
        reply.set_exception(outcome)
        reply.exception()  # whoever asked may be dead; then nobody hears it, and that is right
    else:
        reply.set_result(outcome)
