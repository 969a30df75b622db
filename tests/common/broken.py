"""Logs to break: a whole one, and ways to spoil a row of it behind the store's back."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from libs.common.adapters import open_store
from libs.common.adapters.sqlite import row_of
from libs.common.commit import Commit, parse
from libs.common.ports import SHARDS
from libs.common.words import canonical
from tests.ports.chains import LOG, Chain

STREAMS = 100


async def written(folder: Path) -> Chain:
    """A whole log: a hundred streams, every other one with a second commit of two events."""
    chain = Chain()
    rows = chain.grow_many(STREAMS)
    rows += [chain.grow(f"pearl/{number}", events=2) for number in range(0, STREAMS, 2)]
    async with open_store(f"sqlite://{folder}", LOG) as store:
        assert (await store.insert(rows)).n == len(rows)
    return chain


async def rows_of(folder: Path, log: str = LOG) -> list[Commit]:
    async with open_store(f"sqlite://{folder}", log, readonly=True) as store:
        return [commit for shard in range(SHARDS) for commit in await store.log(shard, 0)]


def last_of(commits: list[Commit], place: int = 0) -> Commit:
    """The last commit of the place-th shard that has three or more: nothing rests on it."""
    ends = {commit.shard: commit for commit in commits}
    return [end for _, end in sorted(ends.items()) if end.seq > 2][place]


def forged(commit: Commit, **changes: Any) -> Commit:
    """The same with other words in it, and a hash that is right for them."""
    return parse(canonical({**commit.content, **changes}))


@contextmanager
def behind_its_back(folder: Path, log: str = LOG) -> Iterator[sqlite3.Connection]:
    path = folder / log / "log.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        yield connection


def replace(folder: Path, old: Commit, new: Commit) -> None:
    """Stores `new` where `old` was, with columns that are true to it but for its place."""
    row = row_of(new)
    with behind_its_back(folder) as connection:
        connection.execute("DROP INDEX IF EXISTS c_command")
        connection.execute("DROP INDEX IF EXISTS c_stream")
        connection.execute(
            "UPDATE commits SET stream=?, first=?, last=?, command=?, types=?, subjects=?, hash=?,"
            " body=? WHERE shard=? AND seq=?",
            (*row[2:6], *row[7:], old.shard, old.seq),
        )
