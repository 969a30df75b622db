"""Question: what does one consent decision cost, beside asking another service over HTTP?"""

import asyncio
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from time import perf_counter
from typing import Any
from uuid import UUID

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from bench.figures import Figures, in_turns, measured, peak_megabytes
from bench.question import Contender, Question, Row
from deploy.engines.engines import free_port
from libs.common.messages import Actor, Position, Recorded, Role
from libs.common.ports import SHARDS
from libs.common.web.client import Client
from services.consent.events import (
    DISTRICT,
    ConsentGranted,
    ConsentRevoked,
    Purpose,
    RecordClass,
    Terms,
)
from services.consent.views.access import Access, Allow, access, access_key, clauses, may
from services.consent.views.students import Pupil

STUDENTS = 57_000
STRIDE = 7_919
"""Students are asked about in no order; a prime, so that each has its turn."""
TODAY = date(2026, 3, 4)
YEAR = timedelta(days=365)
AGENCY = "agy_bench"
WHO = Actor("usr_bench", Role.GUARDIAN, "family")
AT = datetime(2025, 9, 1, tzinfo=UTC)
CONNECTIONS = 32
HOST = "127.0.0.1"
GRANTS = (
    ((RecordClass.CONTACT,), "revoked"),
    ((RecordClass.REFERRAL, RecordClass.CONTACT), "open"),
    ((RecordClass.OUTCOME, RecordClass.ATTENDANCE), "open"),
)
QUESTIONS = (RecordClass.OUTCOME, RecordClass.REFERRAL, RecordClass.GRADES)
"""The last grant allows, an earlier one allows, none does: each a third of what is asked."""


def _access(student: str, number: int) -> Access:
    """As the read model is folded: three answers of a family, the first taken back since."""
    known: Access | None = None
    for grant, (classes, situation) in enumerate(GRANTS):
        terms = Terms(
            holder=DISTRICT,
            recipient=AGENCY,
            classes=frozenset(classes),
            purposes=frozenset({Purpose.REFERRAL, Purpose.TREATMENT}),
            starts=TODAY - YEAR,
            until=TODAY + YEAR,
        )
        about: dict[str, Any] = {"student": student, "grant": f"gr_{student}_{grant}", "version": 1}
        granted = ConsentGranted.model_construct(**about, signer="usr_bench", terms=terms)
        known = access.fold(known, _recorded(granted, number), "")
        if situation == "revoked":
            revoked = ConsentRevoked.model_construct(**about, recipient=AGENCY)
            known = access.fold(known, _recorded(revoked, number), "")
    assert known is not None
    return known


def _recorded(event: ConsentGranted | ConsentRevoked, number: int) -> Recorded[Any]:
    position = Position("consent", number % SHARDS, number)
    return Recorded(event, AT, "", 1, position, WHO, UUID(int=number))


async def decisions(_: Path, size: int) -> Figures:
    """Each with the reason of its no, or the grant, version and position of its yes."""
    students = [f"stu_{number}" for number in range(STUDENTS)]
    pupils = {student: Pupil(student=student, school="sch_bench") for student in students}
    known = {
        access_key(student, AGENCY): clauses(_access(student, number))
        for number, student in enumerate(students)
    }
    allowed, began = 0, perf_counter()
    for number in range(size):
        student = students[number * STRIDE % STUDENTS]
        answer = may(
            pupils.get(student),
            known.get(access_key(student, AGENCY), ()),
            QUESTIONS[number % len(QUESTIONS)],
            Purpose.REFERRAL,
            TODAY,
        )
        allowed += isinstance(answer, Allow)
    wall = perf_counter() - began
    assert allowed == size - size // len(QUESTIONS)
    return {"per_second": size / wall, "megabytes": peak_megabytes()}


async def hop(_: Path, size: int) -> Figures:
    """The least that a question to another service costs: a constant over a kept connection."""

    async def answer(_: Request) -> JSONResponse:
        return JSONResponse({"allowed": True})

    port = free_port()
    app = Starlette(routes=[Route("/may", answer)])
    config = uvicorn.Config(app, host=HOST, port=port, log_level="warning", lifespan="off")
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)

    async with Client(HOST, port, CONNECTIONS) as client:

        async def ask(_: int) -> None:
            assert (await client.request("GET", "/may")).status == 200

        found = await measured(lambda: in_turns(range(size), ask, CONNECTIONS))
    server.should_exit = True
    await serving
    return found


question = Question(
    "consent",
    "May this agency see this? 57,000 students with 3 grants each, in memory, with the reason",
    (
        Contender("ours", "bench.consent:decisions", 600_000, 60_000),
        Contender("one HTTP hop", "bench.consent:hop", 10_000, 1_000),
    ),
    (
        Row("B12", "decisions/s, each with its reason", "ours", 300_000),
        Row("B12", "decisions/s, against questions/s over one HTTP hop", "ours", 50,
            "one HTTP hop"),
    ),
    quick_rounds=1,
)  # fmt: skip
