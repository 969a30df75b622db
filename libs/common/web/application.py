"""The FastAPI application: tables of routes mounted, health, the OpenAPI document, the last check.

A route without a rule about who may use it does not get through `check_routes`.
"""

from collections.abc import Callable, Collection
from typing import Any

import orjson
from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from libs.common.web.answering import answering
from libs.common.web.edge import Edge, Who
from libs.common.web.http import D, Routes
from libs.common.web.openapi import Promise, document
from libs.common.web.problems import PROBLEM_TYPE, Problem

VERSION = "1"
OPEN_PATHS = frozenset({"/health/live", "/health/ready", "/openapi.json"})
NO_STORE = {"Cache-Control": "no-store"}


class Door(APIRoute):
    """A route whose request goes straight to its edge; FastAPI matches it and lists it."""

    def __init__(self, promise: Promise, edge: ASGIApp) -> None:
        methods = [promise.method]
        super().__init__(promise.path, _at_the_edge, methods=methods, name=promise.name)
        self.promise = promise
        self.app = edge


async def _at_the_edge() -> None:
    """Stands in the list of routes where the edge answers."""


def application(title: str, ready: Callable[[], list[str]]) -> FastAPI:
    """`ready` gives the reasons why the service should get no requests yet; none means it is."""
    app = FastAPI(
        title=title,
        version=VERSION,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        telemetry={"tracing": False, "metrics": False, "logs": False},  # ours has a closed list
    )

    async def live() -> Response:
        return _readiness([])

    async def is_ready() -> Response:
        return _readiness(ready())

    app.add_api_route("/health/live", live, methods=["GET"])
    app.add_api_route("/health/ready", is_ready, methods=["GET"])
    app.add_exception_handler(HTTPException, _not_routed)
    app.add_exception_handler(Exception, _broken)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]  # FastAPI's documented way
    return app


def mount(app: FastAPI, routes: Routes[D], doors: D, who: Who) -> None:
    """What is spelt out stands before what is open: `/v1/a/search` before `/v1/a/{ref}`."""
    lines = sorted(routes.table, key=lambda line: _openness(line.promise.path))
    for line in lines:
        promise = line.promise
        for door in _doors(app):
            if (door.promise.method, door.path) == (promise.method, promise.path):
                raise TypeError(f"{promise.method} {promise.path} is taken")
            if door.promise.name == promise.name:
                raise TypeError(f"the name {promise.name} is taken")
        edge = Edge(promise.path, promise.roles, who, answering(line, doors))
        app.router.routes.append(Door(promise, edge))


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


def _openness(path: str) -> list[bool]:
    return [step.startswith("{") for step in path.split("/")]


def _openapi(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        promises = [door.promise for door in _doors(app)]
        app.openapi_schema = document(app.title, app.version, promises)
    return app.openapi_schema


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
