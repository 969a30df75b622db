"""Question: what is left of a FastAPI application's speed when its answer is durable?"""

from functools import partial
from pathlib import Path
from typing import Any

from bench.domain import Write, asks
from bench.figures import Figures, cpu_seconds, in_turns, measured
from bench.programs import Server, served
from bench.question import Contender, Question, Row
from deploy.engines.engines import free_port
from libs.common.handle import Ask

CONNECTIONS = 32
WARMING = 200
"""Requests before anything is measured: connections, the token, the first imports."""


async def ours(folder: Path, size: int) -> Figures:
    return await _asked(folder, size, "/v1/notes", 201)


async def validating(folder: Path, size: int) -> Figures:
    return await _asked(folder, size, "/validate", 200)


async def _asked(folder: Path, size: int, path: str, status: int) -> Figures:
    port = free_port()
    arguments = ("bench.serving", str(folder), str(port))
    async with served(arguments, port, folder / "output", CONNECTIONS) as server:
        token = (folder / "token").read_text()
        post = partial(_post, server, path, status, token)
        coming = asks(WARMING + size)
        await in_turns((next(coming) for _ in range(WARMING)), post, CONNECTIONS)
        before = cpu_seconds(server.pid)
        found = await measured(lambda: in_turns(coming, post, CONNECTIONS))
        used = cpu_seconds(server.pid) - before
    return {**found, "server_cpu_us": 1e6 * used / size}


async def _post(server: Server, path: str, status: int, token: str, ask: Ask[Write]) -> None:
    """The same request to both; who only validates does not look at the headers."""
    headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": str(ask.id)}
    reply = await server.client.request(
        "POST", f"{path}/{ask.command.student}", _body(ask.command), headers
    )
    if reply.status != status:
        raise AssertionError(f"{path} answers {reply.status}")


def _body(command: Write) -> dict[str, Any]:
    return {
        "student": command.student,
        "number": command.number,
        "setting": command.setting,
        "title": command.title,
        "text": command.text,
    }


question = Question(
    "http",
    "One POST over HTTP, 32 connections, the load generator on the same cores",
    (
        Contender("ours", "bench.http:ours", 20_000, 1_000),
        Contender("FastAPI, validating only", "bench.http:validating", 20_000, 1_000),
    ),
    (
        Row("B5", "requests/s: token, idempotency, problem documents, durable append; against the "
            "same application validating only", "ours", 0.6, "FastAPI, validating only"),
    ),
    quick_rounds=1,
)  # fmt: skip
