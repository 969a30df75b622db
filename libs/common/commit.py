"""The bytes that are hashed, stored and published; encoded once, for ever.

A commit body is canonical JSON: keys sorted, no spaces, UTF-8, integers only (RFC 8785 in spirit).
Its hash is the leaf hash of RFC 9162 section 2.1.1, `SHA-256(0x00 || body)`; `prev` chains each
commit to the one before it in its shard.
"""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from hashlib import sha256
from typing import Any, Generic, TypeVar, overload
from uuid import UUID

import orjson
from pydantic_core import SchemaValidator, core_schema

from libs.common.errors import TooLarge
from libs.common.messages import REGISTRY, UPCASTERS, Actor, Dep, Event, Position, Recorded, instant
from libs.common.stored import reader
from libs.common.words import present

SPEC = 1
SHARD_COUNT = 16
BODY_MAX = 65_535
"""Bytes; a tile entry of the proof tree carries a 16-bit length."""
EVENTS_MAX = 128
NO_PREV = "0" * 64
ACTORS_MAX = 1_024


def shard_of(stream: str) -> int:
    return zlib.crc32(stream.encode()) % SHARD_COUNT


def leaf_hash(body: bytes) -> str:
    return sha256(b"\x00" + body).hexdigest()


def canonical(value: Any) -> bytes:
    """Raises TypeError for a float: its text differs between languages."""
    _no_floats(value)
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def _no_floats(value: Any) -> None:
    if isinstance(value, dict):
        for inner in value.values():
            _no_floats(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            _no_floats(inner)
    elif isinstance(value, float):
        raise TypeError("a float has no canonical form")


T = TypeVar("T")


class once(Generic[T]):  # noqa: N801 - used as a decorator
    """A property worked out when it is first asked for; `cached_property` takes a lock for it."""

    def __init__(self, work: Callable[[Any], T]) -> None:
        self._work, self._name = work, work.__name__
        self.__doc__ = work.__doc__

    @overload
    def __get__(self, of: None, _: type) -> "once[T]": ...
    @overload
    def __get__(self, of: object, _: type) -> T: ...
    def __get__(self, of: object | None, _: type) -> "T | once[T]":
        if of is None:
            return self
        found = of.__dict__[self._name] = self._work(of)
        return found


@dataclass(frozen=True)
class Draft:
    """A commit before it has a place. `events` are encoded by the caller, in order; `told` are the
    same as values, so that this process need not decode what it has just said."""

    stream: str
    expected: int
    events: tuple[bytes, ...]
    types: tuple[str, ...]
    command: UUID
    correlation: UUID
    actor: Actor
    subjects: tuple[str, ...] = ()
    request: str | None = None
    result: dict[str, Any] | None = None
    cause: Dep | None = None
    deps: tuple[Dep, ...] = ()
    trace: str | None = None
    told: tuple[Event, ...] = ()


@dataclass(frozen=True, eq=False)
class Commit:
    """One immutable document whose id is its position. `body` is the truth, the rest its index."""

    log: str
    shard: int
    seq: int
    stream: str
    first: int
    last: int
    command: UUID
    at: datetime
    types: tuple[str, ...]
    subjects: tuple[str, ...]
    prev: str
    body: bytes

    @once
    def hash(self) -> str:
        """Of the bytes, whatever anybody else says of them."""
        return leaf_hash(self.body)

    @once
    def position(self) -> Position:
        return Position(self.log, self.shard, self.seq)

    @once
    def place(self) -> tuple[str, int]:
        return (self.log, self.shard)

    @once
    def when(self) -> str:
        """`at`, as it is written."""
        return instant(self.at)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Commit) and self.body == other.body

    def __hash__(self) -> int:
        return hash(self.hash)

    @once
    def content(self) -> dict[str, Any]:
        """The body, parsed once."""
        parsed: dict[str, Any] = orjson.loads(self.body)
        return parsed

    @once
    def recorded(self) -> tuple[Recorded[Event], ...]:
        """Its events that this process knows, decoded once; unknown types are left out."""
        body = self.content
        actor = _told_actor(**body["actor"])
        return self.events(
            [decode_event(entry["type"], entry["v"], entry["data"]) for entry in body["events"]],
            actor,
        )

    def events(self, events: Sequence[Event | None], actor: Actor) -> tuple[Recorded[Event], ...]:
        """Each event with its place; None is one that this process does not know."""
        position = self.position
        return tuple(
            [
                Recorded(event, self.at, self.stream, version, position, actor, self.command)
                for version, event in enumerate(events, self.first)
                if event is not None
            ]
        )


def encode_event(event: Event) -> bytes:
    """Raises ValueError for a personal field left unsealed: plaintext never gets into a log."""
    if not event.is_sealed():
        raise ValueError(f"{event.type} holds a personal value that is not sealed")
    words = {"data": orjson.Fragment(present(event)), "type": event.type, "v": event.v}
    return orjson.dumps(words, option=orjson.OPT_SORT_KEYS)


def decode_event(name: str, v: int, data: dict[str, Any]) -> Event | None:
    """The one decoder: upcast step by step, then parse. None for what this build has not."""
    known = REGISTRY.get(name)
    if known is None or v > known.v:
        return None
    while v < known.v:
        data, v = UPCASTERS[name, v](data), v + 1
    return reader(known)(data)


@lru_cache(ACTORS_MAX)
def _actor(actor: Actor) -> bytes:
    return orjson.dumps(actor._asdict(), option=orjson.OPT_SORT_KEYS)


_told_actor = lru_cache(ACTORS_MAX)(Actor)


def encode(draft: Draft, log: str, seq: int, prev: str, at: datetime) -> Commit:
    """Gives a draft its place. Raises TooLarge."""
    shard = shard_of(draft.stream)
    first, last = draft.expected + 1, draft.expected + len(draft.events)
    head = {
        "actor": orjson.Fragment(_actor(draft.actor)),
        "at": instant(at),
        "cause": str(draft.cause.position) if draft.cause else None,
        "command": draft.command,
        "correlation": draft.correlation,
        "deps": [str(dep.position) for dep in draft.deps] or None,
        "events": [orjson.Fragment(event) for event in draft.events],
        "first": first,
        "last": last,
        "log": log,
        "prev": prev,
        "request": draft.request,
        "result": draft.result,
        "seq": seq,
        "shard": shard,
        "spec": SPEC,
        "stream": draft.stream,
        "subjects": list(draft.subjects),
        "trace": draft.trace,
    }
    body = orjson.dumps(
        {name: value for name, value in head.items() if value is not None},
        option=orjson.OPT_SORT_KEYS,
    )
    if len(body) > BODY_MAX or not 0 < len(draft.events) <= EVENTS_MAX:
        raise TooLarge("a commit holds 1 to 128 events and 65,535 bytes")
    commit = Commit(
        log, shard, seq, draft.stream, first, last, draft.command, at, draft.types,
        draft.subjects, prev, body,
    )  # fmt: skip
    if draft.told:
        commit.__dict__["recorded"] = commit.events(draft.told, draft.actor)
    return commit


_uuid = SchemaValidator(core_schema.uuid_schema()).validate_python
"""A fifth of the time of UUID's own constructor."""


def parse(body: bytes) -> Commit:
    """A commit from its bytes alone. Raises ValueError when they are no commit body."""
    try:
        content = orjson.loads(body)
        told = {
            "log": content["log"],
            "shard": content["shard"],
            "seq": content["seq"],
            "stream": content["stream"],
            "first": content["first"],
            "last": content["last"],
            "command": _uuid(content["command"]),
            "at": datetime.fromisoformat(content["at"]),
            "types": tuple([event["type"] for event in content["events"]]),
            "subjects": tuple(content["subjects"]),
            "prev": content["prev"],
            "body": body,
            "content": content,
        }
    except (KeyError, TypeError, ValueError) as wrong:
        raise ValueError("not a commit body") from wrong
    found = Commit.__new__(Commit)  # a third of the time that its constructor takes
    found.__dict__.update(told)
    return found


def chained(commits: Sequence[Commit], prev: str, seq: int) -> bool:
    """Whether these follow (seq, prev) densely, each naming the hash of the one before."""
    for commit in commits:
        if commit.prev != prev or commit.seq != seq + 1:
            return False
        prev, seq = commit.hash, commit.seq
    return True
