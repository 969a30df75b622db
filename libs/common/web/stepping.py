"""The driver's hand on a stepped clock: POST /clock moves time, GET /clock tells who has caught up.

Mounted only beside the development issuer, and answered only to this machine. The driver moves the
clock of every process, then asks all of them in rounds until nothing changes any more.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import orjson
from fastapi import FastAPI
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response

from libs.common.clock import SteppedClock
from libs.common.messages import Instant, Message, instant
from libs.common.web.issuer import is_loopback
from libs.common.web.problems import PROBLEM_TYPE, Problem

CLOCK_PATH = "/clock"
BODY_BYTES_MAX = 1_000
NO_STORE = {"Cache-Control": "no-store"}


@dataclass(frozen=True)
class CaughtUp:
    """Where a process is. `swept` is the time of its timers' last whole sweep, of the rearmost if
    there are several; `due` when the next timer is due that was not asked for, past where the sweep
    made one due; `waiting` are commands under way; `heads` the ends of its own logs as `consent:3`
    -> seq; `cursors` where each reader stands, `logs` which logs each one hears."""

    sweeps: bool
    swept: datetime | None
    due: datetime | None
    waiting: int
    heads: Mapping[str, int]
    cursors: Mapping[str, Mapping[str, int]]
    logs: Mapping[str, Sequence[str]]


class Step(Message):
    now: Instant


def drive(
    app: FastAPI,
    clock: SteppedClock,
    report: Callable[[], Awaitable[CaughtUp]],
    moved: Callable[[], None],
) -> None:
    """`moved` wakes whoever looks at the clock. Tell `check_routes` about CLOCK_PATH."""

    async def told() -> Response:
        found = await report()
        content = {
            "now": instant(clock.now()),
            "sweeps": found.sweeps,
            "swept": instant(found.swept) if found.swept else None,
            "due": instant(found.due) if found.due else None,
            "waiting": found.waiting,
            "heads": dict(found.heads),
            "cursors": {name: dict(cursor) for name, cursor in found.cursors.items()},
            "logs": {name: list(heard) for name, heard in found.logs.items()},
        }
        return Response(orjson.dumps(content), 200, NO_STORE, "application/json")

    async def look(request: Request) -> Response:
        return await told() if _is_here(request) else _no(403, "not-here")

    async def step(request: Request) -> Response:
        if not _is_here(request):
            return _no(403, "not-here")
        try:
            asked = Step.model_validate_json(await _body(request))
            clock.advance(asked.now)
        except ValidationError:
            return _no(422, "malformed")
        except ValueError:
            return _no(409, "no-such-step")
        moved()
        return await told()

    app.add_api_route(CLOCK_PATH, look, methods=["GET"], include_in_schema=False)
    app.add_api_route(CLOCK_PATH, step, methods=["POST"], include_in_schema=False)


def _is_here(request: Request) -> bool:
    return request.client is not None and is_loopback(request.client.host)


async def _body(request: Request) -> bytes:
    raw = b""
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > BODY_BYTES_MAX:
            raise ValueError("too large")
    return raw


def _no(status: int, code: str) -> Response:
    body = Problem(status, code).body()
    return Response(body, status, NO_STORE, PROBLEM_TYPE.decode())
