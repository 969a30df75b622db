"""The client that demo, bench and tests share: fast, and honest about what it does not know."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import orjson
import pytest

from libs.common.web.client import Client, NoReply

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
OK = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
    b'ETag: "v1"\r\nContent-Length: 2\r\n\r\n{}'
)


@asynccontextmanager
async def server(answer: Answer) -> AsyncIterator[int]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await answer(reader, writer)
        except asyncio.IncompleteReadError:
            pass  # the client has closed its connection
        finally:
            writer.close()

    running = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with running:
        yield running.sockets[0].getsockname()[1]


async def read(reader: asyncio.StreamReader) -> tuple[list[str], bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    length = next((int(line[15:]) for line in head if line.startswith("Content-Length")), 0)
    return head, await reader.readexactly(length)


async def test_one_connection_carries_many_requests() -> None:
    connections: list[list[str]] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append([])
        while True:
            head, body = await read(reader)
            connections[-1].append(f"{head[0]} {body.decode()}")
            writer.write(OK)

    async with server(answer) as port, Client("127.0.0.1", port, connections=1) as client:
        for number in range(3):
            reply = await client.request("POST", "/x", {"n": number}, {"Idempotency-Key": "k"})
            assert (reply.status, reply.headers["etag"], reply.body) == (200, '"v1"', {})
    assert connections == [[f'POST /x HTTP/1.1 {{"n":{n}}}' for n in range(3)]]


async def test_no_more_connections_than_asked_for() -> None:
    busy, most = 0, 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal busy, most
        while True:
            await read(reader)
            busy += 1
            most = max(most, busy)
            await asyncio.sleep(0)
            busy -= 1
            writer.write(OK)

    async with server(answer) as port, Client("127.0.0.1", port, connections=4) as client:
        replies = await asyncio.gather(*(client.request("GET", "/") for _ in range(40)))
    assert {reply.status for reply in replies} == {200}
    assert most <= 4


async def test_bytes_go_out_as_they_are() -> None:
    seen: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head, body = await read(reader)
        seen.append(body)
        assert "Content-Type: application/zip" in head
        writer.write(OK)

    async with server(answer) as port, Client("127.0.0.1", port) as client:
        await client.request("POST", "/", b"\x00zip", {"Content-Type": "application/zip"})
    assert seen == [b"\x00zip"]


async def test_an_idle_connection_that_was_closed_is_replaced() -> None:
    requests = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal requests
        await read(reader)
        requests += 1
        writer.write(OK)

    async with server(answer) as port, Client("127.0.0.1", port, connections=1) as client:
        for _ in range(3):
            assert (await client.request("GET", "/")).status == 200
    assert requests == 3


async def test_a_lost_reply_is_said_to_be_unknown() -> None:
    async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await read(reader)

    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read(reader)
        writer.write(OK[:-1])

    for answer in (silent, cut):
        async with server(answer) as port, Client("127.0.0.1", port) as client:
            with pytest.raises(NoReply):
                await client.request("POST", "/", {})


async def test_nobody_there_is_an_error_of_the_system() -> None:
    async with server(read_nothing) as port:
        pass
    async with Client("127.0.0.1", port) as client:
        with pytest.raises(ConnectionRefusedError):
            await client.request("GET", "/")


async def read_nothing(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None: ...


async def test_a_reply_has_a_time_limit_and_the_place_is_free_again() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head, _ = await read(reader)
        if "/slow" in head[0]:
            await reader.read()
        writer.write(OK)

    async with server(answer) as port, Client("127.0.0.1", port, connections=1) as client:
        with pytest.raises(TimeoutError):
            await client.request("GET", "/slow", seconds=0.01)
        assert (await client.request("GET", "/")).status == 200


async def test_a_problem_document_is_json_too() -> None:
    body = orjson.dumps({"code": "wrong-role"})
    head = (
        f"HTTP/1.1 403 No\r\nContent-Type: application/problem+json\r\nContent-Length: {len(body)}"
    )

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read(reader)
        writer.write(head.encode() + b"\r\nConnection: close\r\n\r\n" + body)

    async with server(answer) as port, Client("127.0.0.1", port) as client:
        reply = await client.request("GET", "/")
    assert (reply.status, reply.body) == (403, {"code": "wrong-role"})
