"""A server in a process of its own, ready before it is measured, gone afterwards."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from libs.common.web.client import Client

HOST = "127.0.0.1"
READY_SECONDS_MAX = 120.0
LOOK_SECONDS = 0.05
STOP_SECONDS_MAX = 60.0


class NotReady(Exception):
    """The server did not come up; its own words are in the file that is named."""


@dataclass(frozen=True)
class Server:
    pid: int
    client: Client


@asynccontextmanager
async def served(
    arguments: Sequence[str],
    port: int,
    log: Path,
    connections: int,
    environment: Mapping[str, str] | None = None,
) -> AsyncIterator[Server]:
    """`python -m …` until the block ends. Raises NotReady."""
    with log.open("ab") as output:
        process = subprocess.Popen(  # noqa: S603 - our own command lines only
            [sys.executable, "-m", *arguments],
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        async with Client(HOST, port, connections) as client:
            await _ready(client, process, log)
            yield Server(process.pid, client)
    finally:
        await _stopped(process)


async def _ready(client: Client, process: "subprocess.Popen[bytes]", log: Path) -> None:
    until = monotonic() + READY_SECONDS_MAX
    while process.poll() is None and monotonic() < until:
        try:
            if (await client.request("GET", "/health/ready")).status == 200:
                return
        except OSError:
            pass
        await asyncio.sleep(LOOK_SECONDS)
    raise NotReady(log)


async def _stopped(process: "subprocess.Popen[bytes]") -> None:
    """SIGTERM lets it drain; SIGKILL when it does not end."""
    process.send_signal(signal.SIGTERM)
    until = monotonic() + STOP_SECONDS_MAX
    while process.poll() is None and monotonic() < until:
        await asyncio.sleep(LOOK_SECONDS)
    process.kill()
    process.wait()
