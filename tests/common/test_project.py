"""Folding: old news changes nothing, rivals agree, a rebuild disturbs nobody."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import pytest

from libs.common import project
from libs.common.consume import CURSORS, store
from libs.common.errors import Malformed
from libs.common.handle import Ask
from libs.common.messages import Recorded
from libs.common.ports import Delivery, Documents, Put, Query
from libs.common.project import Generation, build, fold_batch
from libs.common.replay import as_of, said, said_by
from libs.common.service import Running
from libs.common.shapes import Projection
from libs.common.views import Views, flip_when_caught_up, read_alias, roll_back
from tests.common.beads import Tally, add, tallies
from tests.common.doors import ROOMS, Doors, alive, open_doors, service, settled, until

COLOURS = tuple(f"colour{number}" for number in range(12))


@pytest.fixture
async def doors(tmp_path: Path) -> AsyncIterator[Doors]:
    async with open_doors(tmp_path / "data") as opened:
        yield opened


async def strung(running: Running, count: int = 40, start: int = 0) -> None:
    asks = [
        add(start + n, COLOURS[n % len(COLOURS)], f"string/{start}.{n // len(COLOURS)}")
        for n in range(count)
    ]
    await asyncio.gather(*map(running.handle, asks))


async def everything(doors: Doors) -> list[Delivery]:
    return [
        Delivery(commit, commit.seq)
        for shard in range(16)
        for commit in await doors.store.log(shard, 0)
    ]


async def stored(doors: Doors, kind: str) -> bytes:
    return said_by(await doors.documents.get(kind, COLOURS))


async def replayed(doors: Doors, projection: Projection[Any] = tallies) -> bytes:
    return said((await as_of({"beads": doors.store}, [projection], None))[projection.name])


async def test_news_that_comes_again_changes_nothing(doors: Doors) -> None:
    await strung(await service(doors))
    batch = await everything(doors)
    for _ in range(2):  # the cursors are lost in between, the documents are not
        generation = Generation.of(tallies, "tallies_v1_g1")
        await generation.prepare(doors.documents)
        await fold_batch([generation], doors.documents, batch)
        await fold_batch([generation], doors.documents, batch)
    assert await stored(doors, "tallies_v1_g1") == await replayed(doors)


async def test_rivals_over_the_same_documents_agree(doors: Doors) -> None:
    await strung(await service(doors))
    batch = await everything(doors)
    rivals = [Generation.of(tallies, "tallies_v1_g1") for _ in range(3)]
    await rivals[0].prepare(doors.documents)

    async def fold(rival: Generation[Tally]) -> None:
        for delivery in batch:
            await fold_batch([rival], doors.documents, [delivery])

    await asyncio.gather(*map(fold, rivals))
    assert await stored(doors, "tallies_v1_g1") == await replayed(doors)


async def test_rivals_who_build_anew_agree(doors: Doors, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each holds back what it has folded, so that nearly every write loses against another's."""
    running = await service(doors)
    await strung(running, 200)
    monkeypatch.setattr(project, "REBUILD_BATCH_MAX", 16)
    monkeypatch.setattr(project, "REBUILD_COMMITS_MAX", 48)
    rivals = [Generation.of(tallies, "tallies_v1_g7") for _ in range(3)]
    ends = [await doors.store.head(shard) for shard in range(16)]
    targets = [end.position for end in ends if end is not None]
    building = [
        asyncio.ensure_future(build(running.bus, doors.documents, "rivals", [rival]))
        for rival in rivals
    ]

    async def built() -> bool:
        assert not any(one.done() for one in building)
        return all(rival.standing.reached(targets) for rival in rivals)

    await until(built)
    for one in building:
        one.cancel()
    assert await stored(doors, "tallies_v1_g7") == await replayed(doors)


def fragile_fold(view: Tally | None, entry: Recorded[Any], key: str) -> Tally:
    if key == "colour3":
        raise ValueError("cannot be folded")
    return tallies.fold(view, entry, key) or Tally(colour=key)


async def test_a_commit_that_cannot_be_folded_halts_its_shard_alone(doors: Doors) -> None:
    await strung(await service(doors))
    fragile = replace(tallies, fold=fragile_fold)
    generation = Generation.of(fragile, "tallies_v1_g1")
    await generation.prepare(doors.documents)
    await fold_batch([generation], doors.documents, await everything(doors))
    assert await store(doors.documents, [generation.standing])
    assert {halt.reason for halt in generation.standing.halted.values()} == {"ValueError"}
    shards = {place[1] for place in generation.standing.halted}
    for shard in range(16):
        commits = await doors.store.log(shard, 0)
        at = generation.standing.seqs().get(f"beads:{shard}", 0)
        if shard in shards:
            assert commits[at].recorded[0].event.model_dump()["colour"] == "colour3"
        else:
            assert at == len(commits)


def unplaced(entry: Recorded[Any]) -> list[str]:
    (colour,) = tallies.keys(entry)
    if colour == "colour3":
        raise ValueError("belongs nowhere")
    return [colour]


@pytest.mark.parametrize("broken", ["keys", "fold"])
async def test_what_comes_before_a_broken_commit_is_folded_in_one_batch_and_against_rivals(
    doors: Doors, broken: str
) -> None:
    """Where the cursor stands, the documents say so."""
    await strung(await service(doors))
    fold, keys = (fragile_fold, tallies.keys) if broken == "fold" else (tallies.fold, unplaced)
    fragile = replace(tallies, fold=fold, keys=keys)
    batch = await everything(doors)
    first, second = [Generation.of(fragile, "tallies_v1_g1") for _ in range(2)]
    await first.prepare(doors.documents)
    await second.read(doors.documents, COLOURS)  # before the first one writes
    await fold_batch([first], doors.documents, [d for d in batch if d.commit.shard < 8])
    assert await store(doors.documents, [first.standing])
    await fold_batch([second], doors.documents, batch)
    await store(doors.documents, [second.standing])
    await second.standing.load(doors.documents)
    expected: Counter[str] = Counter()
    for shard in range(16):
        at = second.standing.seqs().get(f"beads:{shard}", 0)
        for commit in (await doors.store.log(shard, 0))[:at]:
            expected.update(tallies.keys(commit.recorded[0]))
    assert {halt.position.shard < 8 for halt in second.standing.halted.values()} == {True, False}
    docs = await doors.documents.get("tallies_v1_g1", COLOURS)
    assert {key: doc["count"] for key, doc in docs.items()} == expected


def _fading(view: Tally | None, entry: Recorded[Any], key: str) -> Tally | None:
    counted = tallies.fold(view, entry, key)
    return None if counted is not None and counted.count == 2 else counted


async def test_a_deleted_document_is_not_brought_back_by_old_news(doors: Doors) -> None:
    running = await service(doors)
    await strung(running, count=24)  # every colour twice: all deleted
    batch = await everything(doors)
    fading = replace(tallies, fold=_fading)
    for _ in range(2):
        generation = Generation.of(fading, "tallies_v1_g1")
        await generation.prepare(doors.documents)
        await fold_batch([generation], doors.documents, batch)
    docs = await doors.documents.get("tallies_v1_g1", COLOURS)
    assert all(doc["_gone"] for doc in docs.values())
    assert len(docs) == len(COLOURS)


async def test_readers_see_no_error_and_no_empty_page_while_a_view_is_rebuilt(
    doors: Doors,
) -> None:
    running = await service(doors)
    async with alive(running):
        await strung(running)
        await settled(running, doors.store)
        generation, fold, flip = await running.rebuild(tallies)
        reading, writing = True, 0
        pages = 0

        async def read() -> None:
            nonlocal pages
            while reading:
                page = await running.views.find(tallies, Query(order=("count",), limit=5))
                assert page.items
                assert page.next is not None
                assert (await running.views.find(tallies, Query(order=("count",)), page.next)).items
                pages += 1

        async def write() -> None:
            nonlocal writing
            while reading:
                writing += 100
                await strung(running, start=10_000 + writing, count=5)

        tasks = [asyncio.ensure_future(work()) for work in (read, write, fold)]
        await flip()
        alias = await read_alias(doors.documents, "tallies")
        assert alias is not None
        assert (alias.live, alias.previous) == ("tallies_v1_g2", "tallies_v1_g1")
        seen = pages

        async def read_on() -> bool:
            return pages > seen + 5

        await until(read_on)
        reading = False
        await asyncio.gather(*tasks[:2])
        await settled(running, doors.store)
        assert await stored(doors, "tallies_v1_g2") == await replayed(doors)
        await roll_back(doors.documents, "tallies")
        assert (await read_alias(doors.documents, "tallies") or alias).live == "tallies_v1_g1"
        assert await stored(doors, "tallies_v1_g1") == await replayed(doors)
        assert generation.standing.seqs()
        tasks[2].cancel()


async def test_a_rebuild_starts_from_nothing_though_another_was_given_up(doors: Doors) -> None:
    running = await service(doors)
    async with alive(running):
        await strung(running)
        await settled(running, doors.store)
        given_up, fold, _ = await running.rebuild(tallies)
        task = asyncio.ensure_future(fold())
        await until(lambda: _is(bool(given_up.standing.seqs())))
        task.cancel()
        generation, fold, flip = await running.rebuild(tallies)
        task = asyncio.ensure_future(fold())
        await flip()
        task.cancel()
        alias = await read_alias(doors.documents, "tallies")
        assert alias is not None
        assert alias.live == generation.kind != given_up.kind
        assert await stored(doors, alias.live) == await replayed(doors)


async def _is(so: bool) -> bool:
    return so


async def test_a_generation_that_an_operator_built_is_folded_on_by_the_running_service(
    tmp_path: Path,
) -> None:
    async with open_doors(tmp_path / "data") as doors:
        running = await service(doors, relayed=True)
        async with alive(running):
            await strung(running)
            await settled(running, doors.store)
            operator = await service(doors, relayed=True)  # as another process would have it
            generation, fold, flip = await operator.rebuild(tallies)
            task = asyncio.ensure_future(fold())
            await flip()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await until(lambda: _is(generation.kind in {o.kind for o in running.generations}))
            await strung(running, start=5_000)
            await settled(running, doors.store)
            assert await stored(doors, generation.kind) == await replayed(doors)


async def test_a_cursor_of_somebody_elses_view_is_refused(doors: Doors) -> None:
    running = await service(doors)
    async with alive(running):
        await settled(running, doors.store)
        for cursor in ("", "???", "x" * 2_000, "WzFd", "WyJvdGhlcl92MV9nMSIsMV0"):
            with pytest.raises(Malformed):
                await running.views.find(tallies, Query(order=("count",)), cursor)


async def test_a_policy_asks_once_per_cause_though_it_hears_it_again(doors: Doors) -> None:
    for _ in range(3):  # a new process each time, whose cursors are lost
        running = await service(doors)
        async with alive(running):
            await strung(running, count=24)
            await settled(running, doors.store)
        for reacting in running.reacting:
            for place in list(reacting.standing.cursors):
                key = f"{reacting.standing.name}|{place[0]}:{place[1]}"
                doc = (await doors.documents.get("cursors", [key])).get(key)
                if doc is not None:  # where nothing was asked, it may not have been stored yet
                    back = {**doc, "seq": 0, "hash": "0" * 64, "offset": -1}
                    await doors.documents.put([Put("cursors", key, back, doc["_rev"])])
    boxes = {c.stream for d in await everything(doors) for c in [d.commit] if "box/" in c.stream}
    boxed = [d for d in await everything(doors) if d.commit.stream in boxes]
    assert len(boxed) == len(boxes) == len(COLOURS)
    assert all(d.commit.content["cause"] for d in boxed)


async def test_what_was_asked_in_one_process_is_known_in_the_next(doors: Doors) -> None:
    await (await service(doors)).handle(add(1, "red"))
    again = await (await service(doors)).handle(add(1, "red"))
    assert again.replayed
    other = Ask("string/a", add(2, "red").command, UUID(int=3), path="POST /v1/beads")
    assert (await (await service(doors, ROOMS)).handle(other)).silent


@dataclass(eq=False)
class LateRival:
    """The write of a process that was killed arrives late, just before ours: an older cursor."""

    doors: Doors
    late: bool = False

    async def put(self, puts: Sequence[Put]) -> list[bool]:
        for put in puts:
            ours = put.kind == CURSORS and put.key.startswith(tallies.name)
            if ours and put.doc["seq"] > 1 and not self.late:
                self.late = True
                (first,) = await self.doors.store.log(int(put.key.rpartition(":")[2]), 0, 1)
                offset = put.doc["offset"] - put.doc["seq"] + 1
                old = {"seq": 1, "hash": first.hash, "offset": offset, "at": put.doc["at"]}
                await self.doors.documents.put([Put(CURSORS, put.key, old, put.rev)])
        return await self.doors.documents.put(puts)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.doors.documents, name)


async def test_a_cursor_that_a_late_rival_set_back_is_made_up_for(doors: Doors) -> None:
    """Nothing more comes in that shard, so nobody would notice the jump."""
    await strung(await service(doors))
    rival = LateRival(doors)
    running = await service(replace(doors, documents=cast("Documents", rival)))
    async with alive(running):
        await settled(running, doors.store)
    assert rival.late
    assert await stored(doors, "tallies_v1_g1") == await replayed(doors)


async def test_what_readers_are_shown_is_there_to_be_asked(doors: Doors) -> None:
    """Of an empty log every view has heard all, before anybody has folded it."""
    generation = Generation.of(tallies, "tallies_v1_g1")
    await flip_when_caught_up(doors.documents, generation, [], lambda: asyncio.sleep(0))
    assert (await Views(doors.documents).find(tallies, Query(order=("count",)))).items == ()


async def test_a_view_that_only_this_build_knows_is_folded_in_a_group_of_its_own(
    doors: Doors,
) -> None:
    """In the others' group the members of an older build would leave their shards out of it."""
    first = await service(doors, relayed=True)
    assert "beads.project.tallies_v1_g1" not in await first.loops(), "nobody reads anything yet"
    running = await service(doors)
    async with alive(running):
        await strung(running)
        await settled(running, doors.store)
    newer = replace(ROOMS, projections=(replace(tallies, version=2),))
    later = await service(doors, newer, relayed=True)
    loops = await later.loops()
    folding = asyncio.ensure_future(loops["beads.project.tallies_v2_g2"]())
    building = asyncio.ensure_future(loops["beads.building"]())

    async def shown() -> bool:
        alias = await read_alias(doors.documents, "tallies")
        return alias is not None and alias.live == "tallies_v2_g2"

    await until(shown)
    for task in (folding, building):
        task.cancel()
    await asyncio.gather(folding, building, return_exceptions=True)
    assert await stored(doors, "tallies_v2_g2") == await stored(doors, "tallies_v1_g1")


async def test_what_another_process_has_written_since_is_seen_by_who_asks_whose_it_is(
    doors: Doors,
) -> None:
    one, other = [await service(doors, relayed=True) for _ in range(2)]
    await one.handle(add(1, "red"))
    handler = other.handlers["string"]
    assert (await handler.newest("string/a")).version == 1
    await one.handle(add(2, "blue"))
    assert (await handler.newest("string/a")).state.colours == ("red", "blue")
