"""Moves the stepped clock of every service, and waits until all that follows has happened.

A step is done when two rounds of questions show the same heads, every reader stands at the head of
each log that it hears, and every owner of timers has swept at the new time and has no more to ask.
Time stands still wherever a timer is due, as it would have passed there: of what is due between two
days of a year, the earlier may be the reason why there is no later, or why there is one.
"""

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from time import monotonic
from typing import Any

from demo.callers import Place
from libs.common.messages import instant

SETTLE_SECONDS_MAX = 60.0
ROUND_SECONDS = 0.003
"""The pause before asking again; it doubles up to the limit."""
ROUND_SECONDS_MAX = 0.03


class Laggard(Exception):
    """Something did not come to rest in time; the argument names it."""


@dataclass(eq=False)
class Steps:
    """`due`: when the next timer is, so far as is known."""

    places: Mapping[str, Place]
    due: datetime | None = None

    async def to(self, now: datetime) -> None:
        """Every service moves, from one timer that is due to the next, and each time everything
        settles. Raises Laggard."""
        while self.due is not None and self.due < now:
            await self._step(self.due)
        await self._step(now)

    async def _step(self, now: datetime) -> None:
        await self._move(now)
        await self.settled(now)

    async def _move(self, now: datetime) -> None:
        body = {"now": instant(now)}
        replies = await asyncio.gather(
            *(place.request("POST", "/clock", body) for place in self.places.values())
        )
        for name, reply in zip(self.places, replies, strict=True):
            if reply.status >= 300:
                raise Laggard(f"{name} does not take the time: {reply.status}")

    async def settled(self, now: datetime) -> None:
        """Raises Laggard, after a minute, with the name of whoever is behind."""
        until, pause = monotonic() + SETTLE_SECONDS_MAX, ROUND_SECONDS
        before: dict[str, int] | None = None
        while True:
            told = await self._told()
            heads = furthest(told)
            late = behind(told, heads, instant(now))
            if not late and heads == before:
                self.due = next_due(told)
                return
            if monotonic() > until:
                raise Laggard(late or "the heads keep moving")
            if late:
                if overdue(told, instant(now)):
                    await self._move(now)  # wakes the timers for what follows from their last sweep
                await asyncio.sleep(pause)
                pause = min(pause * 2, ROUND_SECONDS_MAX)
            before = heads

    async def _told(self) -> dict[str, dict[str, Any]]:
        replies = await asyncio.gather(
            *(place.request("GET", "/clock") for place in self.places.values())
        )
        return dict(zip(self.places, (reply.body for reply in replies), strict=True))


def furthest(told: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
    """Where the logs end: not every process was asked in the same moment."""
    found: dict[str, int] = {}
    for status in told.values():
        for end, seq in status["heads"].items():
            found[end] = max(seq, found.get(end, 0))
    return found


def overdue(told: Mapping[str, Mapping[str, Any]], now: str) -> bool:
    """Whether a timer is due that nobody has asked for."""
    return any(status["due"] is not None and status["due"] <= now for status in told.values())


def next_due(told: Mapping[str, Mapping[str, Any]]) -> datetime | None:
    """The next timer of all, to the whole second in which the clock can stand."""
    found = min((status["due"] for status in told.values() if status["due"]), default=None)
    if found is None:
        return None
    at = datetime.fromisoformat(found)
    return at.replace(microsecond=0) + timedelta(seconds=at.microsecond > 0)


def behind(told: Mapping[str, Mapping[str, Any]], heads: Mapping[str, int], now: str) -> str:
    """The first that is not where it should be; empty when all are. What processes that project
    read, they read between them: of a reader who stands in several, the furthest counts."""
    together = _together(told)
    for name, status in told.items():
        if status["now"] != now:
            return f"{name}: its clock"
        if status["sweeps"] and status["swept"] != now:
            return f"{name}: its timers"
        if overdue({name: status}, now):
            return f"{name}: a timer that is due"
        if status["waiting"]:
            return f"{name}: commands under way"
        for reader, cursors in status["cursors"].items():
            shared = together[reader] if status["sweeps"] else cursors
            late = _late(status["logs"][reader], shared, heads)
            if late:
                return f"{name}: {reader} at {late}"
    return ""


def _together(told: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for status in told.values():
        for reader, cursors in status["cursors"].items() if status["sweeps"] else ():
            known = found.setdefault(reader, {})
            for end, seq in cursors.items():
                known[end] = max(seq, known.get(end, 0))
    return found


def _late(logs: Collection[str], cursors: Mapping[str, int], heads: Mapping[str, int]) -> str:
    for end, seq in heads.items():
        if end.partition(":")[0] in logs and cursors.get(end, 0) < seq:
            return end
    return ""
