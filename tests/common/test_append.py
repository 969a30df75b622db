"""The appender keeps its promises in worlds that fail, delay, double and roll back."""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import cast
from uuid import UUID

import pytest

from libs.common.adapters.sqlite import SqliteStore
from libs.common.append import Appender
from libs.common.commit import NO_PREV, Commit, Draft, chained, encode_event
from libs.common.errors import Conflict, KeyReused, Refused, StoreAway, TooLarge, WrongVersion
from libs.common.handle import Answer, Ask, Handler
from libs.common.messages import Actor, Command, Dep, Event, Position, State
from libs.common.ports import EventStore, Inserted
from libs.common.sealing import Keyring
from libs.common.shapes import Decider
from tests.common.world import START, WorldClock
from tests.faults.loop import run_virtually
from tests.faults.weather import Weather
from tests.faults.world_store import WorldStore

WORLDS = 150
TRIES_MAX = 200
TROUBLE = 0.08
DRIVER_SECONDS = 5.0
SOMEBODY = Actor("usr_a", "teacher", "sch_a")


class BeadAdded(Event):
    colour: str


class BeadCounted(Event):
    total: int


class Beads(State):
    colours: tuple[str, ...] = ()


class Add(Command):
    colour: str


def decide(beads: Beads, command: Add) -> list[BeadAdded | BeadCounted]:
    if command.colour == "none":
        raise Refused("no-bead", "That is no bead.")
    if command.colour in beads.colours:
        return []
    return [BeadAdded(colour=command.colour), BeadCounted(total=len(beads.colours) + 1)]


def evolve(beads: Beads, event: BeadAdded | BeadCounted) -> Beads:
    match event:
        case BeadAdded():
            return Beads(colours=(*beads.colours, event.colour))
        case BeadCounted():
            return beads


string = Decider[Beads, Add, BeadAdded | BeadCounted](
    "string", decide, evolve, Beads(), lambda _beads, _command: None
)


def process(store: WorldStore, seed: random.Random) -> Handler[Beads, Add, BeadAdded | BeadCounted]:
    appender = Appender(cast("EventStore", store), "beads", WorldClock(), chance=seed)
    return Handler(string, appender, cast("Keyring", None))


async def ask_until_known(
    handle: Handler[Beads, Add, BeadAdded | BeadCounted], ask: Ask[Add]
) -> Answer | None:
    """As a client does: an unknown outcome is asked again with the same key. None = refused."""
    for _ in range(TRIES_MAX):
        try:
            return await handle(ask)
        except StoreAway:
            await asyncio.sleep(0.01)  # virtual seconds
        except (Conflict, WrongVersion):
            return None
    raise AssertionError("the world never healed")


async def world(number: int, trouble: float) -> tuple[WorldStore, dict[UUID, Answer]]:
    seed = random.Random(number)
    store = WorldStore(Weather(seed, trouble))
    processes = [process(store, seed) for _ in range(seed.randint(2, 4))]
    told: dict[UUID, Answer] = {}

    async def client(name: int) -> None:
        for turn in range(6):
            ident = UUID(int=number * 1_000_000 + name * 1_000 + turn)
            stream = f"string/{seed.randrange(4)}"
            ask = Ask(stream, Add(colour=f"{name}.{turn}"), ident, path="POST /beads")
            answer = await ask_until_known(seed.choice(processes), ask)
            if answer is not None:
                told[ident] = answer
            if seed.random() < 0.3:
                again = await ask_until_known(seed.choice(processes), ask)
                assert again is None or answer is None or again.version == answer.version

    await asyncio.gather(*map(client, range(8)))
    store.weather.clear()
    store.settle()
    return store, told


def whole(rows: list[Commit]) -> None:
    """Dense and chained in every shard, dense in every stream, every command once."""
    for shard in range(16):
        assert chained([row for row in rows if row.shard == shard], NO_PREV, 0)
    for stream in {row.stream for row in rows}:
        at = 0
        for row in [r for r in rows if r.stream == stream]:
            assert row.first == at + 1
            at = row.last
    assert len({row.command for row in rows}) == len(rows)


def test_nothing_told_is_lost_or_doubled_in_worlds_that_fail() -> None:
    stored_though_unknown = 0
    for number in range(WORLDS):
        store, told = run_virtually(world(number, TROUBLE), number)
        whole(store.oplog)
        by_command = {row.command: row for row in store.oplog}
        for ident, answer in told.items():
            assert by_command[ident].position == answer.position, f"world {number}"
        stored_though_unknown += store.unknown_stored
    assert stored_though_unknown > WORLDS / 10, "the worlds were too kind to show anything"


def test_a_kind_world_stores_every_command() -> None:
    store, told = run_virtually(world(1, 0.0))
    whole(store.oplog)
    assert len(told) == len(store.oplog) == 48


def _draft(stream: str, ident: int, expected: int = 0, request: str | None = None) -> Draft:
    event = BeadAdded(colour="red")
    return Draft(
        stream, expected, (encode_event(event),), (event.type,), UUID(int=ident), UUID(int=ident),
        SOMEBODY, request=request,
    )  # fmt: skip


def appender(number: int = 1) -> Appender:
    store = WorldStore()
    return Appender(cast("EventStore", store), "beads", WorldClock())


def test_a_draft_whose_stream_has_moved_is_told_so() -> None:
    async def main() -> None:
        append = appender().append
        await append(_draft("string/a", 1))
        with pytest.raises(WrongVersion):
            await append(_draft("string/a", 2))

    run_virtually(main())


def test_a_command_that_comes_again_gets_its_first_commit() -> None:
    async def main() -> None:
        append = appender().append
        first = await append(_draft("string/a", 1, request="sha256:x"))
        await append(_draft("string/a", 2, expected=1))
        again = await append(_draft("string/a", 1, request="sha256:x"))
        assert again == (first.commit, True)

    run_virtually(main())


def test_a_key_that_comes_with_other_words_is_refused() -> None:
    async def main() -> None:
        append = appender().append
        await append(_draft("string/a", 1, request="sha256:x"))
        with pytest.raises(KeyReused):
            await append(_draft("string/a", 1, request="sha256:y"))

    run_virtually(main())


def test_a_commit_that_is_too_large_is_refused_and_harms_nobody() -> None:
    async def main() -> None:
        append = appender().append
        large = Draft(
            "string/b", 0, (b'"' + b"x" * 70_000 + b'"',), ("bead.added",), UUID(int=9),
            UUID(int=9), SOMEBODY,
        )  # fmt: skip
        outcomes = await asyncio.gather(
            append(_draft("string/a", 1)), append(large), append(_draft("string/c", 2)),
            return_exceptions=True,
        )  # fmt: skip
        assert [type(outcome).__name__ for outcome in outcomes] == [
            "Appended", TooLarge.__name__, "Appended",
        ]  # fmt: skip

    run_virtually(main())


def test_a_refusal_is_confirmed_against_a_stream_that_moved_elsewhere() -> None:
    async def main() -> None:
        store = WorldStore()
        here, there = process(store, random.Random(1)), process(store, random.Random(2))
        await here(Ask("string/a", Add(colour="red"), UUID(int=1)))
        await there(Ask("string/a", Add(colour="blue"), UUID(int=2)))
        silent = await here(Ask("string/a", Add(colour="blue"), UUID(int=3)))
        assert (silent.silent, silent.version) == (True, 4)
        stale = Ask("string/a", Add(colour="green"), UUID(int=4), expected=3)
        with pytest.raises(WrongVersion):
            await here(stale)

    run_virtually(main())


def test_a_retried_command_gets_its_first_answer_though_the_state_moved_on() -> None:
    async def main() -> None:
        handle = process(WorldStore(), random.Random(1))
        first = await handle(Ask("string/a", Add(colour="red"), UUID(int=1), path="POST /a"))
        await handle(Ask("string/a", Add(colour="blue"), UUID(int=2), path="POST /a"))
        again = await handle(Ask("string/a", Add(colour="red"), UUID(int=1), path="POST /a"))
        assert again == first._replace(replayed=True)
        with pytest.raises(KeyReused):
            await handle(Ask("string/a", Add(colour="pink"), UUID(int=1), path="POST /a"))

    run_virtually(main())


def test_the_rules_hear_a_time_that_is_later_than_the_cause() -> None:
    async def main() -> None:
        heard: list[datetime] = []

        def decide_at(_beads: Beads, command: Add) -> list[BeadAdded | BeadCounted]:
            heard.append(command.stamp.at)
            return [BeadAdded(colour=command.colour)]

        timed = replace(string, decide=decide_at)
        store = WorldStore()
        behind = Appender(cast("EventStore", store), "beads", WorldClock())
        handle = Handler(timed, behind, cast("Keyring", None))
        cause = Dep(Position("other", 1, 1), START + timedelta(days=1))
        await handle(Ask("string/a", Add(colour="red"), UUID(int=1), cause=cause))
        assert heard[0] > cause.at
        assert store.oplog[0].at == heard[0]

    run_virtually(main())


class CountingStore(SqliteStore):
    def __init__(self, path: Path, parallel: bool = True) -> None:
        super().__init__(path, "beads")
        self.parallel = parallel
        self.groups: list[int] = []

    async def insert(self, rows: Sequence[Commit]) -> Inserted:
        self.groups.append(len(rows))
        return await super().insert(rows)


@pytest.mark.parametrize(
    ("count", "parallel", "groups"),
    [
        (1, True, [1]),
        (15, True, [15]),
        (16, True, [8, 8]),
        (64, False, [64]),
        (601, True, [256, 256, 89]),
    ],
)
async def test_many_who_wait_together_are_written_in_halves(
    count: int, parallel: bool, groups: list[int], tmp_path: Path
) -> None:
    async with CountingStore(tmp_path / "log.db", parallel) as store:
        append = Appender(store, "beads", WorldClock()).append
        drafts = [_draft(f"string/{number}", number) for number in range(1, count + 1)]
        outcomes = await asyncio.gather(*map(append, drafts))
    assert len({str(outcome.commit.position) for outcome in outcomes}) == count
    assert store.groups == groups


class AwayStore(WorldStore):
    """Silent from the first insert on: each call takes a driver's five seconds, and fails."""

    async def insert(self, _rows: Sequence[Commit]) -> Inserted:
        self.weather.away.add(self.name)
        await asyncio.sleep(DRIVER_SECONDS)  # waits: virtual seconds
        return Inserted(0, "unknown")

    async def by_commands(
        self, _commands: Sequence[UUID], local: bool = False
    ) -> dict[UUID, Commit]:
        await asyncio.sleep(DRIVER_SECONDS)  # waits: virtual seconds
        raise StoreAway("locally" if local else "at majority")


def test_a_caller_hears_of_a_store_that_is_away_before_giving_up() -> None:
    async def asked() -> float:
        seed = random.Random(1)
        handle = process(AwayStore(), seed)
        ask = Ask("string/a", Add(colour="red"), UUID(int=1), path="POST /beads")
        with pytest.raises(StoreAway):
            await handle(ask)
        return asyncio.get_running_loop().time()

    assert run_virtually(asked()) <= 3 * DRIVER_SECONDS
