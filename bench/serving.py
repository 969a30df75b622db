"""The server that question `http` measures: our route, and the same application validating only.

`python -m bench.serving FOLDER PORT`; a token for the load generator lies in FOLDER/token.
"""

import argparse
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel

from bench.domain import LOG, Write
from bench.ours import desk
from libs.common.adapters import open_documents
from libs.common.clock import SystemClock
from libs.common.handle import Answer, Ask
from libs.common.messages import Role
from libs.common.ports import Clock
from libs.common.sealing import Keyring, Refs
from libs.common.tasks import run, serve
from libs.common.views import Views
from libs.common.web.application import application, mount
from libs.common.web.auth import Tokens
from libs.common.web.http import Asked, Order, Routes
from libs.common.web.issuer import Issuer

HOST = "127.0.0.1"
ISSUER = "http://issuer.invalid"
TOKEN_SECONDS = 3_600


@dataclass(frozen=True)
class Doors:
    handle: Callable[[Ask[Any]], Awaitable[Answer]]
    clock: Clock
    keyring: Keyring
    refs: Refs
    views: Views


routes = Routes[Doors](LOG)


@routes.command("POST", "/v1/notes/{student}", Write, roles={Role.TEACHER}, status=201)
async def write(asked: Asked[Write], _: Doors) -> Order:
    """Adds a note."""
    return Order(f"notes/{asked.path['student']}", asked.body, result={"number": asked.body.number})


class Wanted(BaseModel):
    """The same body, for a route that does nothing but validate it."""

    student: str
    number: int
    setting: str
    title: str
    text: str


class Told(BaseModel):
    number: int


def validating(app: FastAPI) -> None:
    async def validate(student: str, body: Wanted) -> Told:  # noqa: ARG001 - it is in the path
        return Told(number=body.number)

    app.add_api_route("/validate/{student}", validate, methods=["POST"])


async def serve_notes(folder: Path, port: int) -> None:
    issuer = Issuer(ISSUER)

    async def published(address: str) -> Any:
        well_known = {"issuer": ISSUER, "jwks_uri": f"{ISSUER}/jwks"}
        return issuer.keys() if address.endswith("/jwks") else well_known

    (folder / "token").write_text(
        issuer.token("somebody", Role.TEACHER, "sch_bench", TOKEN_SECONDS)
    )
    url = f"sqlite://{folder}"
    async with desk(url) as opened, open_documents(url, LOG) as documents:
        keyring = opened.handler.keyring
        refs = await keyring.refs()
        app = application("bench", list)
        doors = Doors(opened.handler, SystemClock(), keyring, refs, Views(documents))
        mount(app, routes, doors, Tokens(ISSUER, refs, published))
        validating(app)
        await serve(app, HOST, port)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("port", type=int)
    arguments = parser.parse_args()
    run(serve_notes(arguments.folder, arguments.port))
