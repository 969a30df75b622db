"""One world: two services in several processes, clients that ask, a storm, and calm after it."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any
from uuid import UUID

import orjson

from libs.common.consume import Standing
from libs.common.errors import Conflict, KeyReused, Refused, Unavailable, WrongVersion
from libs.common.handle import Answer, Ask
from libs.common.messages import Command
from libs.common.service import API, PROJECT, RELAY
from tests.common.beads import STAMP, Add
from tests.faults.hosts import Doors, Gone, Host
from tests.faults.judging import Told, folded
from tests.faults.loop import Loop, Process, loop_of
from tests.faults.two_logs import BEADS, BOXES, COLOURS, Drop, box_of, boxing, remembering, rooms
from tests.faults.weather import Weather
from tests.faults.world_bus import WorldBus
from tests.faults.world_documents import WorldDocuments
from tests.faults.world_keys import WorldKeys
from tests.faults.world_store import WorldStore

TROUBLES = (0.0, 0.02, 0.05, 0.1)
STORM_SECONDS = (1.0, 4.0)
BLOWS_MAX = 7
CLIENTS_MAX = 4
TURNS_MAX = 7
STREAMS = 3
STUDENTS = 3
PATIENCE_SECONDS = (0.5, 3.0)
THOUGHT_PER_SECOND = 4.0
CALM_SECONDS_MAX = 400.0
"""Virtual seconds after which something that has not come will not come."""
LOOK_SECONDS = 0.5
PATH = "POST /v1/beads"


@dataclass(eq=False)
class World:
    """One seed, alive."""

    seed: int
    chance: Random
    loop: Loop
    doors: Doors
    hosts: list[Host] = field(default_factory=list)
    told: Told = field(default_factory=Told)

    @classmethod
    def of(cls, seed: int) -> "World":
        chance = Random(seed)
        loop = loop_of(Random(chance.random()))
        weather = Weather(Random(chance.random()), chance.choice(TROUBLES))
        doors = Doors(
            weather,
            {name: WorldStore(weather, f"store.{name}") for name in (BEADS, BOXES)},
            WorldBus(weather),
            {name: WorldDocuments(weather, f"documents.{name}") for name in (BEADS, BOXES)},
            WorldKeys(weather),
        )
        return cls(seed, chance, loop, doors)

    async def live(self) -> None:
        """Storm, calm, and a last look. What is wrong by then stays wrong."""
        made = rooms(self.chance.choice((boxing, remembering)))
        for name, room in made.items():
            for number, parts in enumerate(self._parts()):
                label = f"{name}{number}:{'+'.join(sorted(parts))}"
                one = Random(self.chance.random())
                self.hosts.append(Host(label, room, parts, self.doors, self.loop, one))
        clients = [
            self.loop.create_task(self._client(number, Random(self.chance.random())))
            for number in range(self.chance.randint(2, CLIENTS_MAX))
        ]
        await self._storm()
        self._clear()
        async with asyncio.timeout(CALM_SECONDS_MAX):
            await asyncio.gather(*clients)
            while self.waits():
                await asyncio.sleep(LOOK_SECONDS)

    def _parts(self) -> list[frozenset[str]]:
        """One to three processes for each part, some of them for several parts."""
        chance = self.chance
        whole = frozenset({API, RELAY, PROJECT})
        if chance.random() < 0.5:
            return [whole] * chance.choice((1, 1, 2, 3))
        split = [frozenset({part}) for part in sorted(whole)]
        return split + chance.sample(split, chance.choice((0, 1, 1, 2)))

    async def _storm(self) -> None:
        chance = self.chance
        length = chance.uniform(*STORM_SECONDS)
        moments = sorted(chance.uniform(0, length) for _ in range(chance.randint(0, BLOWS_MAX)))
        for moment in moments:
            await asyncio.sleep(max(0.0, moment - self.loop.time()))
            self._blow(chance)
        await asyncio.sleep(max(0.0, length - self.loop.time()))

    def _blow(self, chance: Random) -> None:
        weather = self.doors.weather
        host = chance.choice(self.hosts)
        kind = chance.choice(("kill", "kill", "freeze", "freeze", "shut", "fail over"))
        if kind == "kill" and host.up:
            weather.faults["kill"] += 1
            host.kill()
            self.loop.call_later(chance.expovariate(1.5), self._start, host)
        elif kind == "freeze" and host.up and not host.process.frozen:
            weather.faults["freeze"] += 1
            host.freeze()
            self.loop.call_later(chance.uniform(0.1, 4.0), self._thaw, host, host.process)
        elif kind == "shut":
            door = chance.choice(sorted([*self.names(), "bus", "keys"]))
            weather.fault("shut", door)
            weather.away.add(door)
            self.loop.call_later(chance.uniform(0.1, 3.0), weather.away.discard, door)
        elif kind == "fail over":
            self.doors.stores[chance.choice((BEADS, BOXES))].fail_over()

    def names(self) -> Iterator[str]:
        for name in (BEADS, BOXES):
            yield f"store.{name}"
            yield f"documents.{name}"

    def _start(self, host: Host) -> None:
        if not host.up:
            host.start()
            self.doors.weather.tell("started", host.process.name)

    def _thaw(self, host: Host, process: Process) -> None:
        if host.process is process and process.frozen:
            host.thaw()

    def _clear(self) -> None:
        """Everything is mended; what was under way goes on."""
        self.doors.weather.tell("the weather clears")
        self.doors.weather.clear()
        for store in self.doors.stores.values():
            store.settle()
        for host in self.hosts:
            self._start(host)
            self._thaw(host, host.process)

    def waits(self) -> list[str]:
        """What has still to come."""
        found = []
        for name, store in self.doors.stores.items():
            shards = Counter(row.shard for row in store.oplog)
            for shard, count in shards.items():
                topic = self.doors.bus.topics.get((name, shard), ())
                if not any(commit.seq == count for commit in topic):
                    found.append(f"topic {name}:{shard} has not heard of {count}")
            for host in self.hosts:
                for standing in host.running.standings():
                    if name in standing.logs:
                        found += self._behind(name, shards, host, standing)
        for name in (BEADS, BOXES):
            ours = [h for h in self.hosts if h.rooms.name == name and not h.running.built]
            found += [f"{host.process} is not ready" for host in ours]
        if list(folded(self.doors, rooms(boxing)[BEADS].clocks)):
            found.append("timers run")
        return found

    def _behind(self, log: str, shards: Counter[int], host: Host, standing: Standing) -> list[str]:
        """A cursor that several processes share counts by what is stored."""
        memory = standing.name in host.running.memories
        stored = self.doors.documents[host.rooms.name].kinds.get("cursors", {})
        found = []
        for shard, count in shards.items():
            if memory:
                at = standing.seqs().get(f"{log}:{shard}", 0)
            else:
                body = stored.get(f"{standing.name}|{log}:{shard}", (0, b""))[1]
                at = _seq(body)
            if at < count:
                found.append(f"{host.process} {standing.name} {log}:{shard} at {at} of {count}")
        return found

    async def _client(self, number: int, chance: Random) -> None:
        for turn in range(chance.randint(2, TURNS_MAX)):
            await asyncio.sleep(chance.expovariate(THOUGHT_PER_SECOND))
            name = UUID(int=self.seed * 1_000_000 + number * 1_000 + turn)
            log, ask = self._wish(name, chance)
            answer = await self._surely(log, ask, chance)
            if answer is None or answer.silent or chance.random() < 0.6:
                continue
            again = await self._surely(log, ask, chance)
            if again is None or again[:3] != answer[:3]:
                self.told.wrong.append(f"{name} was told {answer}, then {again}")
            if chance.random() < 0.5:
                await self._other_words(log, ask, chance)

    def _wish(self, name: UUID, chance: Random) -> tuple[str, Ask[Any]]:
        student = f"stu_{chance.randrange(STUDENTS)}"
        colour, note = chance.choice(COLOURS), chance.choice((None, "planted"))
        command: Command
        if chance.random() < 0.2:
            log, stream = BOXES, box_of(chance.choice(COLOURS[:-1]))
            command = Drop(colour=colour, student=student, note=note)
        else:
            log, stream = BEADS, f"string/{chance.randrange(STREAMS)}"
            command = Add(colour=colour, student=student, note=note)
        expected = chance.choice((*(None,) * 8, 0, 1, 2))
        result = {"name": str(name)}
        return log, Ask(
            stream, command.stamped(STAMP), name, path=PATH, expected=expected, result=result
        )

    async def _surely(self, log: str, ask: Ask[Any], chance: Random) -> Answer | None:
        """Asks until it knows, as a careful client does. None is a no."""
        told = self.told
        told.asked.add(ask.id)
        while True:
            try:
                answer = await self._once(log, ask, chance)
            except (Gone, Unavailable, Conflict):
                told.unknown += 1
                await asyncio.sleep(chance.uniform(0.01, 0.5))
                continue
            except (Refused, WrongVersion) as no:
                if ask.id in told.answers:
                    told.wrong.append(f"{ask.id} was told yes, then {no!r}")
                told.denied[ask.id] = type(no).__name__
                self.doors.weather.tell(f"{ask.id} refused: {no}", "client")
                return None
            told.answers.setdefault(ask.id, (log, ask, answer))
            self.doors.weather.tell(f"{ask.id} {ask.stream} told {answer.position}", "client")
            return answer

    async def _once(self, log: str, ask: Ask[Any], chance: Random) -> Answer:
        there = [host for host in self.hosts if host.rooms.name == log and host.answers]
        if not there:
            raise Gone("nobody is there")
        host = chance.choice(there)
        self.doors.weather.tell(f"asks {ask.id} {ask.stream} at {host.process}", "client")
        return await host.ask(ask, chance.uniform(*PATIENCE_SECONDS))

    async def _other_words(self, log: str, ask: Ask[Any], chance: Random) -> None:
        """The same key with another command is always refused."""
        other = ask.command.model_copy(update={"note": "other words"})
        while True:
            try:
                answer = await self._once(log, Ask(ask.stream, other, ask.id, path=PATH), chance)
            except (Gone, Unavailable, Conflict):
                await asyncio.sleep(chance.uniform(0.01, 0.5))
            except KeyReused:
                return
            except (Refused, WrongVersion) as no:
                self.told.wrong.append(f"{ask.id} in other words was refused as {no!r}")
                return
            else:
                self.told.wrong.append(f"{ask.id} in other words was told {answer}")
                return


def _seq(body: bytes) -> int:
    return int(orjson.loads(body)["seq"]) if body else 0
