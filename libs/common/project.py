"""Feed -> fold -> documents. Old news changes nothing.

Each document carries the positions it has seen, and each write names the revision it replaces: a
commit takes effect exactly once in a document under redelivery, rivals and crashes in between.
"""

from collections import OrderedDict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, cast

from libs.common.consume import (
    BATCH_MAX,
    CURSORS,
    WAIT_SECONDS,
    Healing,
    Standing,
    done,
    resume,
    store,
)
from libs.common.errors import StoreAway
from libs.common.messages import Recorded, instant
from libs.common.ports import Bus, Delivery, Doc, Documents, Put
from libs.common.shapes import Projection, V

DOCUMENTS_CACHED_MAX = 5_000
"""Decoded documents of one generation kept in memory while folding live."""
RACES_MAX = 20
REBUILD_BATCH_MAX = 5_000


@dataclass(eq=False)
class Slot(Generic[V]):
    """A document while it is folded: the positions it has seen and the latest `at` of these."""

    view: V | None = None
    rev: int = 0
    pos: dict[str, int] = field(default_factory=dict)
    at: str = ""

    @property
    def doc(self) -> Doc:
        if self.view is None:
            return {"_pos": self.pos, "_at": self.at, "_gone": True}
        return {**self.view.model_dump(mode="json"), "_pos": self.pos, "_at": self.at}


@dataclass(eq=False)
class Generation(Generic[V]):
    """One built copy of a projection: its kind of documents, and where it stands."""

    projection: Projection[V]
    kind: str
    standing: Standing
    slots: "OrderedDict[str, Slot[V]]" = field(default_factory=OrderedDict)

    @classmethod
    def of(cls, projection: Projection[V], kind: str) -> "Generation[V]":
        return cls(projection, kind, Standing(kind, projection.logs))

    async def prepare(self, documents: Documents) -> None:
        await documents.prepare(CURSORS, ())
        await documents.prepare(self.kind, self.projection.indexes)
        await self.standing.load(documents)

    def fold(self, delivery: Delivery) -> dict[str, Slot[V]]:
        """The documents that this commit changes; nothing is kept until all of it has worked."""
        commit = delivery.commit
        source = f"{commit.log}:{commit.shard}"
        changed: dict[str, Slot[V]] = {}
        for entry in commit.recorded:
            for key in self.projection.keys(entry):
                slot = changed.get(key)
                if slot is None:
                    known = self.slots[key]
                    if known.pos.get(source, 0) >= commit.seq:
                        continue
                    pos = {**known.pos, source: commit.seq}
                    slot = Slot(known.view, known.rev, pos, max(known.at, instant(commit.at)))
                slot.view = self.projection.fold(slot.view, entry, key)
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
        return Slot(view, doc["_rev"], dict(doc["_pos"]), doc["_at"])

    def trim(self, limit: int = DOCUMENTS_CACHED_MAX) -> None:
        while len(self.slots) > limit:
            self.slots.popitem(last=False)


def _keys(generation: Generation[Any], delivery: Delivery) -> set[str]:
    keys = generation.projection.keys
    entries = cast("tuple[Recorded[Any], ...]", delivery.commit.recorded)
    return {key for entry in entries for key in keys(entry)}


async def fold_batch(
    generation: Generation[Any], documents: Documents, batch: Sequence[Delivery]
) -> None:
    """Folds what follows the generation's cursors and makes the documents durable. The cursors have
    moved in memory only. A fold that fails halts its shard at the commit before, loudly."""
    standing = generation.standing
    taken: list[Delivery] = []
    wanted: set[str] = set()
    for delivery in batch:
        if standing.follows(delivery):
            try:
                wanted |= _keys(generation, delivery)
            except Exception as broken:  # keys are pure: failing once is failing always
                standing.halt(delivery, type(broken).__name__)
                continue
            standing.advance(delivery)
            taken.append(delivery)
    await _settle(generation, documents, taken, wanted)


async def _settle(
    generation: Generation[Any], documents: Documents, taken: list[Delivery], wanted: set[str]
) -> None:
    """Folds and writes; a document that another process wrote meanwhile is read and folded anew."""
    for _ in range(RACES_MAX):
        await generation.read(documents, wanted)
        changed: dict[str, Slot[Any]] = {}
        for delivery in taken:
            place = (delivery.commit.log, delivery.commit.shard)
            if place in generation.standing.halted:
                continue
            try:
                step = generation.fold(delivery)
            except Exception as broken:  # folds are pure: failing once is failing always
                _stand_still(generation, delivery, taken, type(broken).__name__)
                continue
            generation.slots.update(step)
            changed.update(step)
        puts = [Put(generation.kind, key, slot.doc, slot.rev) for key, slot in changed.items()]
        if not puts:
            return
        won = await documents.put(puts)
        for (key, slot), win in zip(changed.items(), won, strict=True):
            if win:
                slot.rev += 1
            else:
                del generation.slots[key]
        if all(won):
            return
    raise StoreAway("documents are fought over")


def _stand_still(
    generation: Generation[Any], failed: Delivery, taken: Sequence[Delivery], reason: str
) -> None:
    """Puts the cursor back to just before the commit that cannot be folded."""
    standing = generation.standing
    place = (failed.commit.log, failed.commit.shard)
    before = [
        delivery
        for delivery in taken
        if (delivery.commit.log, delivery.commit.shard) == place
        and delivery.commit.seq < failed.commit.seq
    ]
    standing.halt(failed, reason)
    standing.back(place, before[-1] if before else None)


async def project(
    bus: Bus,
    documents: Documents,
    group: str,
    generations: Sequence[Generation[Any]],
    batch_max: int = BATCH_MAX,
) -> None:
    """Keeps these generations folded, for ever. A supervised loop: raises when the store or the bus
    is away, and may be started again at any moment."""
    standings = [generation.standing for generation in generations]
    logs = sorted({log for standing in standings for log in standing.logs})
    healing = Healing()
    for generation in generations:
        await generation.prepare(documents)
        generation.slots.clear()
    async with bus.subscribe(logs, group) as feed:
        await resume(feed, standings)
        while True:
            batch = await feed.batch(batch_max, WAIT_SECONDS)
            if not batch:
                await healing.mend(feed, standings)
                continue
            for generation in generations:
                await fold_batch(generation, documents, batch)
                generation.trim()
            if not await store(documents, standings):
                for standing in standings:
                    await standing.load(documents)
            await done(feed, standings, batch)
