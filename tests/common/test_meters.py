"""Figures: what they may carry, what is shown of loops and readers, and that they arrive."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from libs.common import meters
from libs.common.adapters import open_store
from libs.common.consume import Cursor, Halt, Standing
from libs.common.errors import StoreAway
from libs.common.fence import Why
from libs.common.messages import Position
from libs.common.meters import APPEND, COMMITS, HTTP, INSTRUMENTS, REFUSALS, count, measure
from libs.common.ports import SHARDS
from libs.common.relay import Relay
from libs.common.service import Running
from libs.common.tasks import Died, running
from libs.common.watching import Watching
from tests.collector import METRICS, Collector, Point, collecting
from tests.common.broken import written
from tests.common.doors import open_doors, service, until
from tests.common.topics import MemoryBus
from tests.failing import Failing, FailingBus
from tests.ports.chains import LOG

NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)
PLACE = ("beads", 3)


@contextmanager
def metered() -> Iterator[Collector]:
    """Figures are sent while it is open, and have all arrived when it is closed."""
    with collecting() as collector:
        meters.start("beads", collector.url + METRICS)
        try:
            yield collector
        finally:
            meters.stop()


def values(collector: Collector, name: str) -> list[tuple[dict[str, Any], float]]:
    return [(dict(p.said), p.value) for p in collector.points() if p.name == f"alliance.{name}"]


def test_figures_arrive_with_their_unit_and_what_they_are_of() -> None:
    with metered() as collector:
        count(COMMITS, 3, log="beads")
        count(COMMITS, 4, log="beads")
        measure(APPEND, 0.25, log="beads")
        measure(HTTP, 0.5, route="/v1/beads/{ref}", method="GET", status=404)
    found = {point.name: point for point in collector.points()}
    assert found["alliance.commits"] == Point(
        "beads", meters.instance(), "alliance.commits", "{commit}", {"log": "beads"}, 7
    )
    assert found["alliance.append.duration"].unit == "s"
    assert found["alliance.append.duration"].value == 1
    route = {"route": "/v1/beads/{ref}", "method": "GET", "status": 404}
    assert values(collector, "http.duration") == [(route, 1)]


def test_a_figure_carries_what_it_must_and_nothing_else() -> None:
    with metered():
        for labels in ({}, {"log": "x", "code": "y"}, {"student": "Hanna"}):
            with pytest.raises(TypeError, match=r"alliance\.commits"):
                count(COMMITS, **labels)  # type: ignore[arg-type]  # mypy sees it before anybody runs it


def test_a_value_that_is_no_word_of_ours_is_told_as_other() -> None:
    with metered() as collector:
        for code in ("over", "He threw the chair", "x" * 200, ""):
            count(REFUSALS, status=409, code=code)
    told = {said["code"]: value for said, value in values(collector, "refusals")}
    assert told == {"over": 1, "other": 3}


def test_there_are_only_so_many_codes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meters, "CODES_MAX", 2)
    with metered() as collector:
        for code in ("one", "two", "three", "one", "four"):
            count(REFUSALS, status=409, code=code)
    told = {said["code"]: value for said, value in values(collector, "refusals")}
    assert told == {"one": 2, "two": 1, "other": 2}


def test_what_is_shown_no_more_is_told_no_more() -> None:
    with metered() as collector:
        meters.show({meters.FENCED: [(2, {"log": "beads"}), (1, {"log": "pearls"})]})
        meters.show({meters.FENCED: [(0, {"log": "beads"})]})
    assert values(collector, "shards.fenced") == [({"log": "beads"}, 0)]


def test_every_figure_has_its_own_name_and_says_what_it_is() -> None:
    assert all(one.text.endswith(".") and one.unit for one in INSTRUMENTS.values())
    assert all(one.bounds for one in INSTRUMENTS.values() if one.kind == "histogram")


def test_the_sdk_is_not_even_imported_without_an_address() -> None:
    code = (
        "import sys\n"
        "from libs.common import meters, telemetry\n"
        "telemetry.start('beads', None)\n"
        "meters.start('beads', None)\n"
        "with telemetry.span('append', count=3): pass\n"
        "meters.count(meters.COMMITS, log='beads')\n"
        "meters.stop()\n"
        "telemetry.stop()\n"
        "assert 'opentelemetry.sdk' not in sys.modules\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@dataclass
class Hand:
    """A clock, and the seconds of a loop, moved together by hand."""

    seconds: float = 1_000.0

    def now(self) -> datetime:
        return NOON + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds


@dataclass(eq=False)
class Looked:
    """A service that stands still while it is looked at, and what each look tells."""

    service: Running
    hand: Hand
    watching: Watching = field(init=False)
    reasons: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.watching = Watching(
            [self.service], lambda: None, lambda: self.reasons, self.hand.monotonic
        )

    @property
    def standing(self) -> Standing:
        return self.service.reacting[0].standing

    def stands(self, seq: int, end: int, ago: float) -> None:
        """At this seq, of a commit that is so many seconds old, in a shard with so many."""
        at = self.hand.now() - timedelta(seconds=ago)
        self.standing.cursors[PLACE] = Cursor(seq, "x", seq - 1, at)
        self.standing.ends = lambda: {PLACE: end, ("others", 1): 9}

    def look(self, name: str) -> float:
        """The one value of a figure, as it is sent."""
        with metered() as collector:
            self.watching.look()
        ((_, value),) = values(collector, name)
        return value


@pytest.fixture
async def looked(tmp_path: Path) -> Any:
    hand = Hand()
    async with open_doors(tmp_path) as doors:
        yield Looked(await service(doors, clock=hand, relayed=True), hand)


async def test_lag_is_told_in_commits_and_in_seconds(looked: Looked) -> None:
    looked.stands(seq=2, end=5, ago=7_200)
    assert looked.look("reader.behind") == 3
    assert looked.look("reader.lag") == 7_200  # it was never seen at the end: its commit's age
    looked.stands(seq=5, end=5, ago=7_200)
    assert looked.look("reader.behind") == 0
    assert looked.look("reader.lag") == 0
    looked.hand.seconds += 60
    looked.stands(seq=5, end=6, ago=7_260)
    assert looked.look("reader.lag") == 60  # after two quiet hours a commit is at most that old
    looked.stands(seq=6, end=9, ago=4)
    assert looked.look("reader.lag") == 4  # it is always a little behind, and never for long


async def test_a_gap_is_as_old_as_its_reader_has_not_moved(looked: Looked) -> None:
    looked.stands(seq=2, end=9, ago=0)
    assert looked.look("reader.gap") == 0
    looked.standing.gaps[PLACE] = 7
    assert looked.look("reader.gap") == 0
    looked.hand.seconds += 30
    looked.standing.gaps.clear()  # reading began anew
    assert looked.look("reader.gap") == 30
    looked.standing.gaps[PLACE] = 7
    looked.hand.seconds += 30
    assert looked.look("reader.gap") == 60
    looked.stands(seq=9, end=9, ago=0)
    looked.standing.gaps.clear()
    assert looked.look("reader.gap") == 0


async def test_what_stands_still_is_counted(looked: Looked) -> None:
    assert (looked.look("reader.halts"), looked.look("shards.fenced")) == (0, 0)
    looked.standing.halted[PLACE] = Halt(Position(*PLACE, 1), "bead/1", "ValueError")
    looked.service.relay.fence.held |= {1: Why.BEHIND, 2: Why.FORK, 3: Why.DOUBT}
    assert (looked.look("reader.halts"), looked.look("shards.fenced")) == (1, 2)


async def test_what_is_not_sent_and_not_looked_at_has_an_age(looked: Looked) -> None:
    assert looked.look("relay.lag") == 0
    looked.service.relay.unsent |= {
        shard: looked.hand.now() - timedelta(seconds=60 + shard) for shard in (2, 4)
    }
    looked.service.timers.swept = looked.hand.now() - timedelta(seconds=9)
    assert (looked.look("relay.lag"), looked.look("sweep.age")) == (64, 9)


async def test_a_mistake_in_looking_ends_nothing_and_tells_nothing(
    looked: Looked, capsys: pytest.CaptureFixture[str]
) -> None:
    def mistaken() -> dict[Any, Any]:
        raise KeyError("Hanna")

    looked.standing.ends = mistaken
    with metered() as collector:
        looked.watching.look()
    assert collector.points() == []
    line = json.loads(capsys.readouterr().err)
    assert (line["event"], line["error"]) == ("watching.failed", "KeyError")
    assert "Hanna" not in str(line)


async def test_readiness_is_a_figure(looked: Looked) -> None:
    assert looked.look("ready") == 1
    looked.reasons.append("its views are being built")
    assert looked.look("ready") == 0


async def test_a_loop_that_falls_is_not_up_for_a_while() -> None:
    tries = 0

    async def falling() -> None:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise StoreAway
        await asyncio.Event().wait()

    async def dying() -> None:
        raise ValueError

    async def well() -> None:
        await asyncio.Event().wait()

    async def run() -> None:
        loops = {"falls": falling, "dies": dying, "runs": well}
        async with running(loops, stop=lambda: None) as state:

            async def fell() -> bool:
                return tries > 1 and state.dead() == ["dies"]

            await until(fell)
            assert state.up() == {"falls": False, "dies": False, "runs": True}

    with metered() as collector, pytest.raises(Died, match="dies"):
        await run()
    ends = {(said["loop"], said["end"]): n for said, n in values(collector, "loop.ends")}
    assert {pair for pair, n in ends.items() if n} == {("falls", "away"), ("dies", "died")}
    assert len(ends) == 9  # those that did not happen are there too, as zero


async def test_a_relay_knows_how_old_is_what_it_could_not_send(tmp_path: Path) -> None:
    await written(tmp_path)
    fail = Failing(SHARDS + 1, armed=True)  # it finds every tail, then the first sending fails
    async with open_store(f"sqlite://{tmp_path}", LOG) as store:
        relay = Relay(store, FailingBus(MemoryBus(), fail), LOG)
        with pytest.raises(StoreAway):
            await relay.run()
        ((shard, at),) = relay.unsent.items()
        assert at == (await store.log(shard, 0, 1))[0].at
        again = asyncio.create_task(relay.run())

        async def flows() -> bool:
            return relay.unsent == {} and all(seq > 1 for seq in relay.nexts)

        await until(flows)
        again.cancel()
        await asyncio.gather(again, return_exceptions=True)
