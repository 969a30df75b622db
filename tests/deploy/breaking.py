"""Small ways to break manifests on purpose: leave one out, change a value, take a field away."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

from tests.deploy.cluster import name
from tests.deploy.reading import Manifest

Break = Callable[[list[Manifest]], list[Manifest]]
"""Gets its own copy."""


def leave_out(kind: str, named: str) -> Break:
    def broken(manifests: list[Manifest]) -> list[Manifest]:
        found = [each for each in manifests if (each["kind"], name(each)) != (kind, named)]
        assert len(found) == len(manifests) - 1
        return found

    return broken


def put(kind: str, named: str, path: str, value: Any) -> Break:
    """`path` goes by keys and numbers; a last `+` adds to a list, a last number before the rest."""

    def broken(manifests: list[Manifest]) -> list[Manifest]:
        place, last = _place(manifests, kind, named, path)
        if last == "+":
            place.append(value)
        else:
            place[int(last) if isinstance(place, list) else last] = value
        return manifests

    return broken


def take(kind: str, named: str, path: str) -> Break:
    def broken(manifests: list[Manifest]) -> list[Manifest]:
        place, last = _place(manifests, kind, named, path)
        del place[int(last) if isinstance(place, list) else last]
        return manifests

    return broken


def again(kind: str, named: str, other: str) -> Break:
    """The same once more under another name."""

    def broken(manifests: list[Manifest]) -> list[Manifest]:
        found = deepcopy(_one(manifests, kind, named))
        found["metadata"]["name"] = other
        return [*manifests, found]

    return broken


def add(manifest: Manifest) -> Break:
    return lambda manifests: [*manifests, manifest]


def _one(manifests: list[Manifest], kind: str, named: str) -> Manifest:
    return next(e for e in manifests if e["kind"] == kind and name(e).startswith(named))


def _place(manifests: list[Manifest], kind: str, named: str, path: str) -> tuple[Any, str]:
    place: Any = _one(manifests, kind, named)
    *steps, last = path.split("/")
    for step in steps:
        place = place[int(step) if isinstance(place, list) else step]
    return place, last
