"""Feed -> fold -> documents. Old news changes nothing.

Each document carries the positions it has seen, and each write names the revision it replaces: a
commit takes effect exactly once in a document under redelivery, rivals and crashes in between.
"""

from collections import OrderedDict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic

from libs.common import parking
from libs.common.commit import Commit
from libs.common.consume import (
    BATCH_MAX,
    CURSORS,
    NEWER,
    PENDING_SECONDS,
    Healing,
    Place,
    Standing,
    Telling,
    done,
    resume,
    rewind,
)
from libs.common.errors import StoreAway
from libs.common.parking import Parking
from libs.common.ports import Bus, Delivery, Doc, Documents, Feed, Put
from libs.common.shapes import Placed, Projection, V, newer
from libs.common.telemetry import batch_span, trace_of
from libs.common.words import fields

DOCUMENTS_CACHED_MAX = 5_000
"""Decoded documents of one generation kept in memory while folding live."""
RACES_MAX = 20
REBUILD_BATCH_MAX = 5_000
REBUILD_COMMITS_MAX = 200_000
"""Folded before documents are written, once each; what is not written is folded again."""
REBUILD_DOCUMENTS_MAX = 60_000
"""Decoded documents kept in memory while building anew."""
PUTS_MAX = 5_000
"""Documents written at once."""


@dataclass(eq=False)
class Slot(Generic[V]):
    """A document while it is folded: the positions it has seen and the latest `at` of these.
    `was`: it had a view at some time, so that its end must be remembered."""

    view: V | None = None
    rev: int = 0
    pos: dict[str, int] = field(default_factory=dict)
    at: str = ""
    was: bool = False

    @property
    def doc(self) -> Doc:
        if self.view is None:
            return {"_pos": self.pos, "_at": self.at, "_gone": True}
        return {**fields(self.view), "_pos": self.pos, "_at": self.at}


@dataclass(eq=False)
class Generation(Generic[V]):
    """One built copy of a projection: its kind of documents, and where it stands."""

    projection: Projection[V]
    kind: str
    standing: Standing
    parking: Parking
    slots: "OrderedDict[str, Slot[V]]" = field(default_factory=OrderedDict)
    stops: bool = False
    """At an event in a newer shape its shard stands still; other views leave such an event out."""

    @classmethod
    def of(cls, projection: Projection[V], kind: str) -> "Generation[V]":
        standing, parked = Standing(kind, projection.logs), Parking(kind, projection.name)
        return cls(projection, kind, standing, parked, stops=projection.gates)

    async def prepare(self, documents: Documents) -> None:
        await documents.prepare(CURSORS, ())
        await documents.prepare(self.kind, self.projection.indexes)
        await self.standing.load(documents)

    def fold(
        self, commit: Commit, places: Sequence[Placed], source: str | None = None
    ) -> dict[str, Slot[V]]:
        """The documents that this commit changes; nothing is kept until all of it has worked.
        `source` is the entry in `_pos` that tells whether it was: its shard's, or a parked
        stream's."""
        source = source or f"{commit.log}:{commit.shard}"
        changed: dict[str, Slot[V]] = {}
        for entry, key in places:
            slot = changed.get(key)
            if slot is None:
                known = self.slots[key]
                if known.pos.get(source, 0) >= commit.seq:
                    continue
                pos = {**known.pos, source: commit.seq}
                at = max(known.at, commit.when)
                slot = Slot(known.view, known.rev, pos, at, known.was)
            slot.view = self.projection.fold(slot.view, entry, key)
            slot.was = slot.was or slot.view is not None
            changed[key] = slot
        return changed

    async def read(self, documents: Documents, keys: Collection[str]) -> None:
        """Brings documents into memory; absent ones as empty slots."""
        missing = [key for key in keys if key not in self.slots]
        if not missing:
            return
        found = await documents.get(self.kind, missing)
        for key in missing:
            doc = found.get(key)
            self.slots[key] = Slot() if doc is None else self._slot(doc)

    def _slot(self, doc: Doc) -> Slot[V]:
        view = None if doc.get("_gone") else self.projection.view.model_validate(doc)
        return Slot(view, doc["_rev"], dict(doc["_pos"]), doc["_at"], was=True)

    def trim(self, limit: int = DOCUMENTS_CACHED_MAX) -> None:
        while len(self.slots) > limit:
            self.slots.popitem(last=False)


@dataclass(eq=False)
class _Work:
    """What one generation has to do with a batch."""

    generation: Generation[Any]
    taken: list[tuple[Delivery, list[Placed]]] = field(default_factory=list)
    wanted: set[str] = field(default_factory=set)
    aside: list[Commit] = field(default_factory=list)
    broken: dict[Place, int] = field(default_factory=dict)
    """The commit of a shard that could not be folded; what comes before it is folded all the same,
    however often the batch must be folded anew."""

    def take(self, delivery: Delivery) -> None:
        standing = self.generation.standing
        if not standing.follows(delivery):
            return
        if self.generation.parking.holds(delivery.commit):
            standing.advance(delivery)
            self.aside.append(delivery.commit)
            return
        projection = self.generation.projection
        if self.generation.stops and newer(delivery.commit, projection.hears):
            standing.halt(delivery, NEWER)
            return
        try:
            places = projection.places(delivery.commit)
        except Exception as broken:  # keys are pure: failing once is failing always
            standing.halt(delivery, type(broken).__name__)
            return
        standing.advance(delivery)
        if places:
            self.wanted.update(key for _, key in places)
            self.taken.append((delivery, places))

    def fold(self) -> dict[str, Slot[Any]]:
        """The documents that the batch changes. A fold that fails halts its shard before it."""
        changed: dict[str, Slot[Any]] = {}
        for delivery, places in self.taken:
            commit = delivery.commit
            if commit.seq >= self.broken.get(commit.place, commit.seq + 1):
                continue
            try:
                step = self.generation.fold(commit, places)
            except Exception as broken:  # folds are pure: failing once is failing always
                self.broken[commit.place] = commit.seq
                self.generation.standing.halt(delivery, type(broken).__name__)
                self.generation.standing.back(delivery)
                continue
            self.generation.slots.update(step)
            changed.update(step)
        return changed


async def _taken(
    generations: Sequence[Generation[Any]], documents: Documents, batch: Sequence[Delivery]
) -> list[_Work]:
    """What there is to do with a batch; the cursors have moved in memory."""
    works = [_Work(generation) for generation in generations]
    for work in works:
        for delivery in batch:
            work.take(delivery)
        await parking.set_aside(documents, work.generation.parking, work.aside)
    return works


async def fold_batch(
    generations: Sequence[Generation[Any]], documents: Documents, batch: Sequence[Delivery]
) -> None:
    """Folds what follows each generation's cursors and makes the documents durable, in one write.
    The cursors have moved in memory only. A document that another process wrote meanwhile is read
    and folded anew."""
    works = await _taken(generations, documents, batch)
    for _ in range(RACES_MAX):
        for work in works:
            await work.generation.read(documents, work.wanted)
        changed = [
            (work.generation, key, slot)
            for work in works
            for key, slot in work.fold().items()
            if slot.rev or slot.was  # what never was needs no tombstone
        ]
        if not changed:
            return
        puts = [Put(owner.kind, key, slot.doc, slot.rev) for owner, key, slot in changed]
        won = await documents.put(puts)
        for (owner, key, slot), win in zip(changed, won, strict=True):
            if win:
                slot.rev += 1
            else:
                del owner.slots[key]
        if all(won):
            return
    raise StoreAway("documents are fought over")


@dataclass(eq=False)
class _Window:
    """Many batches are folded before any of their documents is written: who builds anew writes a
    document once for all of them."""

    generations: Sequence[Generation[Any]]
    commits: int = 0
    changed: dict[tuple[str, str], Slot[Any]] = field(default_factory=dict)

    def full(self) -> bool:
        """Also where something is missing: who heals that may read the stored cursors again."""
        return (
            self.commits >= REBUILD_COMMITS_MAX
            or len(self.changed) >= REBUILD_DOCUMENTS_MAX
            or any(generation.standing.gaps for generation in self.generations)
        )

    async def fold(self, documents: Documents, batch: Sequence[Delivery]) -> None:
        """The cursors have moved in memory only."""
        for work in await _taken(self.generations, documents, batch):
            await work.generation.read(documents, work.wanted)
            kind = work.generation.kind
            self.changed.update(((kind, key), slot) for key, slot in work.fold().items())
        self.commits += len(batch)

    async def written(self, documents: Documents) -> bool:
        """Whether all of it was; False: another process wrote some of these documents."""
        rows = [
            (kind, key, slot)
            for (kind, key), slot in self.changed.items()
            if slot.rev or slot.was  # what never was needs no tombstone
        ]
        self.changed, self.commits = {}, 0
        for start in range(0, len(rows), PUTS_MAX):
            part = rows[start : start + PUTS_MAX]
            puts = [Put(kind, key, slot.doc, slot.rev) for kind, key, slot in part]
            if not all(await documents.put(puts)):
                return False
            for _, _, slot in part:
                slot.rev += 1
        return True


async def build(
    bus: Bus, documents: Documents, group: str, generations: Sequence[Generation[Any]]
) -> None:
    """As `project`, for generations that nobody reads yet and that have much before them."""
    await project(bus, documents, group, generations, REBUILD_BATCH_MAX, _Window(generations))


async def project(
    bus: Bus,
    documents: Documents,
    group: str,
    generations: Sequence[Generation[Any]],
    batch_max: int = BATCH_MAX,
    window: _Window | None = None,
    alone: bool = False,
) -> None:
    """Keeps these generations folded, for ever. A supervised loop: raises when the store or the bus
    is away, and may be started again at any moment. `alone`: nobody else folds them or asks the
    documents how far they are."""
    standings = [generation.standing for generation in generations]
    parkings = [generation.parking for generation in generations]
    logs = sorted({log for standing in standings for log in standing.logs})
    healing, telling = Healing(), Telling(alone)
    await parking.prepare(documents)
    for generation in generations:
        await generation.prepare(documents)
        generation.slots.clear()
    await parking.look(documents, parkings)
    async with bus.subscribe(logs, group) as feed:
        await resume(feed, standings)
        while True:
            holding = window is not None and window.commits > 0
            wait = PENDING_SECONDS if holding else telling.wait_seconds
            batch = await feed.batch(batch_max, wait)
            halted = any(standing.halted for standing in standings)
            # A stream is parked where a shard stands still: alone, here or nowhere.
            if halted or (batch and (not alone or any(one.streams for one in parkings))):
                await parking.look(documents, parkings)
                await _go_on(feed, generations)
            await healing.mend(feed, standings, not batch, documents)
            if not batch and not holding and not telling.untold:
                continue
            traces = (trace_of(delivery.commit) for delivery in batch)
            with batch_span("project", traces, count=len(batch)):
                if window is None:
                    await fold_batch(generations, documents, batch)
                else:
                    await window.fold(documents, batch)
                    if batch and not window.full():
                        continue
            written = window is None or await window.written(documents)
            for generation in generations:
                generation.trim(REBUILD_DOCUMENTS_MAX if window else DOCUMENTS_CACHED_MAX)
                halts = generation.standing.halted.values()
                await parking.note_halts(documents, generation.parking, halts)
            if not written or not await telling.told(documents, standings, len(batch)):
                await _begin_again(feed, documents, generations)
            await done(feed, standings, batch)


async def _begin_again(
    feed: Feed, documents: Documents, generations: Sequence[Generation[Any]]
) -> None:
    """Where what is stored says: it may be further back than the feed."""
    for generation in generations:
        generation.slots.clear()
        await generation.standing.load(documents)
    await resume(feed, [generation.standing for generation in generations])


async def _go_on(feed: Feed, generations: Sequence[Generation[Any]]) -> None:
    """Where the commit that halted a shard has been parked, its reading begins again."""
    standings = [generation.standing for generation in generations]
    for generation in generations:
        for place, halt in list(generation.standing.halted.items()):
            if generation.parking.frees(halt):
                del generation.standing.halted[place]
                await rewind(feed, standings, place)
