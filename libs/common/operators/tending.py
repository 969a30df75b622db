"""An operator's own process at a service: its doors, its read models, and its word in the log.

On SQLite the doors open only while the service is stopped; on servers the service goes on.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from libs.common import parking
from libs.common.adapters import open_bus, open_documents, open_keys, open_store
from libs.common.append import Appender
from libs.common.clock import clock_of
from libs.common.consume import NOWHERE, Halt
from libs.common.handle import Ask, Handler
from libs.common.messages import Actor, Role, Stamp
from libs.common.operators.console import Operator
from libs.common.operators.upkeep import UpkeepCommand, stream_of, upkeep
from libs.common.ports import Bus, Documents
from libs.common.project import Generation
from libs.common.sealing import Keyring, read_kek
from libs.common.service import Rooms
from libs.common.shapes import Projection
from libs.common.views import kind_of, number_of, read_alias

OPERATOR = Actor("operator", Role.SYSTEM, "district")


class Misused(Exception):
    """What was asked for is not there; its argument is a sentence."""


@dataclass(frozen=True)
class Tended:
    """One service, with its doors open to write."""

    rooms: Rooms
    bus: Bus
    documents: Documents
    handler: Handler[Any, Any, Any]

    async def tell(self, projection: Projection[Any], command: UpkeepCommand) -> None:
        """Says in the log what is done, once. Raises Refused."""
        at = self.handler.appender.clock.now()
        stamped = command.stamped(Stamp(at, OPERATOR))
        await self.handler(Ask(stream_of(projection.name), stamped, uuid4()))


@asynccontextmanager
async def tending(operator: Operator, rooms: Rooms) -> AsyncIterator[Tended]:
    """Raises Taken where another process has the files."""
    settings = operator.settings
    async with (
        open_store(settings.store_url, rooms.name, prefix=settings.prefix) as store,
        open_bus(settings.bus_url, {rooms.name: store}, settings.prefix) as bus,
        open_documents(settings.views_url, rooms.name, settings.prefix) as documents,
        open_keys(settings.keys_url, settings.prefix) as keys,
    ):
        appender = Appender(store, rooms.name, clock_of(settings))
        handler = Handler(upkeep, appender, Keyring(keys, read_kek(settings.kek_file)))
        await parking.prepare(documents)
        try:
            yield Tended(rooms, bus, documents, handler)
        finally:
            await appender.close()


def found(rooms: Sequence[Rooms], name: str) -> tuple[Rooms, Projection[Any]]:
    """The read model that is meant, and whose it is. Raises Misused."""
    named = [(one, p) for one in rooms for p in stored_by(one) if p.name == name]
    if len(named) != 1:
        known = ", ".join(sorted({p.name for one in rooms for p in stored_by(one)}))
        several = "is in more than one service: say python -m services.<name>"
        raise Misused(f"{name} {several if named else f'is none of {known}'}")
    return named[0]


def stored_by(rooms: Rooms) -> tuple[Projection[Any], ...]:
    return (*rooms.projections, rooms.clocks)


async def generations(documents: Documents, projection: Projection[Any]) -> list[Generation[Any]]:
    """Every copy of a read model that counts and may have something parked: live, previous, or
    later than the live one, which is being built or was given up."""
    alias = await read_alias(documents, projection.name)
    numbers = range(1, (alias.made if alias else 0) + 2)
    made = [
        Generation.of(projection, kind)
        for number in numbers
        if (kind := kind_of(projection, number)) in (alias[:2] if alias else ())
        or alias is None
        or number > number_of(alias.live)
    ]
    await parking.look(documents, [one.parking for one in made])
    return [one for one in made if one.parking.halts or one.parking.streams]


async def halts(documents: Documents, generation: Generation[Any]) -> list[Halt]:
    """Where it stands still now: what was written down and has been passed is left out."""
    await generation.standing.load(documents)
    cursors = generation.standing.cursors
    return [
        halt
        for halt in generation.parking.halts
        if cursors.get((halt.position.log, halt.position.shard), NOWHERE).seq
        == halt.position.seq - 1
    ]
