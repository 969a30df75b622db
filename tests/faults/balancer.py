"""What stands before the replicas of an API, as a gateway does: requests in turn to those that are
ready, and to another one only when surely nothing was sent.

It keeps connections open, asks `/health/ready` of each replica on a connection of its own, and is
told late that a replica is about to end. What it could not pass on it counts, and answers badly.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import NamedTuple

HOST = "127.0.0.1"
HEAD_BYTES_MAX = 65_536
PROBE_SECONDS = 1.0
PROBE_SECONDS_MAX = 5.0
PROBE = b"GET /health/ready HTTP/1.1\r\nHost: replica\r\nConnection: close\r\n\r\n"
NOBODY = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"
LOST = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n"
"""What a gateway says of a request that it has sent and that nobody has answered."""


class Message(NamedTuple):
    """A request or a reply: its bytes, the first line's second word, whether it is the last."""

    raw: bytes
    word: bytes
    last: bool


class Line(NamedTuple):
    """A connection to a replica."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


@dataclass(eq=False)
class Replica:
    """`listed`: what the cluster says; `is_ready`: what it says itself, when it was last asked."""

    name: str
    port: int
    listed: bool = True
    is_ready: asyncio.Event = field(default_factory=asyncio.Event)
    under_way: int = 0
    idle: list[Line] = field(default_factory=list)

    def unlist(self) -> None:
        """Nothing new is sent there; what is under way is waited for."""
        self.listed = False
        for line in self.idle:
            line.writer.close()
        self.idle.clear()


@dataclass(eq=False)
class Balancer:
    """`told` counts what was answered, by method and status, and what went wrong on the way."""

    replicas: Sequence[Replica]
    port: int = 0
    told: Counter[str] = field(default_factory=Counter)
    _turn: int = 0
    _tasks: set["asyncio.Task[None]"] = field(default_factory=set)

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Balancer"]:
        server = await asyncio.start_server(self._accept, HOST, self.port, limit=HEAD_BYTES_MAX)
        self.port = server.sockets[0].getsockname()[1]
        self._tasks |= {asyncio.create_task(_probing(one)) for one in self.replicas}
        try:
            yield self
        finally:
            server.close()
            for task in set(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            for one in self.replicas:
                one.unlist()

    async def all_ready(self) -> None:
        for one in self.replicas:
            await one.is_ready.wait()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            while True:
                request = await _read(reader)
                reply = await self._answered(request)
                writer.write(reply.raw)
                await writer.drain()
        except (OSError, EOFError):
            return  # the caller hung up
        except asyncio.CancelledError:
            return  # the balancer ends
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _answered(self, request: Message) -> Message:
        method = request.raw.partition(b" ")[0].decode()
        reply = await self._passed_on(request)
        self.told[f"{method} {reply.word.decode()}"] += 1
        return reply

    async def _passed_on(self, request: Message) -> Message:
        for replica in self._in_turn():
            try:
                line = await _line(replica)
            except OSError:
                self.told["sent elsewhere"] += 1  # nothing was sent: no connection
                continue
            return await self._exchanged(replica, line, request)
        self.told["nobody ready"] += 1
        return Message(NOBODY, b"503", False)

    async def _exchanged(self, replica: Replica, line: Line, request: Message) -> Message:
        replica.under_way += 1
        try:
            line.writer.write(request.raw)
            await line.writer.drain()
            reply = await _read(line.reader)
        except (OSError, EOFError):
            line.writer.close()
            self.told["lost"] += 1
            return Message(LOST, b"502", False)
        except asyncio.CancelledError:
            line.writer.close()
            raise
        finally:
            replica.under_way -= 1
        if reply.last or not replica.listed:
            line.writer.close()
        else:
            replica.idle.append(line)
        return _kept_open(reply)

    def _in_turn(self) -> list[Replica]:
        there = [one for one in self.replicas if one.listed and one.is_ready.is_set()]
        self._turn += 1
        first = self._turn % len(there) if there else 0
        return there[first:] + there[:first]


async def _line(replica: Replica) -> Line:
    while replica.idle:
        line = replica.idle.pop()
        if not line.writer.is_closing() and not line.reader.at_eof():
            return line
        line.writer.close()
    return Line(*await asyncio.open_connection(HOST, replica.port, limit=HEAD_BYTES_MAX))


async def _read(reader: asyncio.StreamReader) -> Message:
    """One message, framed by its Content-Length."""
    head = await reader.readuntil(b"\r\n\r\n")
    first, *lines = head[:-4].split(b"\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (x.partition(b":") for x in lines)}
    length = int(headers.get(b"content-length", b"0"))
    body = await reader.readexactly(length) if length else b""
    last = headers.get(b"connection", b"").lower() == b"close"
    return Message(head + body, first.split(b" ", 2)[1], last)


def _kept_open(reply: Message) -> Message:
    """That a replica closes its connection is nothing to the caller."""
    head, end, body = reply.raw.partition(b"\r\n\r\n")
    lines = [x for x in head.split(b"\r\n") if not x.lower().startswith(b"connection:")]
    return reply._replace(raw=b"\r\n".join(lines) + end + body)


async def _probing(replica: Replica) -> None:
    while True:
        if await _is_ready(replica.port):
            replica.is_ready.set()
        else:
            replica.is_ready.clear()
        await asyncio.sleep(PROBE_SECONDS)  # between two looks


async def _is_ready(port: int) -> bool:
    with suppress(OSError, EOFError):
        async with asyncio.timeout(PROBE_SECONDS_MAX):
            reader, writer = await asyncio.open_connection(HOST, port, limit=HEAD_BYTES_MAX)
            try:
                writer.write(PROBE)
                return (await _read(reader)).word == b"200"
            finally:
                writer.close()
    return False
