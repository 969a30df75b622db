"""State and read models as of a date: a prefix of every shard, folded anew.

`at` is monotone in each shard and later than its cause's and its deps', so the cut never shows an
effect without what it rests on. Replay folds into memory, never into a live generation, and a
question that needs the time is answered with `now` = the date asked for.
"""

from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from libs.common.commit import NO_PREV, Commit, parse
from libs.common.errors import Fork, StoreAway
from libs.common.messages import View
from libs.common.ports import SHARDS, Doc, EventStore, Row
from libs.common.shapes import Decider, Projection, S
from libs.common.verify import ReadingAhead
from libs.common.words import canonical

ENVELOPE = frozenset({"_id", "_rev", "_pos", "_at", "_gone"})
"""What a document carries for the machinery; hashes and comparisons leave it out."""


def end_of_second(at: datetime) -> datetime:
    """Effects carry some microseconds more than their cause, so a date means all of its second."""
    return at.replace(microsecond=0) + timedelta(seconds=1) - timedelta(microseconds=1)


async def commits(
    store: EventStore, until: datetime | None = None, progress: Callable[[int], None] | None = None
) -> AsyncIterator[Commit]:
    """Every commit shard by shard, in order, its chain checked on the way. Raises Fork, or
    StoreAway for what cannot be read."""
    last = end_of_second(until) if until is not None else None
    for shard in range(SHARDS):
        with closing(ReadingAhead(store, shard)) as pages:
            reading = _Reading(pages, progress)
            while await reading.more(last):
                for commit in reading.due(last):
                    yield commit


@dataclass(eq=False)
class _Reading:
    """One shard, read on from date to date. A commit is parsed when its turn has come: parsed by
    hundreds, most have left the processor's caches before they are folded."""

    pages: ReadingAhead
    progress: Callable[[int], None] | None
    seq: int = 0
    prev: str = NO_PREV
    ahead: "deque[Row]" = field(default_factory=deque)
    _next: Commit | None = None

    async def more(self, last: datetime | None) -> bool:
        """Whether something is due that is not later than this; `due` tells what."""
        if self._next is not None:
            return last is None or self._next.at <= last
        if not self.ahead:
            self.ahead.extend(await self.pages.rows())
            if self.progress is not None:
                self.progress(len(self.ahead))
        return bool(self.ahead)

    def due(self, last: datetime | None) -> Iterator[Commit]:
        """Of what has been read, as far as it is not later. Raises as `commits` does."""
        if self._next is not None:
            commit, self._next = self._next, None
            yield commit
        while self.ahead:
            commit = self._parsed(self.ahead.popleft())
            if last is not None and commit.at > last:
                self._next = commit
                return
            yield commit

    def _parsed(self, row: Row) -> Commit:
        try:
            commit = parse(row.body)
        except ValueError:
            raise StoreAway("a stored commit cannot be read") from None
        if commit.prev != self.prev or commit.seq != self.seq + 1:
            raise Fork(f"shard {self.pages.shard} after {self.seq}")
        self.seq, self.prev = commit.seq, commit.hash
        return commit


Said = dict[str, dict[str, View]]
"""Projection name -> key -> view."""


async def as_of(
    stores: Mapping[str, EventStore],
    projections: Sequence[Projection[Any]],
    at: datetime | None,
    progress: Callable[[int], None] | None = None,
) -> Said:
    """As the read models said at the end of that second (None: as they say now). `stores` by log
    name; a projection reads those of its logs."""
    found: Said = {}
    async for _, said_then in days(stores, projections, [at], progress):
        found = said_then
    return found


async def days(
    stores: Mapping[str, EventStore],
    projections: Sequence[Projection[Any]],
    ats: Sequence[datetime | None],
    progress: Callable[[int], None] | None = None,
) -> AsyncIterator[tuple[datetime | None, Said]]:
    """The same for several dates, earliest first, in one reading of the logs. What is yielded is
    folded on afterwards: look before asking for the next."""
    found: Said = {projection.name: {} for projection in projections}
    with ExitStack() as stack:
        readings = []
        for log, store in stores.items():
            readers = [projection for projection in projections if log in projection.logs]
            for shard in range(SHARDS) if readers else ():
                pages = stack.enter_context(closing(ReadingAhead(store, shard)))
                readings.append((_Reading(pages, progress), readers))
        for at in ats:
            last = end_of_second(at) if at is not None else None
            for reading, readers in readings:
                while await reading.more(last):
                    for commit in reading.due(last):
                        for projection in readers:
                            _fold(projection, commit, found[projection.name])
            yield at, found


def _fold(projection: Projection[Any], commit: Commit, views: dict[str, View]) -> None:
    for entry, key in projection.places(commit):
        view = projection.fold(views.get(key), entry, key)
        if view is None:
            views.pop(key, None)
        else:
            views[key] = view


async def state_as_of(
    store: EventStore, decider: Decider[S, Any, Any], stream: str, at: datetime
) -> tuple[S, int]:
    """What the rules knew of a stream then, and its version."""
    state, version, last = decider.initial, 0, end_of_second(at)
    async for commit in store.stream(stream):
        if commit.at > last:
            break
        state = decider.fold([entry.event for entry in commit.recorded], state)
        version = commit.last
    return state, version


def said(views: Mapping[str, View]) -> bytes:
    """What a read model says, in canonical bytes: equal bytes mean that nobody could tell apart."""
    return canonical({key: view.model_dump(mode="json") for key, view in views.items()})


def said_by(docs: Mapping[str, Doc]) -> bytes:
    """The same of stored documents; tombstones say nothing."""
    return canonical(
        {
            key: {name: value for name, value in doc.items() if name not in ENVELOPE}
            for key, doc in docs.items()
            if not doc.get("_gone")
        }
    )
