"""A request finds its door step by step, and it is the door that FastAPI's own list would find."""

from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest
from fastapi.routing import APIRoute
from starlette.routing import Match

from libs.common.web.application import Application, Door, application, mount
from services.consent.main import main as consent
from services.referrals.main import main as referrals

METHODS = ("GET", "POST", "HEAD", "PUT")


class Nobody:
    async def actor(self, authorization: str) -> Any: ...


@pytest.fixture
def app() -> Application:
    made = application("platform", list)
    for main in (consent, referrals):
        mount(made, main.routes, Any, Nobody())
    return made


def paths(app: Application) -> Iterator[str]:
    """Every route's own, with each word that is spelt out somewhere in place of what is open; then
    what is nearly a path."""
    routes = [route for route in app.router.routes if isinstance(route, APIRoute)]
    words = {step for route in routes for step in route.path.split("/")[3:] if step[:1] != "{"}
    for route in routes:
        steps = [
            ("ref_1", "", "{}", "a\n", *words) if step[:1] == "{" else (step,)
            for step in route.path.split("/")
        ]
        if len(route.param_convertors) < 2:
            yield from map("/".join, product(*steps))
        ours = "/".join(choices[0] for choices in steps)
        yield from (ours + "/", ours + "/more", "/" + ours, ours + "\n", ours.upper(), ours[1:])
    yield from ("", "/", "//", "/v1", "*")


def listed(app: Application, scope: dict[str, Any]) -> tuple[Door, dict[str, str]] | None:
    for route in app.router.routes:
        match, found = route.matches(scope)
        if match == Match.FULL and isinstance(route, Door):
            return route, found["path_params"]
    return None


def test_every_route_is_found_by_steps(app: Application) -> None:
    doors = [route for route in app.router.routes if isinstance(route, Door)]
    for door in doors:
        path = "/".join("ref_1" if step[:1] == "{" else step for step in door.path.split("/"))
        assert app.door({"method": door.promise.method, "path": path}) is door
    assert len(doors) > 50


def test_the_door_is_the_one_that_the_list_would_find(app: Application) -> None:
    found = left = 0
    for path, method in product(paths(app), METHODS):
        scope: dict[str, Any] = {"type": "http", "method": method, "path": path, "root_path": ""}
        wanted = listed(app, dict(scope))
        door = app.door(scope)
        if door is not None:
            assert wanted == (door, scope["path_params"]), f"{method} {path!r}"
            found += 1
        elif wanted is not None:  # left to the list: a word of ours where a reference is meant
            left += 1
    assert found > 20 * left > 0
