"""Time as a door: real, moved by hand, or shifted; and the driver's hand on it."""

from datetime import UTC, datetime, timedelta, timezone

import httpx2
import pytest
from fastapi import FastAPI

from libs.common.clock import ShiftedClock, SteppedClock, SystemClock
from libs.common.web.application import application, check_routes
from libs.common.web.stepping import CLOCK_PATH, CaughtUp, drive

START = datetime(2025, 9, 1, 12, tzinfo=UTC)
DUE = datetime(2025, 9, 5, 12, tzinfo=UTC)
A_BLINK = timedelta(seconds=5)


def test_the_system_clock_is_real_and_knows_its_zone() -> None:
    now = SystemClock().now()
    assert abs(datetime.now(UTC) - now) < A_BLINK
    assert now.tzinfo is UTC


def test_a_shifted_clock_runs_some_way_off() -> None:
    shifted = ShiftedClock(timedelta(days=-100))
    assert abs(datetime.now(UTC) - timedelta(days=100) - shifted.now()) < A_BLINK


def test_a_stepped_clock_stands_until_it_is_moved() -> None:
    clock = SteppedClock(START)
    assert clock.now() == clock.now() == START
    clock.advance(datetime(2025, 9, 2, 8, tzinfo=timezone(timedelta(hours=-4))))
    assert clock.now() == datetime(2025, 9, 2, 12, tzinfo=UTC)
    clock.advance(clock.now())


@pytest.mark.parametrize(
    "to",
    [
        START - timedelta(seconds=1),
        START + timedelta(microseconds=1),
        START.replace(tzinfo=None) + timedelta(days=1),
        START + timedelta(days=801),
    ],
)
def test_time_goes_forward_in_whole_seconds_only(to: datetime) -> None:
    clock = SteppedClock(START)
    with pytest.raises(ValueError, match=r"step|back"):
        clock.advance(to)
    assert clock.now() == START


def driven(clock: SteppedClock, moves: list[datetime]) -> FastAPI:
    async def report() -> CaughtUp:
        return CaughtUp(
            sweeps=True,
            swept=moves[-1] if moves else None,
            due=DUE,
            waiting=2,
            heads={"beads:3": 17},
            cursors={"tallies_v1_g1": {"beads:3": 16}},
            logs={"tallies_v1_g1": ["beads"]},
        )

    app = application("beads", list)
    drive(app, clock, report, lambda: moves.append(clock.now()))
    return app


def reach(app: FastAPI, caller: str = "127.0.0.1") -> httpx2.AsyncClient:
    transport = httpx2.ASGITransport(app, client=(caller, 1))
    return httpx2.AsyncClient(transport=transport, base_url="http://localhost")


async def test_a_driver_moves_the_clock_and_sees_who_has_caught_up() -> None:
    moves: list[datetime] = []
    app = driven(SteppedClock(START), moves)
    async with reach(app) as client:
        before = (await client.get("/clock")).json()
        assert before["now"] == "2025-09-01T12:00:00.000000Z"
        assert before["swept"] is None
        reply = await client.post("/clock", json={"now": "2025-09-02T08:00:00-04:00"})
        assert reply.json() == {
            "now": "2025-09-02T12:00:00.000000Z",
            "sweeps": True,
            "swept": "2025-09-02T12:00:00.000000Z",
            "due": "2025-09-05T12:00:00.000000Z",
            "waiting": 2,
            "heads": {"beads:3": 17},
            "cursors": {"tallies_v1_g1": {"beads:3": 16}},
            "logs": {"tallies_v1_g1": ["beads"]},
        }
    assert moves == [datetime(2025, 9, 2, 12, tzinfo=UTC)]


async def test_a_wrong_step_moves_nothing() -> None:
    moves: list[datetime] = []
    async with reach(driven(SteppedClock(START), moves)) as client:
        for body, status in [
            ({"now": "2025-08-01T00:00:00Z"}, 409),
            ({"now": "2025-09-02T12:00:00"}, 422),
            ({"now": "tomorrow"}, 422),
            ({}, 422),
        ]:
            assert (await client.post("/clock", json=body)).status_code == status
    assert moves == []


async def test_only_this_machine_moves_time() -> None:
    moves: list[datetime] = []
    async with reach(driven(SteppedClock(START), moves), "192.0.2.1") as client:
        assert (await client.get("/clock")).status_code == 403
        step = {"now": "2025-09-02T12:00:00Z"}
        assert (await client.post("/clock", json=step)).status_code == 403
    assert moves == []


def test_the_clock_s_routes_must_be_known_by_name() -> None:
    app = driven(SteppedClock(START), [])
    check_routes(app, [CLOCK_PATH])
    with pytest.raises(TypeError, match=CLOCK_PATH):
        check_routes(app)
