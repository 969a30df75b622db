"""Builds that break one rule of the protocol each: the worlds must notice every one of them."""

from collections.abc import Callable, Sequence
from itertools import count
from typing import Any
from uuid import UUID, uuid5

import pytest

from libs.common import project, react, service, timers
from libs.common.append import Appender
from libs.common.commit import Commit
from libs.common.consume import Standing, resume, store
from libs.common.ports import Delivery, Documents, Put
from libs.common.project import Generation
from libs.common.react import POLICIES, Reacting
from libs.common.relay import Relay
from libs.common.views import flip
from tests.faults.world_documents import WorldDocuments
from tests.faults.world_store import WorldStore

Break = Callable[[pytest.MonkeyPatch], None]
BUILDS: dict[str, Break] = {}


def build(broken: Break) -> Break:
    BUILDS[broken.__name__] = broken
    return broken


@build
def acknowledges_before_the_insert(patch: pytest.MonkeyPatch) -> None:
    async def write(self: Any, group: Any) -> None:
        sent, rows = await self._chain(group)
        self._acknowledge(sent, rows)
        await self.store.insert(rows)

    patch.setattr(Appender, "_write", write)


@build
def keeps_its_heads_after_a_duplicate(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Appender, "_forget_heads", lambda _self, _group: None)


@build
def goes_on_behind_a_duplicate(patch: pytest.MonkeyPatch) -> None:
    """Takes the rows behind the one that collided for stored."""

    async def write(self: Any, group: Any) -> None:
        sent, rows = await self._chain(group)
        if rows:
            stored, error = await self.store.insert(rows)
            while error == "duplicate":
                more, error = await self.store.insert(rows[stored + 1 :])
                stored += 1 + more
            self._acknowledge(sent, rows)

    patch.setattr(Appender, "_write", write)


@build
def tells_what_the_majority_has_not_got(patch: pytest.MonkeyPatch) -> None:
    real = WorldStore.by_commands

    async def by_commands(
        self: WorldStore, commands: Sequence[UUID], local: bool = False
    ) -> dict[UUID, Commit]:
        return await real(self, commands, local=True)

    patch.setattr(WorldStore, "by_commands", by_commands)


@build
def relays_by_its_own_counter(patch: pytest.MonkeyPatch) -> None:
    find_tail = Relay._find_tail

    async def find(self: Relay, shard: int) -> None:
        if self.nexts[shard] == 1:
            await find_tail(self, shard)

    async def send(self: Relay, shard: int) -> None:
        batch = await self.store.log(shard, self.nexts[shard] - 1)
        if batch:
            self.nexts[shard] = batch[-1].seq + 1
            await self.bus.publish(self.log, shard, batch)

    patch.setattr(Relay, "_find_tail", find)
    patch.setattr(Relay, "_send", send)


@build
def reads_on_after_a_gap(patch: pytest.MonkeyPatch) -> None:
    follows = Standing._follows

    def reckless(self: Standing, delivery: Delivery) -> bool:
        found = follows(self, delivery)
        if delivery.commit.place in self.gaps:
            del self.gaps[delivery.commit.place]
            return True
        return found

    patch.setattr(Standing, "_follows", reckless)


@build
def writes_over_what_others_wrote(patch: pytest.MonkeyPatch) -> None:
    real = WorldDocuments._put

    def put(self: WorldDocuments, one: Put) -> bool:
        rev = self.kinds.get(one.kind, {}).get(one.key, (0, b""))[0]
        return real(self, one._replace(rev=rev))

    patch.setattr(WorldDocuments, "_put", put)


@build
def folds_what_it_has_seen(patch: pytest.MonkeyPatch) -> None:
    """A document's positions are looked at by nobody."""
    fold = Generation.fold

    def again(self: Any, commit: Any, places: Any) -> Any:
        for _, key in places:
            self.slots[key].pos = {}
        return fold(self, commit, places)

    patch.setattr(Generation, "fold", again)


@build
def stores_the_cursor_before_its_commands(patch: pytest.MonkeyPatch) -> None:
    asks = Reacting.asks

    async def hasty(self: Reacting, documents: Documents, batch: Sequence[Delivery]) -> Any:
        found = await asks(self, documents, batch)
        await store(documents, [self.standing])
        return found

    patch.setattr(Reacting, "asks", hasty)


@build
def numbers_its_commands(patch: pytest.MonkeyPatch) -> None:
    numbers = count()
    patch.setattr(react, "command_id", lambda *_: uuid5(POLICIES, str(next(numbers))))


@build
def numbers_what_its_timers_ask(patch: pytest.MonkeyPatch) -> None:
    numbers = count()
    patch.setattr(timers, "uuid5", lambda *_: uuid5(POLICIES, f"timer {next(numbers)}"))


@build
def stays_ahead_after_a_lost_race(patch: pytest.MonkeyPatch) -> None:
    """Reads the cursors again and leaves the feed where it was."""
    begun: list[Any] = []

    async def once(feed: Any, standings: Sequence[Standing]) -> None:
        if feed not in begun:
            begun.append(feed)
            await resume(feed, standings)

    patch.setattr(project, "resume", once)
    patch.setattr(react, "resume", once)


@build
def shows_what_is_not_there_yet(patch: pytest.MonkeyPatch) -> None:
    """Flips an alias to a generation that nobody has prepared."""

    async def hasty(documents: Documents, generation: Any, targets: Any, pause: Any) -> None:
        while True:
            standing = Standing(generation.kind, generation.projection.logs)
            await standing.load(documents)
            if standing.reached(targets):
                break
            await pause()
        await flip(documents, generation.projection.name, generation.kind)

    patch.setattr(service, "flip_when_caught_up", hasty)
