"""A TCP proxy that is as bad as a network can be: slow, stalling, resetting, half closed, silent.

One proxy stands on one edge. `trouble` says what happens to connections from now on; bytes are
never changed, only late, in crumbs, or lost together with their connection.
"""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from random import Random

HOST = "127.0.0.1"
CHUNK_BYTES = 65_536
CRUMB_BYTES = 7
CRUMB_SECONDS = 0.005
LATENCY_SECONDS = (0.02, 0.2)
LOOK_SECONDS = 0.02
RESET_AT_ONCE = struct.pack("ii", 1, 0)
"""SO_LINGER with no time: closing sends RST, and what was not sent is lost."""


class Trouble(StrEnum):
    NONE = "none"
    LATENCY = "latency"
    STALL = "stall"
    """Requests arrive, replies wait until the trouble is over."""
    RESET = "reset"
    """Connections are reset in the middle of a reply."""
    HALF_CLOSE = "half-close"
    """The server's side is closed towards the client after a part of a reply."""
    TRICKLE = "trickle"
    BLACKHOLE = "blackhole"
    """Nothing goes either way; nobody is told."""


@dataclass(eq=False)
class Proxy:
    """From `port` (0: any free one) to `target`. `told` counts what was done to connections."""

    target: int
    seed: int
    port: int = 0
    trouble: Trouble = Trouble.NONE
    told: dict[str, int] = field(default_factory=dict)
    _open: set[asyncio.StreamWriter] = field(default_factory=set)
    _tasks: set["asyncio.Task[None]"] = field(default_factory=set)
    _chance: Random = field(init=False)

    def __post_init__(self) -> None:
        self._chance = Random(self.seed)

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Proxy"]:
        server = await asyncio.start_server(self._accept, HOST, self.port)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for task in set(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._open.add(writer)
        upstream: asyncio.StreamWriter | None = None
        try:
            while self.trouble is Trouble.BLACKHOLE:
                await asyncio.sleep(LOOK_SECONDS)  # the trouble is over when its owner says so
            back, upstream = await asyncio.open_connection(HOST, self.target)
            self._open.add(upstream)
            ways = [self._pump(reader, upstream, False), self._pump(back, writer, True)]
            pumps = [asyncio.ensure_future(way) for way in ways]
            try:
                await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for pump in pumps:
                    pump.cancel()
                await asyncio.gather(*pumps, return_exceptions=True)
        except OSError:
            self._count("refused")  # the target is away: so is this connection
        except asyncio.CancelledError:
            return  # the proxy ends
        finally:
            self._tasks.discard(task)
            for each in (writer, upstream):
                if each is not None:
                    self._open.discard(each)
                    each.close()

    async def _pump(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, reply: bool
    ) -> None:
        with suppress(ConnectionError):
            while chunk := await source.read(CHUNK_BYTES):
                if not await self._pass(chunk, sink, reply):
                    return

    async def _pass(self, chunk: bytes, sink: asyncio.StreamWriter, reply: bool) -> bool:
        """Whether the connection goes on."""
        await self._held(reply)
        match self.trouble:
            case Trouble.LATENCY:
                self._count("latency")
                await asyncio.sleep(self._chance.uniform(*LATENCY_SECONDS))
            case Trouble.RESET if reply:
                self._count("reset")
                sink.write(chunk[: self._chance.randrange(len(chunk))])
                _linger_none(sink)
                return False
            case Trouble.HALF_CLOSE if reply:
                self._count("half-close")
                sink.write(chunk[: self._chance.randrange(len(chunk))])
                await sink.drain()
                if sink.can_write_eof():
                    sink.write_eof()
                return False
            case Trouble.TRICKLE:
                self._count("trickle")
                for start in range(0, len(chunk), CRUMB_BYTES):
                    sink.write(chunk[start : start + CRUMB_BYTES])
                    await sink.drain()
                    await asyncio.sleep(CRUMB_SECONDS)
                return True
            case _:
                pass
        sink.write(chunk)
        await sink.drain()
        return True

    async def _held(self, reply: bool) -> None:
        def held() -> bool:
            silent = Trouble.STALL if reply else Trouble.BLACKHOLE
            return self.trouble in (Trouble.BLACKHOLE, silent)

        if held():
            self._count(self.trouble)
        while held():
            await asyncio.sleep(LOOK_SECONDS)  # the trouble is over when its owner says so

    def _count(self, what: str) -> None:
        self.told[what] = self.told.get(what, 0) + 1


def _linger_none(writer: asyncio.StreamWriter) -> None:
    held: socket.socket | None = writer.get_extra_info("socket")
    if held is not None:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_AT_ONCE)
