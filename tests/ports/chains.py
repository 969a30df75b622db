"""Commits to store: a log grown by hand, dense and chained, without an appender."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID, uuid4

from libs.common.commit import NO_PREV, Commit, Draft, encode, shard_of
from libs.common.messages import Actor
from libs.common.ports import SHARDS, EventStore
from libs.common.words import canonical

AT = datetime(2026, 1, 23, 17, 18, 26, 263443, UTC)
SOMEBODY = Actor("usr_1", "teacher", "sch_1")
EVENT = canonical({"data": {"colour": "red"}, "type": "pearl.threaded", "v": 1})
LOG = "pearls"


def made(
    stream: str,
    seq: int = 1,
    prev: str = NO_PREV,
    expected: int = 0,
    events: int = 1,
    command: UUID | None = None,
    log: str = LOG,
) -> Commit:
    draft = Draft(
        stream,
        expected,
        (EVENT,) * events,
        ("pearl.threaded",) * events,
        command or uuid4(),
        uuid4(),
        SOMEBODY,
        ("stu_1",),
    )
    return encode(draft, log, seq, prev, AT)


@dataclass
class Chain:
    """Where every shard and every stream of a log ends."""

    log: str = LOG
    heads: dict[int, Commit] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)

    def grow(self, stream: str, events: int = 1, command: UUID | None = None) -> Commit:
        """The next commit of a stream, at the end of its shard."""
        head, version = self.heads.get(shard_of(stream)), self.versions.get(stream, 0)
        seq, prev = (head.seq + 1, head.hash) if head else (1, NO_PREV)
        commit = made(stream, seq, prev, version, events, command, self.log)
        self.heads[commit.shard] = commit
        self.versions[stream] = commit.last
        return commit

    def grow_many(self, count: int, start: int = 0) -> list[Commit]:
        """As many streams, one commit each."""
        return [self.grow(f"pearl/{number}") for number in range(start, start + count)]


def stream_in(shard: int, number: int = 0) -> str:
    """The n-th of the streams that live in a shard."""
    found = (f"pearl/{n}" for n in range(100_000) if shard_of(f"pearl/{n}") == shard)
    return next(name for place, name in enumerate(found) if place == number)


async def everything(store: EventStore) -> list[Commit]:
    return [commit for shard in range(SHARDS) for commit in await store.log(shard, 0)]
