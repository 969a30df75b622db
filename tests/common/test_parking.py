"""Parking a stream: it alone is left behind, nothing of it is lost, and afterwards nobody can tell.

One job (halt, park, fold on, retry in vain, retry, fold on, hear it all again) is judged after each
step against a replay of the log, with any one call to the documents failing, and on broken builds.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import pytest

from libs.common import parking
from libs.common.adapters import open_documents
from libs.common.commit import Commit, shard_of
from libs.common.consume import Halt, store
from libs.common.errors import StoreAway
from libs.common.messages import Position, Recorded
from libs.common.operators.retrying import Retried, evict, retry
from libs.common.parking import Parked, Parking
from libs.common.ports import Delivery, Documents
from libs.common.project import Generation, fold_batch
from libs.common.replay import as_of, said, said_by
from libs.common.service import Running
from libs.common.shapes import Projection
from tests.common.beads import BeadStrung, Tally, add, tallies
from tests.common.doors import ROOMS, Doors, alive, open_doors, service, until
from tests.failing import Failing, FailingDocuments

T = TypeVar("T")
POISON = "string/2"
STREAMS = ("string/0", "string/1", POISON, "string/35")
"""The last two lie in one shard."""
COLOURS = ("red", "blue", "green")
STARTS = (100, 200, 300)
EVERYTHING = "everything"
N_MAX = 400
RETRYING = 40
"""About where the calls of the retry begin: a fault in it is found from here on."""
KIND = "counts_v1_g1"


def _counted(view: Tally | None, _entry: Recorded[Any], key: str) -> Tally:
    return Tally(colour=key, count=(view.count if view else 0) + 1)


def _keys(entry: Recorded[Any]) -> Iterable[str]:
    """Each commit belongs to two documents, one of which all streams share."""
    return (entry.event.colour, EVERYTHING) if isinstance(entry.event, BeadStrung) else ()


counts = Projection[Tally]("counts", 1, ("beads",), Tally, _keys, _counted)


def _broken_keys(entry: Recorded[Any]) -> Iterable[str]:
    if entry.stream == POISON and entry.version > 1:
        raise KeyError("belongs nowhere")
    return _keys(entry)


def _broken_fold(view: Tally | None, entry: Recorded[Any], key: str) -> Tally:
    if entry.stream == POISON and entry.version > 1 and key == EVERYTHING:
        raise ValueError("cannot be folded")
    return _counted(view, entry, key)


def _left_behind(entry: Recorded[Any]) -> Iterable[str]:
    return () if entry.stream == POISON and entry.version > 1 else _keys(entry)


def _half_mended(entry: Recorded[Any]) -> Iterable[str]:
    if entry.stream == POISON and entry.version > 2:
        raise KeyError("belongs nowhere")
    return _keys(entry)


def _without_the_third(entry: Recorded[Any]) -> Iterable[str]:
    return () if entry.stream == POISON and entry.version == 3 else _keys(entry)


BROKEN = {
    "keys": replace(counts, keys=_broken_keys),
    "fold": replace(counts, fold=_broken_fold),
}
ASIDE = replace(counts, keys=_left_behind)
EVICTED = replace(counts, keys=_without_the_third)


@dataclass(frozen=True)
class Chapter:
    """The log up to a moment, and what the read model has to say then."""

    batch: tuple[Delivery, ...]
    said: dict[str, bytes]


async def strung(running: Running, start: int) -> None:
    for number, colour in enumerate(COLOURS):
        asks = [
            add(start + 10 * number + place, f"{colour}{start}", stream)
            for place, stream in enumerate(STREAMS)
        ]
        await asyncio.gather(*map(running.handle, asks))


async def chapter(doors: Doors, **projections: Projection[Any]) -> Chapter:
    batch = [
        Delivery(commit, commit.seq)
        for shard in range(16)
        for commit in await doors.store.log(shard, 0)
    ]
    told = {
        name: said((await as_of({"beads": doors.store}, [projection], None))["counts"])
        for name, projection in projections.items()
    }
    return Chapter(tuple(batch), told)


async def written(folder: Path) -> list[Chapter]:
    async with open_doors(folder) as doors:
        running, found = await service(doors), []
        for start in STARTS:
            await strung(running, start)
            found.append(await chapter(doors, whole=counts, aside=ASIDE, evicted=EVICTED))
        return found


@dataclass(eq=False)
class Job:
    """Every step is made by a process of its own, which knows only what is stored."""

    documents: Documents
    broken: Projection[Any]
    kind: str = KIND
    findings: list[str] = field(default_factory=list)

    async def generation(self, projection: Projection[Any]) -> Generation[Any]:
        generation = Generation.of(projection, self.kind)
        await parking.prepare(self.documents)
        await generation.prepare(self.documents)
        await parking.look(self.documents, [generation.parking])
        return generation

    async def fold(
        self, now: Chapter, projection: Projection[Any], from_start: bool = False
    ) -> None:
        generation = await self.generation(projection)
        if from_start:
            generation.standing.cursors.clear()
        await fold_batch([generation], self.documents, now.batch)
        halts = generation.standing.halted.values()
        await parking.note_halts(self.documents, generation.parking, halts)
        if not await store(self.documents, [generation.standing]) and not from_start:
            raise StoreAway("the cursors were moved")

    async def park(self) -> None:
        generation = await self.generation(self.broken)
        for halt in generation.parking.halts:
            await parking.park(self.documents, generation.parking, halt)

    async def retry(self, projection: Projection[Any]) -> list[Retried]:
        generation = await self.generation(projection)
        parked = generation.parking.open()
        return [await retry(self.documents, generation, one) for one in parked]

    async def judge(self, when: str, expected: bytes) -> None:
        keys = [f"{colour}{start}" for start in STARTS for colour in COLOURS]
        docs = await surely(lambda: self.documents.get(self.kind, [*keys, EVERYTHING]))
        if said_by(docs) != expected:
            self.findings.append(when)

    async def play(self, chapters: Sequence[Chapter]) -> list[str]:
        first, second, third = chapters
        await surely(lambda: self.fold(first, self.broken))
        await surely(self.park)
        await surely(lambda: self.fold(second, self.broken))
        await self.judge("parked", second.said["aside"])
        failed = await surely(lambda: self.retry(self.broken))
        if not failed or failed[0].applied or failed[0].failed is None:
            self.findings.append("retried in vain")
        await self.judge("retried in vain", second.said["aside"])
        await surely(lambda: self.fold(second, counts))
        await self.judge("mended, but not retried", second.said["aside"])
        await surely(lambda: self.retry(counts))
        await self.judge("retried", second.said["whole"])
        await surely(lambda: self.fold(third, counts))
        await self.judge("flows again", third.said["whole"])
        await surely(lambda: self.fold(third, counts, from_start=True))
        await self.judge("heard again", third.said["whole"])
        return self.findings


async def surely(step: Callable[[], Awaitable[T]]) -> T:
    for _ in range(N_MAX):
        try:
            return await step()
        except StoreAway:
            continue
    raise AssertionError("the documents never came back")


@pytest.fixture(scope="module")
def chapters(tmp_path_factory: pytest.TempPathFactory) -> list[Chapter]:
    return asyncio.run(written(tmp_path_factory.mktemp("written")))


@pytest.fixture
async def documents(tmp_path: Path) -> AsyncIterator[Documents]:
    async with open_documents(f"sqlite://{tmp_path}", "beads") as opened:
        yield opened


async def found(
    documents: Documents, chapters: Sequence[Chapter], happened: bool, numbers: range
) -> list[str]:
    """Plays with the n-th call failing, for these n, until something is found or none failed."""
    for n in numbers:
        fail = Failing(n, happened, armed=True)
        job = Job(FailingDocuments(documents, fail), BROKEN["fold"], f"counts_v1_g{n}")
        findings = await job.play(chapters)
        if findings or not fail.fired:
            assert findings or n > 30, "too few calls failed to show anything"
            return [f"call {n}: {finding}" for finding in findings]
    raise AssertionError("the job never ran through without a failure")


def test_the_job_is_a_hard_one() -> None:
    """Other streams of its shard go on while it is parked, and share its documents."""
    assert len({shard_of(stream) for stream in STREAMS}) < len(STREAMS), "choose other names"


@pytest.mark.parametrize("broken", BROKEN)
async def test_a_parked_stream_alone_is_left_behind_and_catches_up(
    documents: Documents, chapters: list[Chapter], broken: str
) -> None:
    assert await Job(documents, BROKEN[broken]).play(chapters) == []


@pytest.mark.parametrize("happened", [False, True], ids=["before", "after"])
async def test_any_one_call_may_fail(
    documents: Documents, chapters: list[Chapter], happened: bool
) -> None:
    """Odd ones before they take effect, even ones after: there are many, and each takes a while."""
    assert await found(documents, chapters, happened, range(1 + happened, N_MAX, 2)) == []


def _first_alone(self: Parking, commit: Commit) -> bool:
    parked = self.streams.get((commit.log, commit.stream))
    return parked is not None and commit.seq == parked.first.seq


def _as_the_shard(self: Parked) -> str:
    return f"{self.first.log}:{self.first.shard}"


_fresh = count()


def _unguarded(self: Parked) -> str:
    return f"{self.first.log}:{self.first.shard}~{next(_fresh)}"


@pytest.mark.parametrize(
    ("where", "name", "what", "first"),
    [
        (Parking, "holds", _first_alone, 1),
        (Parked, "source", property(_as_the_shard), 1),
        (Parked, "source", property(_unguarded), RETRYING),
    ],
    ids=[
        "a later commit is let through",
        "late commits are judged by the shard's position",
        "late commits have no guard",
    ],
)
async def test_a_broken_parking_is_found(
    documents: Documents,
    chapters: list[Chapter],
    monkeypatch: pytest.MonkeyPatch,
    where: type,
    name: str,
    what: Any,
    first: int,
) -> None:
    monkeypatch.setattr(where, name, what)
    assert await found(documents, chapters, True, range(first, N_MAX)) != []


async def test_a_retry_stops_where_it_fails_again_and_what_is_evicted_is_left_out(
    documents: Documents, chapters: list[Chapter]
) -> None:
    job = Job(documents, BROKEN["keys"])
    await job.fold(chapters[0], job.broken)
    await job.park()
    await job.fold(chapters[0], job.broken)
    half = replace(counts, keys=_half_mended)
    (first,) = await job.retry(half)
    assert (first.applied, first.reason) == (1, "KeyError")
    generation = await job.generation(half)
    (parked,) = generation.parking.open()
    assert first.failed is not None
    assert await parking.count(documents, generation.parking, parked) == 1
    await evict(documents, generation, parked, first.failed)
    assert not generation.parking.open()
    await job.fold(chapters[1], counts)
    await job.judge("evicted", chapters[1].said["evicted"])
    assert job.findings == []


async def test_the_service_is_ready_again_once_the_stream_is_parked(tmp_path: Path) -> None:
    """And what others decide meanwhile is heard: here as an operator's own process would say it."""
    rooms = replace(ROOMS, projections=(BROKEN["fold"], tallies))
    async with open_doors(tmp_path) as doors:
        running = await service(doors, rooms)
        job = Job(doors.documents, BROKEN["fold"])
        async with alive(running):
            await until(lambda: _now(running.built))
            await strung(running, STARTS[0])
            await until(lambda: _now(running.not_ready() != []))
            (reason,) = running.not_ready()
            assert reason.startswith(f"{KIND} halted at beads:{shard_of(POISON):02}:")
            assert "ValueError" in reason

            async def noted() -> bool:
                return bool((await job.generation(counts)).parking.halts)

            await until(noted)
            await job.park()
            await until(lambda: _now(running.not_ready() == []))
            await strung(running, STARTS[1])
            now = await chapter(doors, whole=counts, aside=ASIDE)
            heads = [delivery.commit.position for delivery in now.batch]
            folding = next(one for one in running.generations if one.kind == KIND)
            await until(lambda: _now(folding.standing.reached(heads)))
            await job.judge("parked", now.said["aside"])
            await job.retry(counts)
            await job.judge("retried", now.said["whole"])
    assert job.findings == []


async def _now(so: bool) -> bool:
    return so


async def test_too_many_parked_streams_are_refused(documents: Documents) -> None:
    await parking.prepare(documents)
    full = Parking(KIND, "counts")
    places = [Position("beads", 0, seq) for seq in range(1, parking.STREAMS_MAX + 2)]
    full.streams = {
        ("beads", f"string/{p.seq}"): Parked(f"string/{p.seq}", p, p.seq, True, "ValueError")
        for p in places[:-1]
    }
    with pytest.raises(ValueError, match="has parked"):
        await parking.park(documents, full, Halt(places[-1], "string/x", "ValueError"))


@pytest.mark.engines
async def test_parking_is_the_same_on_a_server(mongo: str, chapters: list[Chapter]) -> None:
    async with open_documents(mongo, "beads", f"parking{uuid4().hex[:8]}") as documents:
        for number, broken in enumerate(BROKEN.values()):
            assert await Job(documents, broken, f"counts_v1_g{number}").play(chapters) == []
