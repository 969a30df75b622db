"""Ten kill -9 of the serving process under load: what was acknowledged is there, once."""

import asyncio
import random
import signal
from pathlib import Path
from typing import Any

from libs.common.client import Reply
from libs.common.messages import Position
from libs.common.ports import SHARDS
from libs.common.verify import verify
from tests.serving import Served, logs, served

KILLS = 10
CLIENTS = 8
SAMPLES = 20
SEED = 20_251_124
CALM_SECONDS = (0.3, 0.9)
REGISTRAR = ("registrar-1", "registrar", "district")
TEACHER = ("teacher-1", "teacher", "sch_1")


def _enrolment(name: str) -> dict[str, Any]:
    return {
        "school": "sch_1",
        "names": {"given": "Given", "family": f"Family{name}"},
        "birth_date": "2014-05-04",
        "grade": "05",
        "language": "en",
        "roster_id": f"roster-{name}",
    }


def _concern(student: str) -> dict[str, Any]:
    return {
        "origin": "concern",
        "student": student,
        "urgency": "routine",
        "domains": ["behavior"],
        "setting": "school",
    }


Told = list[tuple[tuple[Any, ...], Reply]]
"""Requests that were answered, with their answers."""


async def _client(platform: Served, name: int, told: Told) -> None:
    """Enrols and worries, again and again, until it is cancelled."""
    turn = 0
    while True:
        turn += 1
        mark = f"{name}-{turn:05}"
        enrolling = (REGISTRAR, "POST", "/v1/students", _enrolment(mark), f"enrol-{mark}")
        enrolled = await platform.surely(*enrolling)
        assert enrolled.status in (200, 201), enrolled
        told.append((enrolling, enrolled))
        concern = _concern(enrolled.body["student"])
        raising = (TEACHER, "POST", "/v1/referrals", concern, f"raise-{mark}")
        raised = await platform.surely(*raising)
        if raised.status == 404:  # the other service has not heard of the student yet
            continue
        assert raised.status in (200, 201), raised
        told.append((raising, raised))


async def test_ten_kills_under_load_lose_and_double_nothing(tmp_path: Path) -> None:
    seed = random.Random(SEED)
    told: Told = []
    async with served(tmp_path) as platform:
        clients = [asyncio.create_task(_client(platform, n, told)) for n in range(CLIENTS)]
        for _ in range(KILLS):
            before = len(told)
            while len(told) < before + CLIENTS:
                await asyncio.sleep(0.05)  # until there is load again
            await asyncio.sleep(seed.uniform(*CALM_SECONDS))  # the kill comes at any moment
            await platform.stop(signal.SIGKILL)
            await platform.start()
        for client in clients:
            client.cancel()
        outcomes = await asyncio.gather(*clients, return_exceptions=True)
        assert [o for o in outcomes if not isinstance(o, asyncio.CancelledError)] == []
        for request, reply in told[:: len(told) // SAMPLES]:
            again = await platform.surely(*request)
            assert again.headers["idempotent-replayed"] == "true"
            assert (again.body, again.headers["etag"]) == (reply.body, reply.headers["etag"])
        await platform.stop()
    await _judge(tmp_path, told)


async def _judge(folder: Path, told: Told) -> None:
    async with logs(folder) as stores:
        found = {name: await verify(store) for name, store in stores.items()}
        there = {
            commit.position: commit
            for store in stores.values()
            for shard in range(SHARDS)
            for commit in await _whole(store, shard)
        }
    positions = [Position.parse(reply.headers["position"]) for _, reply in told]
    assert len(set(positions)) == len(positions), "two acknowledged commands in one commit"
    for (_, reply), position in zip(told, positions, strict=True):
        assert there[position].content["result"] == reply.body
    assert found["consent"].streams == found["consent"].commits, "a student enrolled twice"


async def _whole(store: Any, shard: int) -> list[Any]:
    found: list[Any] = []
    while batch := await store.log(shard, len(found)):
        found += batch
    return found
