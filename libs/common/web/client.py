"""A keep-alive HTTP/1.1 client for the demo, the bench and the tests.

It speaks to our own servers only: JSON in and out, replies with a Content-Length. Several times
faster than a general client, so that the load generator is not what is measured.
"""

import asyncio
from collections.abc import Mapping
from types import TracebackType
from typing import Any, NamedTuple, Self

import orjson

CONNECTIONS = 8
REPLY_SECONDS_MAX = 60.0
HEAD_BYTES_MAX = 65_536


class Reply(NamedTuple):
    """`headers` have lower-case names; `body` is the JSON that came back, or None."""

    status: int
    headers: dict[str, str]
    body: Any


class NoReply(ConnectionError):
    """The request went out and no whole reply came back: it may have been carried out."""


class _Connection:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.used = False

    async def exchange(self, request: bytes) -> tuple[int, dict[str, str], bytes]:
        self.writer.write(request)
        await self.writer.drain()
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head[:-4].split("\r\n")
        headers = {}
        for line in lines:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        length = int(headers.get("content-length", "0"))
        body = await self.reader.readexactly(length) if length else b""
        self.used = True
        return int(first.split(" ", 2)[1]), headers, body

    def usable(self) -> bool:
        return not self.writer.is_closing() and not self.reader.at_eof()


class Client:
    """At most `connections` requests are under way at once; the others wait their turn."""

    def __init__(self, host: str, port: int, connections: int = CONNECTIONS) -> None:
        self.host, self.port = host, port
        self._places = asyncio.Semaphore(connections)
        self._free: list[_Connection] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for connection in self._free:
            connection.writer.close()
        self._free.clear()

    async def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        seconds: float = REPLY_SECONDS_MAX,
    ) -> Reply:
        """`body` is JSON, or bytes that go out as they are (name their Content-Type yourself).

        Raises OSError when nothing was sent, NoReply when the outcome is unknown. A request is sent
        a second time only when an idle connection turns out to be closed: give commands their key.
        """
        request = self._encode(method, path, body, headers or {})
        lost_before = False
        async with self._places, asyncio.timeout(seconds):
            while True:
                try:
                    connection = self._take() or await self._open()
                except OSError as away:
                    if lost_before:  # what went out on an idle connection may have arrived
                        raise NoReply(type(away).__name__) from away
                    raise
                try:
                    status, found, raw = await connection.exchange(request)
                except (OSError, EOFError) as lost:
                    connection.writer.close()
                    if connection.used and not getattr(lost, "partial", b""):
                        lost_before = True
                        continue
                    raise NoReply(type(lost).__name__) from lost
                except BaseException:
                    connection.writer.close()
                    raise
                if found.get("connection") == "close":
                    connection.writer.close()
                else:
                    self._free.append(connection)
                is_json = "json" in found.get("content-type", "")
                return Reply(status, found, orjson.loads(raw) if is_json and raw else None)

    def _take(self) -> _Connection | None:
        while self._free:
            connection = self._free.pop()
            if connection.usable():
                return connection
            connection.writer.close()
        return None

    async def _open(self) -> _Connection:
        reader, writer = await asyncio.open_connection(self.host, self.port, limit=HEAD_BYTES_MAX)
        return _Connection(reader, writer)

    def _encode(self, method: str, path: str, body: Any, headers: Mapping[str, str]) -> bytes:
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self.host}:{self.port}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        raw = b""
        if isinstance(body, bytes):
            raw = body
        elif body is not None:
            raw = orjson.dumps(body)
            lines.append("Content-Type: application/json")
        if raw or method != "GET":
            lines.append(f"Content-Length: {len(raw)}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + raw
