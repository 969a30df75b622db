"""Processes of a world: the real service of `libs/common/service.py`, over doors in memory.

A host starts its parts, answers commands and loses all its memory when it is killed. What it serves
is wired as in production; only the doors, the clock and chance come from the world.
"""

import asyncio
from dataclasses import dataclass, field
from random import Random
from typing import Any

from libs.common.errors import Unavailable
from libs.common.handle import Answer, Ask
from libs.common.sealing import Keyring, Refs
from libs.common.service import API, Rooms, Running
from libs.common.tasks import Loops, running
from tests.common.world import WorldClock
from tests.faults.loop import Loop, Process, inside
from tests.faults.weather import Weather, answer
from tests.faults.world_bus import WorldBus
from tests.faults.world_documents import WorldDocuments
from tests.faults.world_keys import WorldKeys
from tests.faults.world_store import WorldStore

KEK = b"k" * 64
REFS = Refs(b"r" * 64)
START_SECONDS = 0.2
"""Between two tries to start, while a door is shut."""
SKEW_SECONDS_MAX = 1.0


@dataclass(eq=False)
class Doors:
    """What outlives every process."""

    weather: Weather
    stores: dict[str, WorldStore]
    bus: WorldBus
    documents: dict[str, WorldDocuments]
    keys: WorldKeys


class Gone(ConnectionError):
    """The process that was asked is no more, or does not answer: the outcome is unknown."""


@dataclass(eq=False)
class Host:
    name: str
    rooms: Rooms
    parts: frozenset[str]
    doors: Doors
    loop: Loop
    chance: Random
    process: Process = field(init=False)
    running: Running = field(init=False)
    state: Loops | None = None
    births: int = 0
    asked: dict["asyncio.Future[Answer]", None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.start()

    @property
    def up(self) -> bool:
        return not self.process.dead

    @property
    def answers(self) -> bool:
        return self.up and API in self.parts

    def start(self) -> None:
        self.births += 1
        self.process = Process(f"{self.name}.{self.births}")
        self.state = None
        off = self.chance.uniform(-SKEW_SECONDS_MAX, SKEW_SECONDS_MAX)
        name, doors = self.rooms.name, self.doors
        ring = Keyring(doors.keys, KEK, self.loop.time, self.chance.randbytes)
        self.running = Running(
            self.rooms, doors.stores[name], doors.bus, doors.documents[name], ring, REFS,
            WorldClock(off), self.parts,
        )  # fmt: skip
        self.running.appender.chance = Random(self.chance.random())
        self.running.views.monotonic = self.loop.time
        self.loop.create_task(self._live(), context=inside(self.process))

    def kill(self) -> None:
        self.loop.kill(self.process)
        self.doors.weather.tell("killed", self.process.name)
        for reply in self.asked:
            answer(reply, Gone("connection reset"))
        self.asked.clear()

    def freeze(self) -> None:
        self.doors.weather.tell("frozen", self.process.name)
        self.loop.freeze(self.process)

    def thaw(self) -> None:
        self.doors.weather.tell("thawed", self.process.name)
        self.loop.thaw(self.process)

    async def ask(self, ask: Ask[Any], patience_seconds: float) -> Answer:
        """As a client over a network. Raises Gone when no answer came, else what the service
        raises. The service is told when its client hangs up, and goes on."""
        reply: asyncio.Future[Answer] = self.loop.create_future()
        self.asked[reply] = None
        serving = self.loop.create_task(self._serve(ask, reply), context=inside(self.process))
        try:
            async with asyncio.timeout(patience_seconds):
                return await reply
        except TimeoutError:
            serving.cancel()
            raise Gone("no reply") from None
        finally:
            self.asked.pop(reply, None)

    def broken(self) -> list[str]:
        """Loops that ended by a mistake and shards that stand still."""
        dead = self.state.dead() if self.state is not None else []
        halted = [
            f"{standing.name} {place}: {why}"
            for standing in self.running.standings()
            for place, why in standing.halted.items()
        ]
        return [f"{self.process.name}: {why}" for why in (*dead, *halted)]

    async def _live(self) -> None:
        while True:
            try:
                async with running(await self.running.loops(), stop=_nothing) as self.state:
                    await asyncio.Event().wait()
            except Unavailable:
                await asyncio.sleep(START_SECONDS)  # between two starts

    async def _serve(self, ask: Ask[Any], reply: "asyncio.Future[Answer]") -> None:
        try:
            told = await self.running.handle(ask)
        except Exception as no:
            self._reply(reply, no)
        else:
            self._reply(reply, told)

    def _reply(self, reply: "asyncio.Future[Answer]", outcome: Answer | Exception) -> None:
        weather = self.doors.weather
        if weather.bad():
            weather.fault("reply lost")
            outcome = Gone("the reply was lost")
        answer(reply, outcome)


def _nothing() -> None:
    """A process of a world is not told to stop: the judge looks at what died."""
