"""Is this log whole? Dense, chained, every stream dense, every command once."""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import UUID

from libs.common.commit import parse, shard_of
from libs.common.messages import Position
from libs.common.ports import EventStore
from libs.common.replay import commits


class Verified(NamedTuple):
    """What was found whole."""

    commits: int
    events: int
    streams: int
    types: Counter[str]


class Broken(Exception):
    """The log is not what was promised; names the first bad position."""

    def __init__(self, position: Position, what: str) -> None:
        super().__init__(f"{position}: {what}")
        self.position = position


async def verify(store: EventStore, progress: Callable[[int], None] | None = None) -> Verified:
    """Reads the whole log, trusting nothing but the bytes. Raises Broken, or Fork on the chain."""
    versions: dict[str, int] = {}
    commands: set[UUID] = set()
    count = 0
    types: Counter[str] = Counter()
    latest: dict[int, datetime] = {}
    async for commit in commits(store, progress=progress):
        told = parse(commit.body)
        where = commit.position
        if told.position != where or told.hash != commit.hash:
            raise Broken(where, "the index does not say what the bytes say")
        if shard_of(told.stream) != told.shard:
            raise Broken(where, "a stream in a shard that is not its own")
        if told.first != versions.get(told.stream, 0) + 1:
            raise Broken(where, "a version of the stream is missing or double")
        if told.last - told.first + 1 != len(told.types):
            raise Broken(where, "versions and events do not match")
        if told.command in commands:
            raise Broken(where, "a command took effect twice")
        if told.at < latest.get(told.shard, datetime.min.replace(tzinfo=UTC)):
            raise Broken(where, "time ran backwards in the shard")
        versions[told.stream] = told.last
        commands.add(told.command)
        latest[told.shard] = told.at
        count += 1
        types.update(told.types)
    return Verified(count, types.total(), len(versions), types)
