"""`rebuild <projection>`: a new copy of a read model beside the live one, shown when it is whole.

It is folded up to the heads of when it was asked for; then readers are switched in one step, and
the copy they read before is kept: `rebuild <projection> --back` returns to it. Nothing is parked in
a new copy. On servers the service goes on meanwhile; on SQLite it must be stopped first.
"""

import argparse
import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from libs.common.consume import NOWHERE, Halt, Standing
from libs.common.errors import StoreAway
from libs.common.messages import Position
from libs.common.operators.console import MISUSED, NOT_WELL, WELL, Operator
from libs.common.operators.tending import Misused, Tended, found, tending
from libs.common.operators.upkeep import Rebuilt, RollBack
from libs.common.ports import Bus, Documents
from libs.common.project import Generation, build
from libs.common.shapes import Projection
from libs.common.views import (
    Alias,
    flip,
    heads,
    next_generation,
    number_of,
    read_alias,
    roll_back,
)

LOOK_SECONDS = 0.1
LINGER_SECONDS = 3.0
"""Folded on for so long after the flip, until running projectors have seen it."""


class Halted(Exception):
    """The new copy meets a commit that it cannot fold, and is not shown."""

    def __init__(self, halt: Halt) -> None:
        super().__init__(f"halted at {halt.position} ({halt.reason})")
        self.halt = halt


class Overtaken(Exception):
    """Another rebuild was asked for later and has been shown already."""

    def __init__(self, live: str) -> None:
        super().__init__(f"a later rebuild, {live}, is shown already")


async def rebuild(operator: Operator) -> int:
    """Exit code 1: the new copy cannot be shown, and readers read what they read before."""
    parser = argparse.ArgumentParser(prog="rebuild", description=__doc__.splitlines()[0])
    parser.add_argument("projection")
    parser.add_argument("--back", action="store_true", help="read the previous copy again")
    asked = parser.parse_args(operator.words)
    try:
        rooms, projection = found(operator.rooms, asked.projection)
        async with tending(operator, rooms) as tended:
            return await (_back if asked.back else _anew)(operator, tended, projection)
    except Misused as misused:
        operator.say(f"rebuild: {misused}")
        return MISUSED


async def _anew(operator: Operator, tended: Tended, projection: Projection[Any]) -> int:
    with operator.bars() as bars:
        bar = bars.add_task(projection.name, total=None)
        try:
            alias = await rebuilt(
                tended.bus,
                tended.documents,
                tended.rooms.name,
                projection,
                lambda done, whole: bars.update(bar, completed=done, total=whole),
                LINGER_SECONDS if operator.settings.relayed else 0,
            )
        except LookupError:
            raise Misused(f"{projection.name} has not been built a first time yet") from None
        except (Halted, Overtaken) as why:
            operator.say(f"{projection.name} is read as before: {why}")
            return NOT_WELL
    command = Rebuilt(generation=alias.live, previous=alias.previous)
    await tended.tell(projection, command)
    operator.say(f"{alias.live} is read now; --back returns to {alias.previous}")
    return WELL


async def _back(operator: Operator, tended: Tended, projection: Projection[Any]) -> int:
    try:
        await roll_back(tended.documents, projection.name)
    except LookupError:
        raise Misused(f"{projection.name} has no previous copy") from None
    alias = await read_alias(tended.documents, projection.name)
    if alias is None or alias.previous is None:
        raise StoreAway("the alias is gone")
    await tended.tell(projection, RollBack(generation=alias.live, previous=alias.previous))
    operator.say(f"{alias.live} is read again instead of {alias.previous}")
    return WELL


async def rebuilt(
    bus: Bus,
    documents: Documents,
    service: str,
    projection: Projection[Any],
    progress: Callable[[int, int], None] = lambda _done, _all: None,
    linger_seconds: float = 0.0,
) -> Alias:
    """Builds and shows it; the alias as it is then. `progress` is told commits read and to be read.
    Raises Halted, Overtaken, StoreAway, or LookupError before there is a first generation."""
    generation = await next_generation(documents, projection)
    targets = await heads(bus, projection.logs)
    group = f"{service}.{generation.kind}"
    folding = asyncio.ensure_future(build(bus, documents, group, [generation]))
    try:
        await _caught_up(documents, generation, targets, folding, progress)
        alias = await read_alias(documents, projection.name)
        if alias is not None and number_of(alias.live) > number_of(generation.kind):
            raise Overtaken(alias.live)
        await flip(documents, projection.name, generation.kind)
        await asyncio.wait([folding], timeout=linger_seconds)
    finally:
        folding.cancel()
        await asyncio.gather(folding, return_exceptions=True)
    alias = await read_alias(documents, projection.name)
    if alias is None:
        raise StoreAway("the alias is gone")
    return alias


async def _caught_up(
    documents: Documents,
    generation: Generation[Any],
    targets: Sequence[Position],
    folding: "asyncio.Future[None]",
    progress: Callable[[int, int], None],
) -> None:
    whole = sum(target.seq for target in targets)
    while True:
        stored = Standing(generation.kind, generation.projection.logs)
        await stored.load(documents)
        cursors = stored.cursors
        done = [min(cursors.get((t.log, t.shard), NOWHERE).seq, t.seq) for t in targets]
        progress(sum(done), whole)
        if sum(done) == whole:
            return
        for halt in generation.standing.halted.values():
            raise Halted(halt)
        await asyncio.wait([folding], timeout=LOOK_SECONDS)
        if folding.done():
            await folding
