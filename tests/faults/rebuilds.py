"""Three rebuilds of every read model say the same as the live one, to the byte.

Live: folded while the logs were written. Again: forward in one go; with other hash seeds, batch
sizes 1, 7 and 1,000, and calls that fail half way, and children killed with -9; from Kafka alone.
What is compared is a hash of all documents without their envelopes and tombstones.
"""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from random import Random
from time import monotonic
from typing import Any, NamedTuple

from deploy.engines import engines
from libs.common.adapters import open_bus, open_documents, open_store
from libs.common.consume import Standing
from libs.common.errors import StoreAway
from libs.common.messages import Position
from libs.common.ports import SHARDS, Bus, Documents, EventStore
from libs.common.project import Generation, build, project
from libs.common.relay import Relay
from libs.common.replay import as_of, said, said_by
from libs.common.serving import read_directory
from libs.common.shapes import Projection
from libs.common.views import heads, kind_of
from services.consent import main as consent
from services.referrals import main as referrals
from tests.failing import Failing, FailingDocuments
from tests.faults.checker import Finding
from tests.faults.deployment import PREFIX, Progress, silent
from tests.faults.evidence import Places, read_kinds
from tests.faults.lives import write
from tests.faults.report import Report
from tests.serving import DIRECTORY

BATCHES = (1, 7, 1_000)
LIVE, FORWARD, KILLED, KAFKA = 1, 2, 3, 4
"""Numbers of generations."""
NEVER = Failing(0)
FIRST_CALLS = 6
"""What a projector asks for before it folds anything."""
LOOK_SECONDS = 0.02
CAUGHT_UP_SECONDS_MAX = 1_800.0

Hashes = Mapping[str, str]
"""`consent.access` -> hash."""


class Size(NamedTuple):
    """`streams` in each log, made of `lives`; for each service so many turns that end with a call
    that fails, one of the first `calls`, and so many that end with a child killed."""

    streams: int
    lives: int
    failing: int
    calls: int
    killed: int


WHOLE = Size(streams=2_000, lives=40, failing=20, calls=600, killed=20)
SMALL = Size(streams=60, lives=3, failing=20, calls=30, killed=1)
Services = Mapping[str, Sequence[Projection[Any]]]


@dataclass(eq=False)
class Ground:
    """Where the logs lie, and whose read models are built from them."""

    folder: Path
    services: Services
    seed: int
    findings: list[Finding] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"sqlite://{self.folder}"

    def generations(self, service: str, number: int) -> list[Generation[Any]]:
        return [Generation.of(p, kind_of(p, number)) for p in self.services[service]]

    async def hashes(self, number: int) -> dict[str, str]:
        found = {}
        places = Places(self.url, self.url, self.url, self.url, self.folder / "kek", PREFIX)
        for service, projections in self.services.items():
            kinds = await read_kinds(places, service)
            for projection in projections:
                docs = kinds.get(kind_of(projection, number), {})
                found[f"{service}.{projection.name}"] = sha256(said_by(docs)).hexdigest()
        return found

    def compare(self, what: str, wanted: Hashes, found: Hashes) -> None:
        self.findings += [
            Finding(what, f"{name} says something else than live")
            for name, hashed in wanted.items()
            if found[name] != hashed
        ]


def real_services(folder: Path) -> dict[str, list[Projection[Any]]]:
    """Every read model that is stored, as the services declare them."""
    (folder / "directory.json").write_bytes(DIRECTORY)
    directory = read_directory(folder / "directory.json")
    rooms = [consent.rooms(directory), referrals.rooms(directory)]
    return {one.name: [*one.projections, one.clocks] for one in rooms}


async def on_sqlite(
    folder: Path,
    seed: int,
    progress: Progress = silent,
    size: Size = WHOLE,
    services: Services | None = None,
) -> Report:
    """Live, forward, and killed. `services` are the real ones, unless a test breaks them."""
    began = monotonic()
    ground = _ground(folder, seed, services)
    progress(0.0, "the logs are written")
    commits = await lived(ground, size)
    live = await ground.hashes(LIVE)
    await _replayed(ground, live)
    progress(0.2, "rebuilt forward")
    for service in ground.services:
        async with _doors(ground, service) as (bus, documents):
            await folded(bus, documents, ground.generations(service, FORWARD), max(BATCHES))
    ground.compare("rebuilt forward", live, await ground.hashes(FORWARD))
    faults = {"calls that failed": 0, "children killed": 0}
    for number, service in enumerate(ground.services):
        progress(0.4 + 0.3 * number, f"{service} rebuilt under kills")
        faults["children killed"] += await _killed(ground, service, size.killed)
        faults["calls that failed"] += await _interrupted(ground, service, size)
    ground.compare("rebuilt under kills", live, await ground.hashes(KILLED))
    figures = {"commits": commits, "read models": len(live)}
    return Report("rebuilds", seed, monotonic() - began, faults, figures, ground.findings)


async def from_kafka(
    folder: Path, seed: int, progress: Progress = silent, size: Size = WHOLE, url: str = ""
) -> Report:
    """The logs are relayed to Kafka; then they are out of reach."""
    began = monotonic()
    ground = _ground(folder, seed, None)
    progress(0.0, "the logs are written")
    commits = await lived(ground, size)
    live = await ground.hashes(LIVE)
    async with open_bus(url, prefix=f"rebuilds{seed}") as bus:
        async with AsyncExitStack() as stack:
            for name in ground.services:
                store = await stack.enter_async_context(open_store(ground.url, name, True))
                await _relayed(store, bus, name)
        for number, service in enumerate(ground.services):
            progress(0.3 + 0.3 * number, f"{service} rebuilt from Kafka")
            async with open_documents(ground.url, service) as documents:
                generations = ground.generations(service, KAFKA)
                await folded(bus, documents, generations, max(BATCHES), f"{service}.{seed}")
    ground.compare("rebuilt from Kafka", live, await ground.hashes(KAFKA))
    figures = {"commits": commits, "read models": len(live)}
    return Report("rebuilds-kafka", seed, monotonic() - began, {}, figures, ground.findings)


async def on_kafka(
    folder: Path, seed: int, progress: Progress = silent, size: Size = WHOLE
) -> Report:
    """The same with a broker of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    broker = await asyncio.to_thread(engines.start_kafka, folder / "kafka")
    try:
        return await from_kafka(folder, seed, progress, size, broker.url)
    finally:
        broker.stop()


def _ground(folder: Path, seed: int, services: Services | None) -> Ground:
    folder.mkdir(parents=True, exist_ok=True)
    return Ground(folder, services or real_services(folder), seed)


async def lived(ground: Ground, size: Size) -> int:
    """Writes the logs while the services fold them; how many commits there are."""
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        names = ("consent", "referrals")
        stores = {name: await enter(open_store(ground.url, name)) for name in names}
        bus = await enter(open_bus(ground.url, stores))
        opened = {s: await enter(open_documents(ground.url, s)) for s in ground.services}
        folding = [
            asyncio.ensure_future(project(bus, documents, service, generations))
            for service, documents in opened.items()
            for generations in [ground.generations(service, LIVE)]
        ]
        commits = await write(stores, ground.seed, size.streams, size.lives)
        for service, documents in opened.items():
            await _caught_up(bus, documents, ground.generations(service, LIVE), folding)
        await _ended(folding)
    return commits


async def folded(
    bus: Bus,
    documents: Documents,
    generations: Sequence[Generation[Any]],
    batch_max: int,
    group: str = "rebuilds",
    calls: Failing = NEVER,
) -> None:
    """One process's work, up to the heads of now. Raises StoreAway as the projector does."""
    failing = FailingDocuments(documents, calls)
    if batch_max == max(BATCHES):  # as who builds anew, many batches between two writes
        work = build(bus, failing, group, generations)
    else:
        work = project(bus, failing, group, generations, batch_max)
    folding = [asyncio.ensure_future(work)]
    try:
        await _caught_up(bus, documents, generations, folding)
    finally:
        await _ended(folding)


async def _caught_up(
    bus: Bus,
    documents: Documents,
    generations: Sequence[Generation[Any]],
    folding: Sequence["asyncio.Future[None]"],
) -> None:
    targets = await heads(bus, {log for one in generations for log in one.projection.logs})
    async with asyncio.timeout(CAUGHT_UP_SECONDS_MAX):
        while not await _reached(documents, generations, targets):
            halts = [h for one in generations for h in one.standing.halted.values()]
            assert not halts, halts
            await asyncio.wait(folding, timeout=LOOK_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            for task in folding:
                if task.done():
                    await task


async def _reached(
    documents: Documents, generations: Iterable[Generation[Any]], targets: Sequence[Position]
) -> bool:
    for generation in generations:
        stored = Standing(generation.kind, generation.projection.logs)
        await stored.load(documents)
        if not stored.reached(targets):
            return False
    return True


async def _ended(tasks: Sequence["asyncio.Future[None]"]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _replayed(ground: Ground, live: Hashes) -> None:
    """A plain fold of the logs, by nothing of the machinery."""
    async with AsyncExitStack() as stack:
        stores = {
            name: await stack.enter_async_context(open_store(ground.url, name, True))
            for name in ("consent", "referrals")
        }
        found = {}
        for service, projections in ground.services.items():
            told = await as_of(stores, projections, None)
            for name, views in told.items():
                found[f"{service}.{name}"] = sha256(said(views)).hexdigest()
    ground.compare("replayed", live, found)


async def _interrupted(ground: Ground, service: str, size: Size) -> int:
    """Each turn ends with a call to the documents that fails, before or after its effect, and what
    was in memory is gone."""
    chance = Random(f"{ground.seed} {service}")
    fired = 0
    for turn in range(size.failing + 1):
        batch_max = BATCHES[len(BATCHES) * turn // (size.failing + 1)]
        calls_max = max(2 * FIRST_CALLS, size.calls // (4 if batch_max == max(BATCHES) else 1))
        number = chance.randint(FIRST_CALLS, calls_max) if turn < size.failing else 0
        calls = Failing(number, chance.random() < 1 / 2, armed=True)
        async with _doors(ground, service) as (bus, documents):
            generations = ground.generations(service, KILLED)
            try:
                await folded(bus, documents, generations, batch_max, calls=calls)
            except StoreAway:
                fired += 1
    return fired


async def _killed(ground: Ground, service: str, times: int) -> int:
    """Children with hash seeds of their own, killed with -9 once they have begun to write."""
    chance = Random(f"{ground.seed} {service} kill")
    for turn in range(times):
        batch_max = BATCHES[turn % len(BATCHES)]
        child = await asyncio.create_subprocess_exec(
            *("env", f"PYTHONHASHSEED={chance.randrange(2**32)}", sys.executable, "-m"),
            *("tests.faults.rebuilds", str(ground.folder), service, str(batch_max)),
            stdout=asyncio.subprocess.PIPE,
        )
        assert child.stdout is not None
        assert await child.stdout.readline() == b"folding\n"
        await asyncio.sleep(chance.random() / 2)  # the kill comes at any moment
        if child.returncode is None:
            child.send_signal(signal.SIGKILL)
        assert await child.wait() in (-signal.SIGKILL, 0)
    return times


async def _child(folder: Path, service: str, batch_max: int) -> None:
    ground = _ground(folder, 0, None)
    async with _doors(ground, service) as (bus, documents):
        os.write(1, b"folding\n")
        await folded(bus, documents, ground.generations(service, KILLED), batch_max)


@asynccontextmanager
async def _doors(ground: Ground, service: str) -> AsyncIterator[tuple[Bus, Documents]]:
    """As a process that only rebuilds: the logs are read from their files."""
    async with (
        open_bus(ground.url, {}) as bus,
        open_documents(ground.url, service) as documents,
    ):
        yield bus, documents


async def _relayed(store: EventStore, bus: Bus, log: str) -> None:
    relaying = asyncio.ensure_future(Relay(store, bus, log).run())
    try:
        async with asyncio.timeout(CAUGHT_UP_SECONDS_MAX):
            for shard in range(SHARDS):
                head = await store.head(shard)
                while head is not None and not relaying.done():
                    tail = await bus.tail(log, shard)
                    if tail is not None and tail[0].seq == head.seq:
                        break
                    await asyncio.wait([relaying], timeout=LOOK_SECONDS)
        if relaying.done():
            await relaying
    finally:
        await _ended([relaying])


if __name__ == "__main__":
    asyncio.run(_child(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
