"""A process of ours beside this one: asked through its input, it answers through its output.

So it ends with whoever asked it, however that ended. It hears no Ctrl-C of its own.
"""

import asyncio
import signal
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import BinaryIO

LIMIT_BYTES = 1_048_576
"""A line of an answer at most; twice as much waits unread."""


@asynccontextmanager
async def beside(
    command: Sequence[str],
) -> AsyncIterator[tuple[asyncio.StreamWriter, asyncio.StreamReader]]:
    """Its input and its output; leaving the block ends it, whatever it is at."""
    process = await asyncio.create_subprocess_exec(
        *command, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, limit=LIMIT_BYTES
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield process.stdin, process.stdout
    finally:
        process.stdin.close()
        with suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


def ends() -> tuple[BinaryIO, BinaryIO]:
    """For the process itself: what it is asked, and its answers. It hears no interrupt: whoever
    asked hears it, and ends this one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # not those of `sys`: under PYTHONUNBUFFERED they forget what a stop left unwritten of an answer
    return open(0, "rb", closefd=False), open(1, "wb", closefd=False)
