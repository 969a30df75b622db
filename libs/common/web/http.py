"""A service's routes as a table: each line says who may ask what, and how it is answered.

Commands carry an Idempotency-Key and may carry If-Match; answers carry ETag and Position; reads may
ask for a Min-Position. A route function only turns a request into an order or a view: no rules.
"""

import inspect
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, NamedTuple, Protocol, TypeVar
from uuid import UUID

import orjson
from pydantic import BaseModel

from libs.common.handle import Answer, Ask
from libs.common.messages import Actor, Command, Dep, Message, Position, Role
from libs.common.ports import Clock
from libs.common.sealing import Refs
from libs.common.shapes import Projection
from libs.common.web.openapi import Promise
from libs.common.web.wellformed import Shape

BODY_BYTES_MAX = 1_000_000

C = TypeVar("C", bound=Command)
P = TypeVar("P", bound=BaseModel)


class Reads(Protocol):
    async def reached(
        self, projection: Projection[Any], positions: Collection[Position], /
    ) -> bool: ...


class Opens(Protocol):
    async def opened(self, value: Any, /) -> Any: ...


class Doors(Protocol):
    """What the edge itself needs; a service's own doors have more."""

    @property
    def handle(self) -> Callable[[Ask[Any]], Awaitable[Answer]]: ...
    @property
    def clock(self) -> Clock: ...
    @property
    def keyring(self) -> Opens: ...
    @property
    def refs(self) -> Refs: ...
    @property
    def views(self) -> Reads: ...


class Reaches(Protocol):
    """A view of this process only, which knows itself how far it is."""

    def reached(self, positions: Collection[Position], /) -> bool: ...


D = TypeVar("D", bound=Doors)
Reading = Projection[Any] | Callable[[D], Reaches]
"""A projection, or how to find an in-memory view among the doors."""


class Nothing(Message):
    """A query without parameters."""


@dataclass(frozen=True)
class Asked(Generic[C]):
    """A command as it came in: well formed, and stamped with who asked and when."""

    body: C
    id: UUID
    path: Mapping[str, str]
    actor: Actor
    now: datetime
    expected: int | None
    refs: Refs

    def ref(self, prefix: str) -> str:
        """A new thing's reference, derived from this command: asked again, it is the same one."""
        return self.refs.of(prefix, str(self.id))


@dataclass(frozen=True)
class Question(Generic[P]):
    """A query as it came in; `params` is its query string, or a search's body."""

    params: P
    path: Mapping[str, str]
    actor: Actor
    now: datetime


@dataclass(frozen=True)
class Upload(Generic[P]):
    """A raw body. `id` is the command's id: the same key names the same upload."""

    body: bytes
    id: UUID
    params: P
    path: Mapping[str, str]
    actor: Actor
    now: datetime
    refs: Refs

    def ref(self, prefix: str) -> str:
        return self.refs.of(prefix, str(self.id))


class Order(NamedTuple):
    """What a command route wants asked: the stream, the command, and what it rests on."""

    stream: str
    command: Command
    deps: tuple[Dep, ...] = ()
    result: dict[str, Any] | None = None


class Versioned(NamedTuple):
    """A query's reply together with the version of the stream it shows, for If-Match."""

    reply: BaseModel
    version: int


class Replied(NamedTuple):
    """A raw route's reply; `location` is where to look for what becomes of it."""

    status: int
    reply: BaseModel
    location: str | None = None


F = TypeVar("F", bound=Callable[..., Awaitable[BaseModel | Versioned]])
R = TypeVar("R", bound=Callable[..., Awaitable[Replied]])


@dataclass(frozen=True)
class Line(Generic[D]):
    """A route of the table: what it promises, its function, and how both are brought together."""

    promise: Promise
    function: Callable[..., Awaitable[Any]]
    shape: Shape[Any]
    status: int = 200
    limit: int = BODY_BYTES_MAX
    opens: bool = False
    reads: Sequence[Reading[D]] = ()


@dataclass(frozen=True)
class Routes(Generic[D]):
    """`routes = Routes[Doors]("consent")`, then one decorator a route."""

    service: str
    table: list[Line[D]] = field(default_factory=list)

    def command(
        self,
        method: str,
        path: str,
        body: type[C],
        *,
        roles: Collection[Role],
        status: int = 200,
        reply: type[BaseModel] | None = None,
        opens: bool = False,
        limit: int = BODY_BYTES_MAX,
    ) -> Callable[
        [Callable[[Asked[C], D], Awaitable[Order]]], Callable[[Asked[C], D], Awaitable[Order]]
    ]:
        """A command. `reply` documents the order's `result`; 201 is for what makes something."""

        def keep(
            function: Callable[[Asked[C], D], Awaitable[Order]],
        ) -> Callable[[Asked[C], D], Awaitable[Order]]:
            promise = Promise(
                kind="command",
                method=method,
                path=path,
                name=self._name(function),
                text=inspect.getdoc(function) or "",
                roles=_some(roles, path),
                done=(200,) if status == 200 else (200, status),
                refusals=(400, 401, 403, 404, 409, 412, 413, 422, 500, 503),
                sends=body,
                reply=reply,
            )
            self.table.append(Line(promise, function, Shape(body), status, limit, opens))
            return function

        return keep

    def query(
        self,
        method: str,
        path: str,
        reply: type[BaseModel],
        *,
        roles: Collection[Role],
        params: type[BaseModel] | None = None,
        body: type[BaseModel] | None = None,
        reads: Sequence[Reading[D]] = (),
        opens: bool = False,
        also: tuple[int, ...] = (),
    ) -> Callable[[F], F]:
        """A read; a search with words in it is a POST with a `body`. `also`: other refusals that
        it documents (409 when it appends)."""
        if params is not None and body is not None:
            raise TypeError(f"{path} takes a query string or a body, not both")

        def keep(function: F) -> F:
            refusals = {400, 401, 403, 404, 422, 500, 503, *also, *({413} if body else ())}
            promise = Promise(
                kind="query",
                method=method,
                path=path,
                name=self._name(function),
                text=inspect.getdoc(function) or "",
                roles=_some(roles, path),
                done=(200,),
                refusals=tuple(sorted(refusals)),
                sends=body,
                params=params,
                reply=reply,
                waits=bool(reads),
            )
            if _is_personal(reply) and not opens:
                raise TypeError(f"{path} replies with personal values: say opens=True")
            shape: Shape[Any] = Shape(body or params or Nothing)
            line = Line(promise, function, shape, opens=opens, reads=tuple(reads))
            self.table.append(line)
            return function

        return keep

    def raw(
        self,
        method: str,
        path: str,
        reply: type[BaseModel],
        *,
        content_type: str,
        limit: int,
        roles: Collection[Role],
        statuses: tuple[int, ...],
        params: type[BaseModel] | None = None,
    ) -> Callable[[R], R]:
        """A large body that is not JSON, held in memory. The function gives status and reply."""

        def keep(function: R) -> R:
            promise = Promise(
                kind="raw",
                method=method,
                path=path,
                name=self._name(function),
                text=inspect.getdoc(function) or "",
                roles=_some(roles, path),
                done=statuses,
                refusals=(400, 401, 403, 404, 409, 413, 422, 500, 503),
                params=params,
                reply=reply,
                content_type=content_type,
            )
            shape: Shape[Any] = Shape(params or Nothing)
            self.table.append(Line(promise, function, shape, limit=limit))
            return function

        return keep

    def _name(self, function: Callable[..., Any]) -> str:
        return f"{self.service}.{function.__name__}"


def _some(roles: Collection[Role], path: str) -> frozenset[Role]:
    if not roles:
        raise TypeError(f"{path} says nobody may use it")
    return frozenset(roles)


def _is_personal(model: type[BaseModel]) -> bool:
    return b'"Erased"' in orjson.dumps(model.model_json_schema(mode="serialization"))
