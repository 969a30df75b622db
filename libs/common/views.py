"""Reading read models: an alias names the live generation, a page's cursor names its own.

A projection is rebuilt as a new generation beside the live one; flipping the alias switches every
reader at once, flipping it back is the way home.
"""

import asyncio
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as NotBase64
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from time import monotonic
from typing import Any, Generic, NamedTuple

import orjson

from libs.common.commit import shard_of
from libs.common.consume import Standing
from libs.common.errors import Behind, Malformed, StoreAway
from libs.common.messages import Dep, Position
from libs.common.ports import SHARDS, Bus, Documents, Put, Query
from libs.common.project import Generation
from libs.common.shapes import Projection, V

ALIASES = "aliases"
ALIAS_SECONDS = 1.0
FLIP_TRIES_MAX = 10
CURSOR_CHARS_MAX = 1_000


class Alias(NamedTuple):
    """Which generation readers read; `previous` stays folded, for the way back. `made` is the
    highest number that any generation was given: the next one starts from nothing."""

    live: str
    previous: str | None
    made: int
    rev: int

    def put(self, name: str) -> Put:
        doc = {"live": self.live, "previous": self.previous, "made": self.made}
        return Put(ALIASES, name, doc, self.rev)


class Found(NamedTuple, Generic[V]):
    items: tuple[V, ...]
    next: str | None


async def read_alias(documents: Documents, name: str) -> Alias | None:
    doc = (await documents.get(ALIASES, [name])).get(name)
    if doc is None:
        return None
    kinds = [kind for kind in (doc["live"], doc["previous"]) if kind]
    made = max([doc.get("made", 0), *map(number_of, kinds)])
    return Alias(doc["live"], doc["previous"], made, doc["_rev"])


async def flip(documents: Documents, name: str, kind: str) -> None:
    """Readers read `kind` from now on; one guarded put, so it is the old one or the new one."""
    await documents.prepare(ALIASES, ())
    for _ in range(FLIP_TRIES_MAX):
        alias = await read_alias(documents, name)
        if alias is not None and alias.live == kind:
            return
        if alias is None:
            alias = Alias(kind, None, number_of(kind), 0)
        else:
            made = max(alias.made, number_of(kind))
            alias = alias._replace(live=kind, previous=alias.live, made=made)
        if all(await documents.put([alias.put(name)])):
            return
    raise StoreAway("the alias is fought over")


async def roll_back(documents: Documents, name: str) -> None:
    """Readers read the previous generation again. Raises LookupError when there is none."""
    alias = await read_alias(documents, name)
    if alias is None or alias.previous is None:
        raise LookupError(name)
    await flip(documents, name, alias.previous)


def kind_of(projection: Projection[Any], number: int) -> str:
    return f"{projection.name}_v{projection.version}_g{number}"


def number_of(kind: str) -> int:
    return int(kind.rpartition("_g")[2])


def kinds_of(projection: Projection[Any], alias: Alias | None) -> list[str]:
    """What the alias names of the shape that this build knows: the live one, then the previous."""
    ours = f"{projection.name}_v{projection.version}_g"
    both = (alias.live, alias.previous) if alias else ()
    return [kind for kind in both if kind and kind.startswith(ours)]


async def live_generations(
    documents: Documents, projections: Sequence[Projection[Any]]
) -> list[Generation[Any]]:
    """What this build keeps folded: for each projection its live generation, and the previous one
    when this build still knows its shape; a new projection or version starts its first."""
    await documents.prepare(ALIASES, ())
    found = []
    for projection in projections:
        alias = await read_alias(documents, projection.name)
        kinds = kinds_of(projection, alias)
        if not kinds:
            kinds = [kind_of(projection, alias.made + 1 if alias else 1)]
        found += [Generation.of(projection, kind) for kind in kinds]
    return found


async def not_shown(
    documents: Documents, generations: Sequence[Generation[Any]]
) -> list[Generation[Any]]:
    """Those that no alias names although there is one: readers read what another build has made."""
    found = []
    for generation in generations:
        alias = await read_alias(documents, generation.projection.name)
        if alias is not None and generation.kind not in (alias.live, alias.previous):
            found.append(generation)
    return found


async def next_generation(documents: Documents, projection: Projection[V]) -> Generation[V]:
    """A generation beside all that were. Its number was never used, so that it starts from nothing,
    whatever a rebuild that ended half way has left. Raises LookupError before there is a first."""
    for _ in range(FLIP_TRIES_MAX):
        alias = await read_alias(documents, projection.name)
        if alias is None:
            raise LookupError(projection.name)
        kind = kind_of(projection, alias.made + 1)
        if all(await documents.put([alias._replace(made=alias.made + 1).put(projection.name)])):
            return Generation.of(projection, kind)
    raise StoreAway("the alias is fought over")


async def heads(bus: Bus, logs: Collection[str]) -> list[Position]:
    """The end of every shard, as the bus has it now."""
    tails = await asyncio.gather(
        *(bus.tail(log, shard) for log in sorted(logs) for shard in range(SHARDS))
    )
    return [tail[0].position for tail in tails if tail is not None]


async def flip_when_caught_up(
    documents: Documents,
    generation: Generation[Any],
    targets: Sequence[Position],
    pause: Callable[[], Awaitable[None]],
) -> None:
    """No lag at all never holds under load: the goal is the heads of when it was asked for. Several
    processes may fold one generation, each some shards, so what is stored counts. An empty log is
    caught up with before anybody has folded: what readers are shown must be there to be asked."""
    await documents.prepare(generation.kind, generation.projection.indexes)
    while True:
        standing = Standing(generation.kind, generation.projection.logs)
        await standing.load(documents)
        if standing.reached(targets):
            break
        await pause()
    await flip(documents, generation.projection.name, generation.kind)


@dataclass(eq=False)
class Views:
    """What routes read. A service that was ready once never shows an error or an empty page."""

    documents: Documents
    monotonic: Callable[[], float] = monotonic
    here: dict[str, Standing] = field(default_factory=dict)
    """By kind, where generations stand that this process alone folds: nobody else need be asked."""
    _aliases: dict[str, tuple[str, float]] = field(default_factory=dict)

    async def get(self, projection: Projection[V], key: str) -> V | None:
        return (await self.many(projection, [key])).get(key)

    async def many(self, projection: Projection[V], keys: Collection[str]) -> dict[str, V]:
        found = await self.documents.get(await self._kind(projection), keys)
        return {
            key: projection.view.model_validate(doc)
            for key, doc in found.items()
            if not doc.get("_gone")
        }

    async def find(
        self, projection: Projection[V], query: Query, cursor: str | None = None
    ) -> Found[V]:
        """A page; `cursor` is an earlier page's `next`. Raises Malformed for a bad cursor."""
        if cursor is None:
            kind = await self._kind(projection)
        else:
            kind, after = _read_cursor(cursor, projection)
            query = replace(query, after=after)
        try:
            docs, after_this = await self.documents.find(kind, query)
        except ValueError:
            if cursor is None:
                raise
            raise Malformed("bad-cursor", "cursor") from None
        items = tuple(projection.view.model_validate(d) for d in docs if not d.get("_gone"))
        return Found(items, _write_cursor(kind, after_this) if after_this else None)

    async def seen(self, projection: Projection[Any], log: str, stream: str) -> tuple[Dep, ...]:
        """The `deps` of a decision that rests on this view: the cursor of the shard of the stream
        that was asked about, whether something was found there or not."""
        shard = shard_of(stream)
        standing = await self._standing(projection, [Position(log, shard, 1)])
        return standing.dep(log, shard)

    async def reached(self, projection: Projection[Any], positions: Collection[Position]) -> bool:
        """Whether the view has folded all of these; a log that it does not hear is met."""
        return (await self._standing(projection, positions)).reached(positions)

    async def _standing(
        self, projection: Projection[Any], positions: Collection[Position]
    ) -> Standing:
        kind = await self._kind(projection)
        if kind in self.here:
            return self.here[kind]
        standing = Standing(kind, projection.logs)
        await standing.load(self.documents, {(p.log, p.shard) for p in positions})
        return standing

    async def _kind(self, projection: Projection[Any]) -> str:
        kind, until = self._aliases.get(projection.name, ("", 0.0))
        if until <= self.monotonic():
            alias = await read_alias(self.documents, projection.name)
            if alias is None:
                raise Behind(f"{projection.name} has not been built yet")
            kind = alias.live
            self._aliases[projection.name] = (kind, self.monotonic() + ALIAS_SECONDS)
        return kind


def _write_cursor(kind: str, after: Sequence[Any]) -> str:
    return urlsafe_b64encode(orjson.dumps([kind, *after])).decode().rstrip("=")


def _read_cursor(cursor: str, projection: Projection[Any]) -> tuple[str, tuple[Any, ...]]:
    try:
        if len(cursor) > CURSOR_CHARS_MAX:
            raise ValueError("too long")
        kind, *after = orjson.loads(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        if not isinstance(kind, str) or not kind.startswith(f"{projection.name}_v") or not after:
            raise ValueError("another view's")
        if not all(value is None or isinstance(value, str | int) for value in after):
            raise ValueError("not a keyset")
    except (ValueError, NotBase64, TypeError):
        raise Malformed("bad-cursor", "cursor") from None
    return kind, tuple(after)
