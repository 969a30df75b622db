"""A service at work: its doors opened, its loops kept alive, its status told.

What a service *is* stands in its `main.py` as one value; this page only runs it.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from libs.common.append import Appender
from libs.common.consume import Standing
from libs.common.errors import Missing
from libs.common.handle import Answer, Ask, Handler
from libs.common.memory import InMemory
from libs.common.messages import Command
from libs.common.operators.upkeep import upkeep
from libs.common.ports import SHARDS, Bus, Clock, Documents, EventStore
from libs.common.project import Generation, project
from libs.common.react import Handle, Reacting, react
from libs.common.relay import Relay
from libs.common.sealing import Keyring, Refs
from libs.common.shapes import Decider, Policy, Projection
from libs.common.timers import ClockRow, Timers
from libs.common.views import (
    Views,
    flip_when_caught_up,
    heads,
    kinds_of,
    live_generations,
    next_generation,
    not_shown,
    read_alias,
)
from libs.common.web.stepping import CaughtUp

API, RELAY, PROJECT = "api", "relay", "project"
PARTS = (API, RELAY, PROJECT)
FLIP_PAUSE_SECONDS = 0.05
MOVED_SECONDS = 1.0
"""How often a projecting process looks whether an operator's has built another generation."""

Loop = Callable[[], Awaitable[None]]


@dataclass(frozen=True)
class Rooms:
    """What a service is made of: pure values from its rooms."""

    name: str
    deciders: tuple[Decider[Any, Any, Any], ...]
    projections: tuple[Projection[Any], ...]
    memories: tuple[Projection[Any], ...]
    policies: tuple[Policy[Any], ...]
    clocks: Projection[ClockRow]
    due: Callable[[ClockRow], Command]


@dataclass(eq=False)
class Running:
    """A service with its doors open. `loops` is the list of arrows that must be kept alive."""

    rooms: Rooms
    store: EventStore
    bus: Bus
    documents: Documents
    keyring: Keyring
    refs: Refs
    clock: Clock
    parts: frozenset[str] = frozenset(PARTS)
    relayed: bool = True
    before: Callable[[Handle], Handle] = lambda handle: handle
    appender: Appender = field(init=False)
    handlers: dict[str, Handler[Any, Any, Any]] = field(init=False)
    views: Views = field(init=False)
    memories: dict[str, InMemory[Any]] = field(default_factory=dict)
    generations: list[Generation[Any]] = field(default_factory=list)
    beside: list[Generation[Any]] = field(default_factory=list)
    """Those that only this build knows, while readers read an older build's: a group of its own
    folds each, for members of another build would leave their shards out."""
    reacting: list[Reacting] = field(default_factory=list)
    built: bool = False
    timers: Timers = field(init=False)
    relay: Relay = field(init=False)

    def __post_init__(self) -> None:
        name = self.rooms.name
        self.appender = Appender(self.store, name, self.clock)
        self.handlers = {
            decider.category: Handler(decider, self.appender, self.keyring, self.relayed)
            for decider in (*self.rooms.deciders, upkeep)
        }
        self.views = Views(self.documents)
        self.timers = Timers(
            self.views, self.rooms.clocks, self.rooms.due, self.handle, self.clock, name
        )
        self.relay = Relay(self.store, self.bus, name)
        if API in self.parts:
            self.memories = {
                memory.name: InMemory(memory, self.keyring) for memory in self.rooms.memories
            }
        if PROJECT in self.parts:
            self.reacting = [Reacting(policy) for policy in self.rooms.policies]

    async def handle(self, ask: Ask[Any]) -> Answer:
        """The one door for commands: the stream's category names the decider."""
        handler = self.handlers.get(ask.stream.partition("/")[0])
        if handler is None:
            raise Missing
        return await handler(ask)

    @property
    def relays(self) -> bool:
        """Whether this process sends the log on."""
        return RELAY in self.parts and self.relayed

    @property
    def alone(self) -> bool:
        """An embedded process has no rivals."""
        return not self.relayed

    async def loops(self) -> dict[str, Loop]:
        """Name -> loop, of the parts that run in this process. Opens what they need first."""
        name = self.rooms.name
        found: dict[str, Loop] = {}
        for memory in self.memories.values():
            found[f"{name}.memory.{memory.projection.name}"] = _remembering(memory, self.bus)
        found[f"{name}.building"] = self._building
        if self.relayed:
            fence = self.relay.fence
            await fence.open()
            self.appender.fenced = fence.held
            found[f"{name}.fence"] = fence.watch
        if self.relays:
            self.appender.heard.append(self.relay.woken.hear)
            found[f"{name}.relay"] = self.relay.run
        if PROJECT in self.parts:
            projections = (*self.rooms.projections, self.rooms.clocks)
            self.generations = await live_generations(self.documents, projections)
            if self.alone:
                self.views.here = {one.kind: one.standing for one in self.generations}
            if self.relayed:
                self.beside = await not_shown(self.documents, self.generations)
            for generation in self.beside:
                found[f"{name}.project.{generation.kind}"] = partial(self._fold, generation)
            found[f"{name}.project"] = self._project
            found[f"{name}.react"] = self._react
            found[f"{name}.timers"] = self._time
        return found

    async def close(self) -> None:
        """Everything that was asked gets its answer."""
        await self.appender.close()

    def not_ready(self) -> list[str]:
        """Why this process should not be asked yet, or any more."""
        reasons = [] if self.built else [f"{self.rooms.name}: its views are being built"]
        if not self.store.fit():
            reasons.append(f"{self.rooms.name}: its store is not fit to go on with")
        reasons += self.relay.fence.reasons()
        for standing in self.standings():
            halts = standing.halted.values()
            reasons += [f"{standing.name} halted at {h.position} ({h.reason})" for h in halts]
        return reasons

    def standings(self) -> list[Standing]:
        found = [generation.standing for generation in self.generations]
        found += [reacting.standing for reacting in self.reacting]
        return found + [memory.standing for memory in self.memories.values()]

    async def status(self) -> CaughtUp:
        """What the driver of a stepped clock compares: heads, sweeps and cursors."""
        ends = [await self.store.head(shard) for shard in range(SHARDS)]
        found = CaughtUp(
            sweeps=PROJECT in self.parts,
            swept=self.timers.swept,
            due=None,
            waiting=self.appender.waiting(),
            heads={f"{self.rooms.name}:{end.shard}": end.seq for end in ends if end},
            cursors={self._told(standing): standing.seqs() for standing in self.standings()},
            logs={self._told(standing): standing.logs for standing in self.standings()},
        )
        if not found.sweeps or not self.built:
            return found
        return replace(found, due=await self.timers.next_due())  # no older than the cursors

    def _told(self, standing: Standing) -> str:
        return f"{self.rooms.name}.{standing.name}"

    async def rebuild(self, projection: Projection[Any]) -> tuple[Generation[Any], Loop, Loop]:
        """A new generation beside the live one: the loop that folds it, and the one that flips the
        alias once it has reached the heads of now."""
        generation = await next_generation(self.documents, projection)
        targets = await heads(self.bus, projection.logs)
        self.generations.append(generation)
        if self.alone:
            self.views.here[generation.kind] = generation.standing

        async def flip() -> None:
            await flip_when_caught_up(self.documents, generation, targets, _pause)

        return generation, partial(self._fold, generation), flip

    async def _fold(self, generation: Generation[Any]) -> None:
        """Alone, in a group of its own."""
        group = f"{self.rooms.name}.{generation.kind}"
        await project(self.bus, self.documents, group, [generation])

    async def _project(self) -> None:
        """Begins anew whenever readers read a generation that is not folded here yet."""
        group = f"{self.rooms.name}.views"
        while True:
            together = [one for one in self.generations if one not in self.beside]
            folding = project(self.bus, self.documents, group, together, alone=self.alone)
            tasks = [asyncio.ensure_future(one) for one in (folding, self._moved())]
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in tasks:
                    if task.done():
                        await task
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def _moved(self) -> None:
        """Ends when the aliases name other generations; these are folded from then on. An embedded
        process has no rival that could have moved them."""
        while True:
            await asyncio.sleep(MOVED_SECONDS)
            projections = () if self.alone else (*self.rooms.projections, self.rooms.clocks)
            for projection in projections:
                alias = await read_alias(self.documents, projection.name)
                ours = {one.kind: one for one in self.generations}
                kinds = kinds_of(projection, alias)
                if any(kind not in ours for kind in kinds):
                    others = [o for o in self.generations if o.projection is not projection]
                    named = [ours.get(k) or Generation.of(projection, k) for k in kinds]
                    self.generations = [*others, *named]
                    return

    async def _react(self) -> None:
        handle = self.before(self.handle)
        group = f"{self.rooms.name}.react"
        await react(self.bus, self.documents, group, self.reacting, handle, self.alone)

    async def _time(self) -> None:
        while not self.built:
            await _pause()
        await self.timers.run()

    async def _building(self) -> None:
        """A view without an alias, or of another version, is shown once it has caught up; nobody is
        to ask this process before all are."""
        readers = [one.standing for one in self.generations]
        readers += [memory.standing for memory in self.memories.values()]
        targets = await heads(self.bus, {log for standing in readers for log in standing.logs})
        for memory in self.memories.values():
            while not memory.reached(targets):
                await _pause()
        for generation in self.generations:
            alias = await read_alias(self.documents, generation.projection.name)
            if alias is None or generation.kind not in (alias.live, alias.previous):
                await flip_when_caught_up(self.documents, generation, targets, _pause)
        for projection in (*self.rooms.projections, self.rooms.clocks):
            while await read_alias(self.documents, projection.name) is None:
                await _pause()
        while not all(reacting.prepared for reacting in self.reacting):
            await _pause()  # what happens from now on is news to every policy
        self.built = True
        await asyncio.Event().wait()


async def _pause() -> None:
    await asyncio.sleep(FLIP_PAUSE_SECONDS)


def _remembering(memory: InMemory[Any], bus: Bus) -> Loop:
    async def run() -> None:
        await memory.run(bus)

    return run
