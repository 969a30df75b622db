"""A shard whose store and topic disagree stands still: nothing is written to it, nothing is sent.

A store restored from an older copy lacks what its topic has; a commit written to it now would be a
second history. So before the first command, and whenever a relay starts, the topic's end is read
and then looked for in the store, at majority. `recover` mends what can be mended.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from libs.common.commit import NO_PREV
from libs.common.errors import StoreAway
from libs.common.messages import Position
from libs.common.ports import SHARDS, Bus, EventStore
from libs.common.telemetry import log

BEHIND_SECONDS = 10.0
"""A store whose majority lags catches up within this."""
BEHIND_LOOKS = 20
WATCH_SECONDS = 5.0


class Why(StrEnum):
    """Why a shard stands still, in words for whoever runs the place."""

    DOUBT = "its store and its topic are being compared"
    BEHIND = "its store lacks what its topic has: run recover"
    FORK = "its store and its topic tell two histories: a person must choose"


class Tail(NamedTuple):
    """Where a shard's topic ends: the last commit reached without a jump, and the next offset."""

    seq: int = 0
    hash: str = NO_PREV
    offset: int = 0


@dataclass(eq=False)
class Fence:
    """One log's shards. `held` are those that stand still; others only look at it."""

    store: EventStore
    bus: Bus
    log: str
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    held: dict[int, Why] = field(default_factory=dict)
    _at: dict[int, Position] = field(default_factory=dict)
    _unseen: set[int] = field(default_factory=lambda: set(range(SHARDS)))

    async def compare(self, shard: int) -> Tail | None:
        """The topic's end when the store has it; None: the shard stands still from now on, at once
        for a fork, after a while for a store that is behind. Raises StoreAway."""
        tail = await self.bus.tail(self.log, shard)
        if tail is None:
            self._release(shard)
            return Tail()
        commit, offset = tail
        looks = 1 if self.held.get(shard) is Why.BEHIND else BEHIND_LOOKS + 1
        for look in range(looks):
            try:
                stored = await self.store.log(shard, commit.seq - 1, 1)
            except StoreAway:
                self.held.setdefault(shard, Why.DOUBT)  # it may come back without its end
                raise
            if stored and stored[0].hash == commit.hash:
                self._release(shard)
                return Tail(commit.seq, commit.hash, offset)
            if stored:
                self.hold(commit.position, Why.FORK)
                return None
            if look < looks - 1:
                self.held.setdefault(shard, Why.DOUBT)
                await self.sleep(BEHIND_SECONDS / BEHIND_LOOKS)
        self.hold(commit.position, Why.BEHIND)
        return None

    def hold(self, position: Position, why: Why) -> None:
        """This shard stands still from now on; the reason is told once."""
        shard = position.shard
        self._unseen.discard(shard)
        if self.held.get(shard) is not why:
            log("shard.fenced", log=self.log, shard=shard, position=str(position), reason=why.name)
        self.held[shard], self._at[shard] = why, position

    async def open(self) -> None:
        """Before the first command. A topic that cannot be read keeps no writer from starting; that
        is why, after a restore, `recover` must run before anything else does."""
        try:
            await self._compare(range(SHARDS))
        except StoreAway as away:
            log("fence.unknown", log=self.log, error=type(away).__name__)

    async def watch(self) -> None:
        """A supervised loop: compares what could not be compared yet, and again and again whatever
        stands still, so that it flows on its own once it has been mended. Raises StoreAway."""
        while True:
            await self._compare(self._unseen | self.held.keys())
            await self.sleep(WATCH_SECONDS)

    def reasons(self) -> list[str]:
        """Which shards stand still, and why; doubt alone is none."""
        return [
            f"{self.log}:{shard:02} stands still at {self._at[shard]}: {why}"
            for shard, why in sorted(self.held.items())
            if why is not Why.DOUBT
        ]

    async def _compare(self, shards: Collection[int]) -> None:
        outcomes = await asyncio.gather(*map(self.compare, shards), return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome

    def _release(self, shard: int) -> None:
        self._unseen.discard(shard)
        if self.held.pop(shard, Why.DOUBT) is not Why.DOUBT:
            log("shard.flows", log=self.log, shard=shard)
