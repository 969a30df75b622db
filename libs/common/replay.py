"""State and read models as of a date: a prefix of every shard, folded anew.

`at` is monotone in each shard and later than its cause's and its deps', so the cut never shows an
effect without what it rests on. Replay folds into memory, never into a live generation, and a
question that needs the time is answered with `now` = the date asked for.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from libs.common.commit import NO_PREV, Commit, canonical, chained
from libs.common.errors import Fork
from libs.common.messages import View
from libs.common.ports import LOG_BATCH_MAX, SHARDS, Doc, EventStore
from libs.common.shapes import Decider, Projection, S

ENVELOPE = frozenset({"_id", "_rev", "_pos", "_at", "_gone"})
"""What a document carries for the machinery; hashes and comparisons leave it out."""


def end_of_second(at: datetime) -> datetime:
    """Effects carry some microseconds more than their cause, so a date means all of its second."""
    return at.replace(microsecond=0) + timedelta(seconds=1) - timedelta(microseconds=1)


async def commits(
    store: EventStore, until: datetime | None = None, progress: Callable[[int], None] | None = None
) -> AsyncIterator[Commit]:
    """Every commit shard by shard, in order, its chain checked on the way. Raises Fork."""
    last = end_of_second(until) if until is not None else None
    for shard in range(SHARDS):
        seq, prev = 0, NO_PREV
        while batch := await store.log(shard, seq, LOG_BATCH_MAX):
            if not chained(batch, prev, seq):
                raise Fork(f"shard {shard} after {seq}")
            seq, prev = batch[-1].seq, batch[-1].hash
            for commit in batch:
                if last is not None and commit.at > last:
                    break
                yield commit
            if progress is not None:
                progress(len(batch))
            if last is not None and batch[-1].at > last:
                break


async def as_of(
    stores: Mapping[str, EventStore],
    projections: Sequence[Projection[Any]],
    at: datetime | None,
    progress: Callable[[int], None] | None = None,
) -> dict[str, dict[str, View]]:
    """Projection name -> key -> view, as the read models said at the end of that second (None: as
    they say now). `stores` by log name; a projection reads those of its logs."""
    found: dict[str, dict[str, View]] = {projection.name: {} for projection in projections}
    for log, store in stores.items():
        readers = [projection for projection in projections if log in projection.logs]
        if not readers:
            continue
        async for commit in commits(store, at, progress):
            for projection in readers:
                _fold(projection, commit, found[projection.name])
    return found


def _fold(projection: Projection[Any], commit: Commit, views: dict[str, View]) -> None:
    for entry in commit.recorded:
        for key in projection.keys(entry):
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
