"""What was set aside of a parked stream, folded in order after a fix, or given up with a reason."""

from collections.abc import Callable
from typing import Any, NamedTuple

from libs.common import parking
from libs.common.commit import Commit
from libs.common.errors import StoreAway
from libs.common.messages import Position
from libs.common.parking import Parked
from libs.common.ports import Documents, Put
from libs.common.project import RACES_MAX, Generation
from libs.common.shapes import Placed


class Retried(NamedTuple):
    """How many commits were folded; and the first that cannot be, with what is wrong with it."""

    applied: int
    failed: Position | None = None
    reason: str = ""


class _Broken(Exception):
    """The commit still cannot be folded; its argument is what was raised, in one word."""


async def retry(
    documents: Documents,
    generation: Generation[Any],
    parked: Parked,
    progress: Callable[[int], None] = lambda _: None,
) -> Retried:
    """Folds what waits, in order, until nothing does or a commit fails again. When all is folded
    the stream flows again. May end at any point, and be asked again."""
    applied = 0
    while True:
        page = await parking.waiting(documents, generation.parking, parked)
        for doc in page.docs:
            commit = parking.commit_of(doc)
            try:
                await _fold_late(documents, generation, commit, parked.source)
            except _Broken as broken:
                return Retried(applied, commit.position, str(broken))
            await parking.settle(documents, doc)
            applied += 1
            progress(applied)
        if not page.docs and await parking.free(documents, generation.parking, parked):
            return Retried(applied)
        parked = await _again(documents, generation, parked)


async def evict(
    documents: Documents, generation: Generation[Any], parked: Parked, position: Position
) -> None:
    """This commit of a parked stream is not folded; when nothing waits behind it, the stream flows
    again. Evicting it twice is nothing."""
    page = await parking.waiting(documents, generation.parking, parked)
    for doc in page.docs:
        if doc["seq"] == position.seq:
            await parking.settle(documents, doc)
    while not (await parking.waiting(documents, generation.parking, parked)).docs:
        if await parking.free(documents, generation.parking, parked):
            return
        parked = await _again(documents, generation, parked)


async def _again(documents: Documents, generation: Generation[Any], parked: Parked) -> Parked:
    await parking.look(documents, [generation.parking])
    return generation.parking.streams[parked.first.log, parked.stream]


async def _fold_late(
    documents: Documents, generation: Generation[Any], commit: Commit, source: str
) -> None:
    places = _placed(generation, commit)
    for _ in range(RACES_MAX):
        await generation.read(documents, {key for _, key in places})
        try:
            changed = generation.fold(commit, places, source)
        except Exception as broken:  # folds are pure: failing once is failing always
            raise _Broken(type(broken).__name__) from None
        kept = {key: slot for key, slot in changed.items() if slot.rev or slot.was}
        puts = [Put(generation.kind, key, slot.doc, slot.rev) for key, slot in kept.items()]
        won = await documents.put(puts) if puts else []
        for key in kept:  # others write here as well: what is kept is read anew
            del generation.slots[key]
        if all(won):
            return
    raise StoreAway("documents are fought over")


def _placed(generation: Generation[Any], commit: Commit) -> list[Placed]:
    try:
        return generation.projection.places(commit)
    except Exception as broken:  # keys are pure: failing once is failing always
        raise _Broken(type(broken).__name__) from None
