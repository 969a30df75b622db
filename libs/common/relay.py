"""Append -> Kafka. The log is its own outbox, and the partition's end is the relay's checkpoint.

Any number of relays is right; they only cost duplicates, which readers skip. A supervised loop:
after any error it is started again and reads the tails anew.
"""

import asyncio
from dataclasses import dataclass, field

from libs.common.commit import Commit, chained
from libs.common.errors import Fork, StoreAway
from libs.common.ports import LOG_BATCH_MAX, SHARDS, Bus, EventStore
from libs.common.telemetry import span, traces_of

PAUSE_SECONDS_MIN = 0.05
PAUSE_SECONDS_MAX = 0.5
BEHIND_SECONDS = 10.0
BEHIND_TRIES_MAX = 20


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

    async def run(self) -> None:
        """Raises StoreAway when store or bus are away, Fork when they tell two histories."""
        await asyncio.gather(*(self._find_tail(shard) for shard in range(SHARDS)))
        pause = PAUSE_SECONDS_MIN
        while True:
            ready = await self.store.news(self.nexts)
            if not ready:
                await self.woken.wait(pause)
                pause = min(PAUSE_SECONDS_MAX, 2 * pause)
                continue
            pause = PAUSE_SECONDS_MIN
            outcomes = await asyncio.gather(*map(self._send, ready), return_exceptions=True)
            for outcome in outcomes:
                if outcome is not None:
                    raise outcome

    async def _send(self, shard: int) -> None:
        """One batch in flight per shard."""
        batch = await self.store.log(shard, self.nexts[shard] - 1, LOG_BATCH_MAX)
        if not batch:
            return
        with span("relay", links=traces_of(batch), log=self.log, shard=shard, count=len(batch)):
            base = await self.bus.publish(self.log, shard, batch)
        if base != self.offsets[shard]:
            await self._find_tail(shard)  # somebody else wrote, or the topic lost its end
            return
        self.nexts[shard] = batch[-1].seq + 1
        self.offsets[shard] = base + len(batch)

    async def _find_tail(self, shard: int) -> None:
        """The topic's end is checked against the store: same hash, else FORK or BEHIND."""
        tail = await self.bus.tail(self.log, shard)
        if tail is None:
            self.nexts[shard], self.offsets[shard] = 1, 0
            return
        commit, offset = tail
        await self._compare(commit)
        self.nexts[shard], self.offsets[shard] = commit.seq + 1, offset

    async def _compare(self, commit: Commit) -> None:
        for _ in range(BEHIND_TRIES_MAX):
            stored = await self.store.log(commit.shard, commit.seq - 1, 1)
            if stored:
                if stored[0].hash != commit.hash or not chained(
                    stored, stored[0].prev, commit.seq - 1
                ):
                    raise Fork(str(commit.position))
                return
            await asyncio.sleep(BEHIND_SECONDS / BEHIND_TRIES_MAX)
        raise StoreAway(f"the store is behind its topic at {commit.position}")
