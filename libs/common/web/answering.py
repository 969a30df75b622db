"""How a line of the table is answered: read the request, ask the function, write the reply."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import orjson
from pydantic import BaseModel

from libs.common.errors import Behind, Busy, Malformed
from libs.common.handle import Ask
from libs.common.messages import Position, Stamp
from libs.common.shapes import Projection
from libs.common.telemetry import current
from libs.common.web.edge import CONTENT_JSON, JSON, Incoming, Outgoing
from libs.common.web.http import (
    Asked,
    D,
    Doors,
    Line,
    Order,
    Question,
    Reading,
    Replied,
    Upload,
    Versioned,
)
from libs.common.web.problems import Header

UPLOADS_MAX = 1
"""Large raw bodies held in memory at once, for each such route."""
REACHED_SECONDS_MAX = 10.0
"""Longer than a view stands still while the processes that fold it are replaced one by one."""
WAITING_MAX = 200
"""Reads that wait at once for a position: each holds a connection, and others want to be answered
also when no news comes any more."""
REACHED_PAUSE_SECONDS = 0.005
REACHED_PAUSE_SECONDS_MAX = 0.1

Answering = Callable[[Incoming], Awaitable[Outgoing]]


@dataclass(eq=False)
class Patience:
    """How long a read may wait for a position that its view has not seen yet, and how many wait:
    one for each process. Without either, a read that would have to wait is told to come again."""

    seconds: float = REACHED_SECONDS_MAX
    most: int = WAITING_MAX
    waiting: int = 0

    @contextmanager
    def taken(self) -> Iterator[None]:
        """A place among those that wait. Raises Behind when there is none."""
        if self.waiting >= self.most:
            raise Behind("too many wait for news")
        self.waiting += 1
        try:
            yield
        finally:
            self.waiting -= 1


def answering(line: Line[D], doors: D, patience: Patience) -> Answering:
    match line.promise.kind:
        case "command":
            return lambda incoming: _command(incoming, line, doors)
        case "query":
            return lambda incoming: _query(incoming, line, doors, patience)
        case "raw":
            places = asyncio.Semaphore(UPLOADS_MAX)
            return lambda incoming: _raw(incoming, line, doors, places)


async def _command(incoming: Incoming, line: Line[D], doors: D) -> Outgoing:
    ident = incoming.command_id()
    expected = incoming.expected()
    body = line.shape.from_json(await incoming.body(line.limit, JSON))
    actor, path = incoming.actor, incoming.references
    stamp = Stamp(doors.clock.now(), actor)
    asked = Asked(body.stamped(stamp), ident, path, actor, stamp.at, expected, doors.refs)
    order: Order = await line.function(asked, doors)
    ask: Ask[Any] = Ask(
        stream=order.stream,
        command=order.command if order.command.stamp is stamp else order.command.stamped(stamp),
        id=ident,
        path=f"{incoming.method} {incoming.path}",
        expected=expected,
        deps=order.deps,
        result=order.result,
        trace=current(),
    )
    answer = await doors.handle(ask)
    headers: list[Header] = [CONTENT_JSON, (b"etag", b'"v%d"' % answer.version)]
    if answer.position is not None:
        headers.append((b"position", str(answer.position).encode()))
    if answer.replayed:
        headers.append((b"idempotent-replayed", b"true"))
    result: Any = answer.result or {}
    if line.opens:
        result = await doors.keyring.opened(result)
    status = 200 if answer.silent else line.status
    return Outgoing(status, orjson.dumps(result), tuple(headers))


async def _query(incoming: Incoming, line: Line[D], doors: D, patience: Patience) -> Outgoing:
    positions = incoming.positions()
    if line.promise.sends is not None:
        params = line.shape.from_json(await incoming.body(line.limit, JSON))
    else:
        params = line.shape.from_query(incoming.scope["query_string"])
    if positions:
        await _reached(doors, line.reads, positions, patience)
    question = Question(params, incoming.references, incoming.actor, doors.clock.now())
    reply = await line.function(question, doors)
    headers: list[Header] = [CONTENT_JSON]
    if isinstance(reply, Versioned):
        headers.append((b"etag", b'"v%d"' % reply.version))
        reply = reply.reply
    return Outgoing(200, await _written(reply, doors, line.opens), tuple(headers))


async def _raw(incoming: Incoming, line: Line[D], doors: D, places: asyncio.Semaphore) -> Outgoing:
    ident = incoming.command_id()
    params = line.shape.from_query(incoming.scope["query_string"])
    if places.locked():
        raise Busy("an upload is under way")
    async with places:
        body = await incoming.body(line.limit, line.promise.content_type.encode())
        if not body:
            raise Malformed("empty", "#", status=422)
        actor, path, now = incoming.actor, incoming.references, doors.clock.now()
        upload = Upload(body, ident, params, path, actor, now, doors.refs)
        replied: Replied = await line.function(upload, doors)
    headers: list[Header] = [CONTENT_JSON]
    if replied.location is not None:
        headers.append((b"location", replied.location.encode()))
    return Outgoing(replied.status, await _written(replied.reply, doors, False), tuple(headers))


async def _written(reply: BaseModel, doors: Doors, opens: bool) -> bytes:
    if not opens:
        return reply.model_dump_json().encode()
    return orjson.dumps(await doors.keyring.opened(reply.model_dump(mode="json")))


async def _reached(
    doors: D, reads: Sequence[Reading[D]], positions: Sequence[Position], patience: Patience
) -> None:
    """Waits until every view has seen these; raises Behind when that takes too long."""
    left = await _late(doors, reads, positions)
    if not left:
        return
    pause = REACHED_PAUSE_SECONDS
    with patience.taken():
        try:
            async with asyncio.timeout(patience.seconds):
                while left:
                    await asyncio.sleep(pause)
                    pause = min(REACHED_PAUSE_SECONDS_MAX, 2 * pause)
                    left = await _late(doors, left, positions)
        except TimeoutError:
            raise Behind("the view has not come that far") from None


async def _late(
    doors: D, reads: Sequence[Reading[D]], positions: Sequence[Position]
) -> list[Reading[D]]:
    return [read for read in reads if not await _is_there(doors, read, positions)]


async def _is_there(doors: D, read: Reading[D], positions: Sequence[Position]) -> bool:
    if isinstance(read, Projection):
        return await doors.views.reached(read, positions)
    return read(doors).reached(positions)
