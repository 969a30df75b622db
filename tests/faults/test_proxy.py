"""The bad network does to connections what it says, and nothing to their bytes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from tests.faults.proxy import HOST, Proxy, Trouble

WORDS = b"one two three four five six seven eight nine ten " * 40
SECONDS_MAX = 30.0


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while chunk := await reader.read(65_536):
        writer.write(chunk)
        await writer.drain()
    writer.close()


@asynccontextmanager
async def echoing() -> AsyncIterator[Proxy]:
    server = await asyncio.start_server(_echo, HOST, 0)
    async with server, Proxy(server.sockets[0].getsockname()[1], seed=3).running() as proxy:
        yield proxy


async def asked(proxy: Proxy, size: int = len(WORDS)) -> bytes:
    """What comes back, or ConnectionError."""
    reader, writer = await asyncio.open_connection(HOST, proxy.port)
    try:
        writer.write(WORDS[:size])
        async with asyncio.timeout(SECONDS_MAX):
            found = b""
            while len(found) < size and (chunk := await reader.read(65_536)):
                found += chunk
            return found
    finally:
        writer.close()


@pytest.mark.parametrize("trouble", [Trouble.NONE, Trouble.LATENCY, Trouble.TRICKLE])
async def test_what_is_only_late_arrives_whole(trouble: Trouble) -> None:
    async with echoing() as proxy:
        proxy.trouble = trouble
        assert await asked(proxy, 200) == WORDS[:200]


async def test_a_reset_cuts_the_reply_off_with_an_error() -> None:
    async with echoing() as proxy:
        proxy.trouble = Trouble.RESET
        with suppress(ConnectionError):  # the reset may overtake what had arrived before it
            assert len(await asked(proxy)) < len(WORDS)
        assert proxy.told == {"reset": 1}


async def test_a_half_closed_reply_ends_early() -> None:
    async with echoing() as proxy:
        proxy.trouble = Trouble.HALF_CLOSE
        found = await asked(proxy)
        assert len(found) < len(WORDS)
        assert WORDS.startswith(found)


@pytest.mark.parametrize("trouble", [Trouble.STALL, Trouble.BLACKHOLE])
async def test_what_is_held_comes_when_the_trouble_is_over(trouble: Trouble) -> None:
    async with echoing() as proxy:
        proxy.trouble = Trouble.NONE
        assert await asked(proxy, 10) == WORDS[:10]
        proxy.trouble = trouble
        asking = asyncio.create_task(asked(proxy, 100))
        async with asyncio.timeout(SECONDS_MAX):
            if trouble is Trouble.STALL:
                while not proxy.told:
                    await asyncio.sleep(0.01)  # until the reply is held
        assert not asking.done()
        proxy.trouble = Trouble.NONE
        assert await asking == WORDS[:100]
