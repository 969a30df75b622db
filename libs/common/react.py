"""Feed -> policy -> the next command, once per cause.

The order is: documents durable, commands answered, then the cursor. A command's id is derived
from its cause, its policy and its target: hearing the news twice asks once, whatever came between.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID, uuid5

from libs.common.commit import Commit
from libs.common.consume import (
    BATCH_MAX,
    CURSORS,
    NEWER,
    NOWHERE,
    Healing,
    Standing,
    Telling,
    resume,
)
from libs.common.consume import done as tell_feed
from libs.common.errors import Conflict, Refused, StoreAway
from libs.common.handle import Answer, Ask
from libs.common.messages import Actor, Command, Dep, Position, Recorded, Role, Stamp
from libs.common.ports import Bus, Delivery, Documents, Put
from libs.common.project import Generation, fold_batch
from libs.common.shapes import Policy, newer, types_of
from libs.common.telemetry import current, span, trace_of
from libs.common.views import heads

POLICIES = UUID("5d8f7c0a-3f5e-5a57-9f0e-7a6d1c2b9e41")
"""The namespace of policies' command ids; for ever."""
ASKING_MAX = 64
"""Commands under way at once in one batch."""

Handle = Callable[[Ask[Any]], Awaitable[Answer]]


def command_id(cause: Position, policy: str, stream: str) -> UUID:
    return uuid5(POLICIES, f"{cause}|{policy}|{stream}")


@dataclass(eq=False)
class Reacting:
    """One policy at work: where it stands, its memory, and from where on it asks."""

    policy: Policy[Any]
    standing: Standing = field(init=False)
    memory: Generation[Any] | None = None
    starts: dict[tuple[str, int], int] = field(default_factory=dict)
    prepared: bool = False

    def __post_init__(self) -> None:
        name = f"policy_{self.policy.name}"
        self.standing = Standing(name, self.policy.logs)
        if self.policy.memory is not None:
            kind = f"{name}_{self.policy.memory.name}_v{self.policy.memory.version}"
            self.memory = Generation.of(self.policy.memory, kind)
            self.memory.standing = self.standing
            self.memory.stops = True

    async def prepare(self, ends: Sequence[Position], documents: Documents) -> None:
        """Notes, once and for ever, where its logs ended when the policy was first deployed."""
        await documents.prepare(CURSORS, ())
        await self.standing.load(documents)
        if self.memory is not None:
            await self.memory.prepare(documents)
            self.memory.slots.clear()
        if not self.policy.from_start:
            await self._note_starts(ends, documents)
        self.prepared = True

    async def _note_starts(self, ends: Sequence[Position], documents: Documents) -> None:
        key = f"{self.standing.name}|starts"
        found = (await documents.get(CURSORS, [key])).get(key)
        if found is None:
            ours = [end for end in ends if end.log in self.policy.logs]
            at = {f"{end.log}:{end.shard}": end.seq for end in ours}
            await documents.put([Put(CURSORS, key, {"starts": at}, 0)])
            found = (await documents.get(CURSORS, [key]))[key]
        for place, seq in found["starts"].items():
            log, shard = place.split(":")
            self.starts[log, int(shard)] = seq

    async def asks(
        self, documents: Documents, batch: Sequence[Delivery]
    ) -> list[tuple[Commit, str, Command, tuple[Dep, ...]]]:
        """What follows from a batch: cause, target stream, command and what else it rests on."""
        taken = await self._take(documents, batch)
        heard = types_of(self.policy.hears)
        news = [
            commit
            for commit in taken
            if not heard.isdisjoint(commit.types) and commit.seq > self.starts.get(commit.place, 0)
        ]
        memories = await self._remembered(documents, news)
        found = []
        for commit in news:
            targets: set[str] = set()
            for entry, view, deps in self._seen(commit, memories):
                for stream, command in self.policy.asks(entry, view):
                    if stream in targets:
                        raise ValueError(f"{self.policy.name} asks one stream twice")
                    targets.add(stream)
                    found.append((commit, stream, command, deps))
        return found

    async def _take(self, documents: Documents, batch: Sequence[Delivery]) -> list[Commit]:
        taken: list[Commit] = []
        if self.memory is None:
            for delivery in batch:
                if not self.standing.follows(delivery):
                    continue
                if newer(delivery.commit, self.policy.hears):
                    self.standing.halt(delivery, NEWER)
                    continue
                self.standing.advance(delivery)
                taken.append(delivery.commit)
            return taken
        before = {**self.standing.cursors}
        await fold_batch([self.memory], documents, batch)
        for delivery in batch:
            commit = delivery.commit
            old = before.get(commit.place, NOWHERE).seq
            new = self.standing.cursors.get(commit.place, NOWHERE).seq
            if old < commit.seq <= new and commit not in taken[-1:]:
                taken.append(commit)
        return taken

    async def _remembered(self, documents: Documents, news: Sequence[Commit]) -> dict[str, Any]:
        """The memory as it is stored, not as this process last saw it."""
        if self.memory is None:
            return {}
        places = self.memory.projection.places
        wanted = {key for commit in news for _, key in places(commit)}
        return await documents.get(self.memory.kind, wanted) if wanted else {}

    def _seen(
        self, commit: Commit, memories: Mapping[str, Any]
    ) -> "Iterator[tuple[Recorded[Any], Any, tuple[Dep, ...]]]":
        """Each event, with what the memory says of each document that it belongs to."""
        if self.memory is None:
            yield from ((entry, None, ()) for entry in commit.recorded)
            return
        projection = self.memory.projection
        for entry, key in projection.places(commit):
            doc = memories.get(key)
            if doc is None or doc.get("_gone"):
                yield entry, None, ()
            else:
                yield entry, projection.view.model_validate(doc), _deps(doc)


def _deps(doc: Mapping[str, Any]) -> tuple[Dep, ...]:
    at = datetime.fromisoformat(doc["_at"])
    places = ((place.split(":"), seq) for place, seq in sorted(doc["_pos"].items()))
    return tuple(Dep(Position(log, int(shard), seq), at) for (log, shard), seq in places)


async def react(
    bus: Bus,
    documents: Documents,
    group: str,
    policies: Sequence[Reacting],
    handle: Handle,
    alone: bool = False,
) -> None:
    """Keeps these policies asking, for ever. A supervised loop: raises when the store or the bus is
    away or a stream is fought over, and may be started again at any moment. `alone`: no other
    process asks for them."""
    standings = [reacting.standing for reacting in policies]
    logs = sorted({log for standing in standings for log in standing.logs})
    healing, telling = Healing(), Telling(alone)
    ends = await heads(bus, logs)
    for reacting in policies:
        await reacting.prepare(ends, documents)
    async with bus.subscribe(logs, group) as feed:
        await resume(feed, standings)
        while True:
            batch = await feed.batch(BATCH_MAX, telling.wait_seconds)
            await healing.mend(feed, standings, not batch, documents)
            if not batch and not telling.untold:
                continue
            for reacting in policies:
                await _ask(reacting, await reacting.asks(documents, batch), handle)
            if not await telling.told(documents, standings, len(batch)):
                for standing in standings:
                    await standing.load(documents)
                await resume(feed, standings)  # they may stand further back than the feed
            await tell_feed(feed, standings, batch)


async def _ask(
    reacting: Reacting,
    asks: Sequence[tuple[Commit, str, Command, tuple[Dep, ...]]],
    handle: Handle,
) -> None:
    """Each stream is asked in order, different streams at once."""
    by_stream: dict[str, list[tuple[Commit, Command, tuple[Dep, ...]]]] = {}
    for cause, stream, command, deps in asks:
        by_stream.setdefault(stream, []).append((cause, command, deps))
    places = asyncio.Semaphore(ASKING_MAX)

    async def in_order(stream: str) -> None:
        async with places:
            for cause, command, deps in by_stream[stream]:
                await _one(reacting.policy.name, cause, stream, command, deps, handle)

    outcomes = await asyncio.gather(*map(in_order, by_stream), return_exceptions=True)
    for outcome in outcomes:
        if outcome is not None:
            raise outcome


async def _one(
    policy: str, cause: Commit, stream: str, command: Command, deps: tuple[Dep, ...], handle: Handle
) -> None:
    actor = Actor(f"policy:{policy}", Role.SYSTEM, "district")
    rests = tuple(dep for dep in deps if dep.position != cause.position)
    ask = Ask(
        stream=stream,
        command=command.stamped(Stamp(cause.at, actor)),
        id=command_id(cause.position, policy, stream),
        cause=Dep(cause.position, cause.at),
        deps=rests,
        correlation=UUID(cause.content["correlation"]),
    )
    try:
        with span("react", trace_of(cause), policy=policy):
            await handle(replace(ask, trace=current()))
    except Refused:
        return  # a no is an answer; the policy goes on listening
    except Conflict:
        raise StoreAway("a stream is fought over") from None
