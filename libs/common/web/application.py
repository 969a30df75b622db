"""The FastAPI application: tables of routes mounted, health, the OpenAPI document, the last check.

A route without a rule about who may use it does not get through `check_routes`.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

import orjson
from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from libs.common.web.answering import Patience, answering
from libs.common.web.edge import Edge, Who
from libs.common.web.http import D, Routes
from libs.common.web.openapi import Promise, document
from libs.common.web.problems import PROBLEM_TYPE, Problem

VERSION = "1"
OPEN_PATHS = frozenset({"/health/live", "/health/ready", "/openapi.json"})
NO_STORE = {"Cache-Control": "no-store"}


class Door(APIRoute):
    """A route whose request goes straight to its edge; FastAPI lists it."""

    def __init__(self, promise: Promise, edge: ASGIApp) -> None:
        methods = [promise.method]
        super().__init__(promise.path, _at_the_edge, methods=methods, name=promise.name)
        self.promise = promise
        self.app = edge
        self.steps = promise.path.split("/")
        self.names = [step[1:-1] for step in self.steps if _is_open(step)]


async def _at_the_edge() -> None:
    """Stands in the list of routes where the edge answers."""


@dataclass(eq=False)
class Step:
    """Where a path has led to: what may follow, and the door that stands here."""

    spelt: dict[str, "Step"] = field(default_factory=dict)
    open: "Step | None" = None
    door: Door | None = None


class Application(FastAPI):
    """Finds a door step by step, whatever their number. All else (health, mounts, other methods,
    what is not there) takes FastAPI's way, which tries one route after the other."""

    def __init__(self, title: str) -> None:
        super().__init__(
            title=title,
            version=VERSION,
            docs_url=None,
            redoc_url=None,
            redirect_slashes=False,
            telemetry={"tracing": False, "metrics": False, "logs": False},  # ours has a closed list
        )
        self.methods: dict[str, Step] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        door = self.door(scope) if scope["type"] == "http" else None
        if door is None:
            await super().__call__(scope, receive, send)
        else:
            await door.app(scope, receive, send)

    def add(self, door: Door) -> None:
        self.router.routes.append(door)
        here = self.methods.setdefault(door.promise.method, Step())
        for step in door.steps:
            if _is_open(step):
                here.open = here.open or Step()
                here = here.open
            else:
                here = here.spelt.setdefault(step, Step())
        here.door = door

    def door(self, scope: Scope) -> Door | None:
        """What is spelt out goes before what is open; the request then carries what it says."""
        here, said = self.methods.get(scope["method"]), []
        for step in scope["path"].split("/"):
            if here is None:
                return None
            following = here.spelt.get(step)
            if following is None and step:
                following = here.open
                said.append(step)
            here = following
        if here is None or here.door is None:
            return None
        scope["path_params"] = dict(zip(here.door.names, said, strict=True))
        return here.door

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            promises = [door.promise for door in _doors(self)]
            self.openapi_schema = document(self.title, self.version, promises)
        return self.openapi_schema


def application(title: str, ready: Callable[[], list[str]]) -> Application:
    """`ready` gives the reasons why the service should get no requests yet; none means it is."""
    app = Application(title)

    async def live() -> Response:
        return _readiness([])

    async def is_ready() -> Response:
        return _readiness(ready())

    app.add_api_route("/health/live", live, methods=["GET"])
    app.add_api_route("/health/ready", is_ready, methods=["GET"])
    app.add_exception_handler(HTTPException, _not_routed)
    app.add_exception_handler(Exception, _broken)
    return app


def mount(
    app: Application, routes: Routes[D], doors: D, who: Who, patience: Patience | None = None
) -> None:
    """What is spelt out stands before what is open: `/v1/a/search` before `/v1/a/{ref}`."""
    patience = patience or Patience()
    lines = sorted(routes.table, key=lambda line: _openness(line.promise.path))
    for line in lines:
        promise = line.promise
        for door in _doors(app):
            if (door.promise.method, door.path) == (promise.method, promise.path):
                raise TypeError(f"{promise.method} {promise.path} is taken")
            if door.promise.name == promise.name:
                raise TypeError(f"the name {promise.name} is taken")
        edge = Edge(promise.path, promise.roles, who, answering(line, doors, patience))
        app.add(Door(promise, edge))


def check_routes(app: FastAPI, known: Collection[str] = ()) -> None:
    """Raises TypeError for a route that names no roles; `known` are mounts with rules of their own
    (the development issuer, the stepped clock)."""
    for route in app.router.routes:
        if isinstance(route, Door) and route.promise.roles:
            continue
        path = getattr(route, "path", "")
        if path not in OPEN_PATHS and path not in known:
            raise TypeError(f"nobody said who may use {path}")


def _doors(app: FastAPI) -> list[Door]:
    return [route for route in app.router.routes if isinstance(route, Door)]


def _is_open(step: str) -> bool:
    return step.startswith("{")


def _openness(path: str) -> list[bool]:
    return [_is_open(step) for step in path.split("/")]


def _readiness(reasons: list[str]) -> Response:
    body = orjson.dumps({"ready": not reasons, "reasons": reasons})
    return Response(body, 503 if reasons else 200, media_type="application/json")


async def _not_routed(request: Request, error: Exception) -> Response:
    """No such path, or not with this method."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    code = {404: "not-found", 405: "method-not-allowed"}.get(status, "not-taken")
    headers = {"Allow": ", ".join(_methods(request))} if status == 405 else {}
    return _problem(Problem(status, code), headers)


def _methods(request: Request) -> list[str]:
    """What the path that was meant does answer, over all its routes."""
    path = getattr(request.scope.get("route"), "path", None)
    routes = [route for route in request.app.router.routes if isinstance(route, Route)]
    return sorted({name for r in routes if r.path == path for name in r.methods or ()})


async def _broken(_: Request, __: Exception) -> Response:
    return _problem(Problem(500, "internal"), {})


def _problem(problem: Problem, headers: dict[str, str]) -> Response:
    media_type = PROBLEM_TYPE.decode()
    return Response(problem.body(), problem.status, {**NO_STORE, **headers}, media_type)
