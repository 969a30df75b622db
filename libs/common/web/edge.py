"""One request through the door: who asks, may they, what did they send, and how it is answered.

Plain ASGI from the first byte to the last. Whatever goes wrong becomes a problem document; what was
not foreseen is logged by its type and told to nobody.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from time import monotonic
from typing import Any, NamedTuple, Protocol
from uuid import UUID, uuid5

from starlette.types import Receive, Scope, Send

from libs.common.errors import Forbidden, Malformed, Missing, TooLarge, Unauthorized
from libs.common.messages import Actor, Position, Role
from libs.common.meters import HTTP, REFUSALS, count, measure
from libs.common.ports import SHARDS
from libs.common.telemetry import log, note, request_span, where
from libs.common.web.problems import PROBLEM_TYPE, Header, problem_of

COMMANDS = UUID("6f1d4c6e-9a53-5b0e-8f4e-3a1c7f0e52d8")
"""The namespace of callers' command ids; for ever."""
KEY = re.compile(rb"[\x21-\x7e]{8,128}")
VERSION = re.compile(rb'"v(0|[1-9][0-9]{0,8})"')
REFERENCE = re.compile(r"[a-z0-9][a-z0-9_.-]{0,127}")
"""What stands in a path: references, grant ids, words of ours. Anything else is not there."""
POSITIONS_MAX = 32
BODY_SECONDS_MAX = 60.0

JSON = b"application/json"
NO_STORE: Header = (b"cache-control", b"no-store")


class Who(Protocol):
    """Whose request this is, by its Authorization header. Raises Unauthorized."""

    async def actor(self, authorization: str) -> Actor: ...


class ClientLeft(Exception):
    """The rest of the body never came."""


class Outgoing(NamedTuple):
    status: int
    body: bytes
    headers: tuple[Header, ...] = ()


@dataclass(frozen=True)
class Incoming:
    """A request whose caller is known and may use this route."""

    scope: Scope
    receive: Receive
    actor: Actor
    headers: Mapping[bytes, bytes]

    @property
    def path(self) -> str:
        return str(self.scope["path"])

    @property
    def method(self) -> str:
        return str(self.scope["method"])

    @property
    def references(self) -> Mapping[str, str]:
        found: Mapping[str, str] = self.scope["path_params"]
        return found

    def command_id(self) -> UUID:
        """The same caller, route and Idempotency-Key give the same command."""
        key = self.headers.get(b"idempotency-key", b"")
        if not KEY.fullmatch(key):
            raise Malformed("idempotency-key", "Idempotency-Key")
        name = f"{self.actor.sub}|{self.method}|{self.path}|{key.decode()}"
        return uuid5(COMMANDS, name)

    def expected(self) -> int | None:
        """The version that the caller's decision rests on, when it names one."""
        tag = self.headers.get(b"if-match")
        if tag is None:
            return None
        found = VERSION.fullmatch(tag.strip())
        if found is None:
            raise Malformed("if-match", "If-Match")
        return int(found[1])

    def positions(self) -> tuple[Position, ...]:
        """What the answer must have seen."""
        listed = self.headers.get(b"min-position")
        if listed is None:
            return ()
        words = listed.decode("latin-1").split(",")
        try:
            found = tuple(Position.parse(word.strip()) for word in words)
        except ValueError:
            raise Malformed("min-position", "Min-Position") from None
        if len(found) > POSITIONS_MAX or any(p.shard >= SHARDS for p in found):
            raise Malformed("min-position", "Min-Position")
        return found

    async def body(self, limit: int, content_type: bytes) -> bytes:
        """Raises Malformed for another type of content, TooLarge beyond the limit."""
        length = self.headers.get(b"content-length", b"0")
        if not length.isdigit() or int(length) > limit:
            raise TooLarge()
        message = await self.receive()
        if message["type"] == "http.disconnect":
            raise ClientLeft()
        raw: bytes = message.get("body", b"")
        if message.get("more_body"):
            try:
                async with asyncio.timeout(BODY_SECONDS_MAX):
                    raw = await self._rest(raw, limit)
            except TimeoutError:
                raise ClientLeft() from None
        if len(raw) > limit:
            raise TooLarge()
        if raw and not _is_type(self.headers.get(b"content-type", b""), content_type):
            raise Malformed("content-type", "Content-Type", status=422)
        return raw

    async def _rest(self, first: bytes, limit: int) -> bytes:
        parts, size, more = [first], len(first), True
        while more:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise ClientLeft()
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > limit:
                raise TooLarge()
            more = message.get("more_body", False)
        return b"".join(parts)


def _is_type(header: bytes, wanted: bytes) -> bool:
    if header == wanted:
        return True
    kind, *parameters = (part.strip().lower() for part in header.split(b";"))
    fit = all(p in (b"charset=utf-8", b'charset="utf-8"') for p in parameters)
    return kind == wanted and fit


@dataclass(frozen=True)
class Edge:
    """A route as an ASGI application."""

    route: str
    roles: frozenset[Role]
    who: Who
    answer: Callable[[Incoming], Awaitable[Outgoing]]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        caller = headers.get(b"traceparent", b"").decode("latin-1")
        method, began = scope["method"], monotonic()
        with request_span(caller, route=self.route, method=method):
            try:
                outgoing = await self._answered(scope, receive, headers)
            except ClientLeft:
                outgoing = Outgoing(408, b"", ((b"connection", b"close"),))
            except Exception as error:
                outgoing = self._refused(error)
            note(status=outgoing.status)
        seconds, status = monotonic() - began, outgoing.status
        measure(HTTP, seconds, route=self.route, method=method, status=status)
        await reply(send, outgoing)

    async def _answered(
        self, scope: Scope, receive: Receive, headers: Mapping[bytes, bytes]
    ) -> Outgoing:
        authorization = headers.get(b"authorization")
        if authorization is None:
            raise Unauthorized()
        actor = await self.who.actor(authorization.decode("latin-1"))
        if actor.role not in self.roles:
            raise Forbidden()
        for reference in scope["path_params"].values():
            if not REFERENCE.fullmatch(reference):
                raise Missing()
        return await self.answer(Incoming(scope, receive, actor, headers))

    def _refused(self, error: Exception) -> Outgoing:
        problem = problem_of(error)
        count(REFUSALS, status=problem.status, code=problem.code)
        note(code=problem.code)
        if problem.status >= 500:
            kind, place = type(error).__name__, where(error)
            log("http.failed", route=self.route, status=problem.status, error=kind, where=place)
        return Outgoing(problem.status, problem.body(), (CONTENT_PROBLEM, *problem.headers))


CONTENT_PROBLEM: Header = (b"content-type", PROBLEM_TYPE)
CONTENT_JSON: Header = (b"content-type", JSON)


async def reply(send: Send, outgoing: Outgoing) -> None:
    length = (b"content-length", b"%d" % len(outgoing.body))
    headers: list[Any] = [length, NO_STORE, *outgoing.headers]
    start = {"type": "http.response.start", "status": outgoing.status, "headers": headers}
    await send(start)
    await send({"type": "http.response.body", "body": outgoing.body})
