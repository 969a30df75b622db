"""What the loops of a process know about themselves, looked at every few seconds and shown as
figures.

It asks nobody: readers know where their feed ends, the relay what it has not sent, the fence what
it holds. Only how long something has been so is remembered here.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from libs.common import meters
from libs.common.consume import NOWHERE, Place, Standing, loop_time
from libs.common.fence import Why
from libs.common.meters import Instrument, Labels, Shown
from libs.common.service import Running
from libs.common.tasks import Loops
from libs.common.telemetry import log, where

LOOK_SECONDS = 5.0

Told = tuple[Instrument, float, Labels]


@dataclass(eq=False)
class Watching:
    """`loops` tells how the loops are once they have begun; `ready` why the process is not."""

    services: Sequence[Running]
    loops: Callable[[], Loops | None]
    ready: Callable[[], Sequence[str]]
    now: Callable[[], float] = loop_time
    _level: dict[tuple[str, Place], float] = field(default_factory=dict)
    """When a reader was last seen at the end of a shard."""
    _gaps: dict[tuple[str, Place], tuple[int, float]] = field(default_factory=dict)
    """Behind which seq something is missing, and since when."""

    async def run(self) -> None:
        """A supervised loop. What is sent last is how it was when the process was stopped."""
        try:
            while True:
                self.look()
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            self.look()

    def look(self) -> None:
        """A mistake in here ends nothing: the gauges fall silent, which is an alarm of its own."""
        try:
            meters.show(self._found())
        except Exception as mistake:
            meters.show({})
            log("watching.failed", error=type(mistake).__name__, where=where(mistake))

    def _found(self) -> Shown:
        found: dict[Instrument, list[tuple[float, Labels]]] = {}
        for instrument, value, labels in self._told():
            found.setdefault(instrument, []).append((value, labels))
        return found

    def _told(self) -> Iterator[Told]:
        yield meters.READY, 0 if self.ready() else 1, {}
        loops = self.loops()
        for name, up in loops.up().items() if loops is not None else ():
            yield meters.LOOP_UP, int(up), {"loop": name}
        for service in self.services:
            yield from self._service(service)
            for standing in service.standings():
                yield from self._reader(service, standing)
            for generation in service.generations:
                reader = _named(service, generation.standing)
                yield meters.PARKED, len(generation.parking.open()), {"reader": reader}

    def _service(self, service: Running) -> Iterator[Told]:
        whose: Labels = {"log": service.rooms.name}
        now = service.clock.now()
        yield meters.WAITING, service.appender.waiting(), whose
        if service.relayed:
            held = [why for why in service.relay.fence.held.values() if why is not Why.DOUBT]
            yield meters.FENCED, len(held), whose
        if service.relays:
            oldest = min(service.relay.unsent.values(), default=now)
            yield meters.RELAY, max(0.0, (now - oldest).total_seconds()), whose
        if service.timers.swept is not None:
            yield meters.SWEEP, max(0.0, (now - service.timers.swept).total_seconds()), whose

    def _reader(self, service: Running, standing: Standing) -> Iterator[Told]:
        reader, now = _named(service, standing), self.now()
        ends = standing.ends()
        for place, end in ((p, ends[p]) for p in ends if p[0] in standing.logs):
            cursor = standing.cursors.get(place, NOWHERE)
            behind, age = max(0, end - cursor.offset - 1), 0.0
            level = now if behind == 0 else self._level.get((reader, place))
            if level is not None:
                self._level[reader, place] = level
                age = now - level
            if behind and cursor.at is not None:
                since = max(0.0, (service.clock.now() - cursor.at).total_seconds())
                age = since if level is None else min(age, since)
            labels: Labels = {"reader": reader, "log": place[0], "shard": place[1]}
            yield meters.BEHIND, behind, labels
            yield meters.LAG, age, labels
        yield meters.HALTS, len(standing.halted), {"reader": reader}
        yield meters.GAP, self._missing(reader, standing, now), {"reader": reader}

    def _missing(self, reader: str, standing: Standing, now: float) -> float:
        """A gap lasts until its reader moves, though the reading begins anew meanwhile."""
        seqs = {place: standing.cursors.get(place, NOWHERE).seq for place in standing.gaps}
        for place, seq in seqs.items():
            if self._gaps.get((reader, place), (-1, 0.0))[0] != seq:
                self._gaps[reader, place] = seq, now
        ages = [0.0]
        for (whose, place), (seq, since) in list(self._gaps.items()):
            if whose != reader:
                continue
            if standing.cursors.get(place, NOWHERE).seq != seq:
                del self._gaps[whose, place]
            else:
                ages.append(now - since)
        return max(ages)


def _named(service: Running, standing: Standing) -> str:
    return f"{service.rooms.name}.{standing.name}"
