"""A database file that every service of one process uses through the same two threads."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from libs.common.adapters.sqlite_file import Layout, SqliteFile


@dataclass(eq=False)
class _Shared:
    file: SqliteFile
    users: int = 0
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)


_open: dict[Path, _Shared] = {}


@asynccontextmanager
async def shared(path: Path, layout: Layout) -> AsyncIterator[SqliteFile]:
    """The first one in opens it, the last one out closes it. Raises Taken for another process."""
    path = path.absolute()  # noqa: ASYNC240 - a look at the working directory
    held = _open.setdefault(path, _Shared(SqliteFile(path, layout)))
    held.users += 1
    try:
        async with held.turn:
            if not held.file.opened():
                await held.file.open()
        yield held.file
    finally:
        held.users -= 1
        async with held.turn:
            if held.users == 0:
                await held.file.close()
                if held.users == 0 and _open.get(path) is held:
                    del _open[path]
