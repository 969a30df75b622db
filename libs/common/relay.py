"""Append -> Kafka. The log is its own outbox, and the partition's end is the relay's checkpoint.

Any number of relays is right; they only cost duplicates, which readers skip. A supervised loop:
after any error it is started again and reads the tails anew. A shard that is fenced is left alone.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from libs.common.commit import NO_PREV, Commit
from libs.common.fence import Fence, Why
from libs.common.ports import LOG_BATCH_MAX, SHARDS, Bus, EventStore
from libs.common.telemetry import batch_span, trace_of

PAUSE_SECONDS_MIN = 0.05
PAUSE_SECONDS_MAX = 0.5
ROUND_BATCHES_MAX = 8
"""Batches of one shard until those are looked at that had nothing to send."""


@dataclass(eq=False)
class Woken:
    """The appender's knock on the relay's door; without it the relay looks by itself."""

    event: asyncio.Event = field(default_factory=asyncio.Event)

    def hear(self, _: object) -> None:
        self.event.set()

    async def wait(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self.event.wait()
        except TimeoutError:
            pass
        self.event.clear()


@dataclass(eq=False)
class Relay:
    """Publishes one log. `nexts[shard]` is the seq to send next, `offsets` where it will land."""

    store: EventStore
    bus: Bus
    log: str
    woken: Woken = field(default_factory=Woken)
    nexts: list[int] = field(default_factory=lambda: [1] * SHARDS)
    offsets: list[int] = field(default_factory=lambda: [0] * SHARDS)
    unsent: dict[int, datetime] = field(default_factory=dict)
    """Of which time the first commit is that a shard could not send yet."""
    fence: Fence = field(init=False)
    _hashes: list[str] = field(default_factory=lambda: [NO_PREV] * SHARDS)
    _known: set[int] = field(default_factory=set)
    """Shards whose topic's end is known."""

    def __post_init__(self) -> None:
        self.fence = Fence(self.store, self.bus, self.log)

    async def run(self) -> None:
        """Raises StoreAway when store or bus are away."""
        self._known.clear()
        pause = PAUSE_SECONDS_MIN
        while True:
            self._known -= self.fence.held.keys()
            await self._each(self._find_tail, self._lost())
            ready = [s for s in await self.store.news(self.nexts) if s in self._known]
            if not ready:
                await self.woken.wait(pause)
                pause = min(PAUSE_SECONDS_MAX, 2 * pause)
                continue
            pause = PAUSE_SECONDS_MIN
            await self._each(self._send, ready)

    def _lost(self) -> list[int]:
        """Shards to look at. One that is fenced is looked at by whoever watches the fence."""
        held = self.fence.held
        return [
            shard
            for shard in range(SHARDS)
            if shard not in self._known and held.get(shard, Why.DOUBT) is Why.DOUBT
        ]

    async def _each(self, work: Callable[[int], Awaitable[None]], shards: Sequence[int]) -> None:
        outcomes = await asyncio.gather(*map(work, shards), return_exceptions=True)
        for outcome in outcomes:
            if outcome is not None:
                raise outcome

    async def _send(self, shard: int) -> None:
        """While batches are full, one after the other: a shard that has much waits for no other."""
        for _ in range(ROUND_BATCHES_MAX):
            batch = await self.store.log(shard, self.nexts[shard] - 1, LOG_BATCH_MAX)
            if not batch or not await self._sent(shard, batch):
                return
            if len(batch) < LOG_BATCH_MAX or shard in self.fence.held:
                return

    async def _sent(self, shard: int, batch: Sequence[Commit]) -> bool:
        """One batch in flight per shard. Whether it landed where it should."""
        if batch[0].prev != self._hashes[shard]:
            self.fence.hold(batch[0].position, Why.FORK)  # the store was changed under our feet
            return False
        self.unsent[shard] = batch[0].at
        traces = map(trace_of, batch)
        with batch_span("relay", traces, log=self.log, shard=shard, count=len(batch)):
            base = await self.bus.publish(self.log, shard, batch)
        self.unsent.pop(shard, None)
        if base != self.offsets[shard]:
            self._known.discard(shard)  # somebody else wrote, or the topic lost its end
            return False
        self.nexts[shard], self._hashes[shard] = batch[-1].seq + 1, batch[-1].hash
        self.offsets[shard] = base + len(batch)
        return True

    async def _find_tail(self, shard: int) -> None:
        tail = await self.fence.compare(shard)
        if tail is not None:
            self.nexts[shard], self._hashes[shard] = tail.seq + 1, tail.hash
            self.offsets[shard] = tail.offset
            self._known.add(shard)
            self.unsent.pop(shard, None)
