"""Question: how long does a district's roster take, until it is stored and until it is seen?"""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from uuid import uuid4

from bench.figures import Figures, peak_megabytes
from bench.question import Contender, Question, Row
from demo import partners, roster
from demo.district import district
from demo.schools import schools
from libs.common.clock import SystemClock
from libs.common.messages import Actor, Role
from libs.common.ports import SHARDS
from libs.common.service import API, PROJECT
from libs.common.serving import opened
from libs.common.settings import Settings
from libs.common.tasks import running as run_loops
from services.consent.imports.asking import Wish
from services.consent.main import main

DISTRICT = 57_000
LOOK_SECONDS = 0.01
WHO = Actor("usr_bench", Role.REGISTRAR, "district")
PATH = "POST /v1/roster/imports"


async def appended(folder: Path, size: int) -> Figures:
    """The part `api` alone: the file read and judged, every student durable in the log."""
    return await _import(folder, size, (API,))


async def visible(folder: Path, size: int) -> Figures:
    """All parts in one process: until every read model and every policy has seen every student."""
    return await _import(folder, size, (API, PROJECT))


async def _import(folder: Path, size: int, parts: tuple[str, ...]) -> Figures:
    data = roster.zipped(district(size))
    directory = partners.directory(schools())
    url = f"sqlite://{folder}"
    settings = replace(
        Settings.of("consent", {}),
        data_dir=folder,
        kek_file=folder / "kek",
        store_url=url,
        views_url=url,
        keys_url=url,
        bus_url=url,
    )
    async with AsyncExitStack() as stack:
        rooms = [main.rooms(directory)]
        [service] = await stack.enter_async_context(opened(settings, rooms, SystemClock(), parts))
        loops = await service.loops()
        doors = main.doors(service, directory)
        if PROJECT not in parts:
            loops = {name: loop for name, loop in loops.items() if not name.endswith(".building")}
        await stack.enter_async_context(run_loops({**loops, **main.loops(doors)}))
        while PROJECT in parts and not service.built:
            await asyncio.sleep(LOOK_SECONDS)
        began = perf_counter()
        page = await doors.imports.offer(data, Wish(uuid4(), PATH, WHO))
        while page.phase == "running":
            await asyncio.sleep(LOOK_SECONDS)
            page = await doors.imports.page(page.reference)
        assert page.phase == "finished", page.phase
        if PROJECT in parts:
            ends = [await service.store.head(shard) for shard in range(SHARDS)]
            positions = [end.position for end in ends if end is not None]
            while not all(standing.reached(positions) for standing in service.standings()):
                await asyncio.sleep(LOOK_SECONDS)
        wall = perf_counter() - began
    return {"per_second": size / wall, "megabytes": peak_megabytes()}


question = Question(
    "roster",
    "A OneRoster 1.2 zip of a whole district, 57,000 students, imported on SQLite",
    (
        Contender("appended", "bench.roster:appended", DISTRICT, 1_000),
        Contender("visible", "bench.roster:visible", DISTRICT, 1_000),
    ),
    (
        Row("roster", "students/s until all are durable in the log", "appended", 5_000),
        Row("roster", "students/s until all are visible in every read model", "visible", 3_000),
    ),
    quick_rounds=1,
)
