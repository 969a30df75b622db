"""The restore drill of docs/operate.md, "Backup and restore", as written and with its times.

A district that the demo has made is copied, goes on, loses everything, and is put back: once on
SQLite, once on Kafka and the MongoDB-compatible server. That one knows no `mongodump`; a copy of
its stopped folder stands for a snapshot of the volumes of all members together.
"""

import asyncio
import shutil
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from time import monotonic

from deploy.engines import engines
from libs.common.adapters import open_keys, open_store
from libs.common.operators.console import NOT_WELL, WELL
from libs.common.replay import said_by
from libs.common.sealing import Keyring, read_kek
from tests.faults.checker import Finding
from tests.faults.deployment import Deployment, Progress
from tests.faults.evidence import Places, live_kind, read_kinds, stored, unopened
from tests.faults.report import Report
from tests.faults.supervisor import Supervisor
from tests.serving import SERVICES, Served, operated
from tests.stories.people import REGISTRAR, SECOND_REGISTRAR, said

PREFIX = "drill"
SCHOOL = "sch_4201"
NEW = 50
"""Students who are enrolled after the copy was made."""
DEMO_SECONDS_MAX = 900.0
STEPS = 30
"""Roughly, for the bar."""


@dataclass(eq=False)
class Drill:
    progress: Progress
    seconds: dict[str, float] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        self.progress(min(1.0, len(self.seconds) / STEPS), name)
        began = monotonic()
        yield
        self.seconds[name] = monotonic() - began

    def holds(self, so: bool, what: str) -> None:
        if not so:
            self.findings.append(Finding("drill", what))


async def drilled(
    folder: Path, seed: int, progress: Progress, students: int = 2_000, referred: int = 100
) -> Report:
    began, drill = monotonic(), Drill(progress)
    await _pilot(drill, folder / "pilot", students, referred)
    lost = await _district(drill, folder / "district", seed, students, referred)
    figures = {f"{name}, ms": int(1_000 * took) for name, took in drill.seconds.items()}
    figures |= {"students": students, "commits whose key was lost": lost}
    return Report("drill", seed, monotonic() - began, {"disaster": 2}, figures, drill.findings)


async def _pilot(drill: Drill, folder: Path, students: int, referred: int) -> None:
    """Stop, copy, start; everything is lost; the copy is put back. What was said since is gone."""
    with drill.step("pilot: demo"):
        await _played(folder, students, referred, {})
    data, copy = folder / "data", folder / "copy"
    platform = _served(folder, ("services",), {})
    view = _view(folder, Supervisor(), _embedded(folder))
    try:
        await platform.start()
        await view.drained()
        with drill.step("pilot: stop"):
            await platform.stop()
        with drill.step("pilot: copy the volume"):
            shutil.copytree(data, copy)
        with drill.step("pilot: start"):
            await platform.start()
        wanted = await _models(view)
        await _enrolled(platform)
        await platform.stop(signal.SIGKILL)
        shutil.rmtree(data)
        with drill.step("pilot: put the copy back"):
            shutil.copytree(copy, data)
        with drill.step("pilot: fsck"):
            await operated(platform, "services", "fsck")
        with drill.step("pilot: start again"):
            await platform.start()
        drill.holds(await _models(view) == wanted, "pilot: a read model is not what it was")
    finally:
        await platform.close()


async def _district(drill: Drill, folder: Path, seed: int, students: int, referred: int) -> int:
    """How many commits can no more be read in full."""
    supervisor = Supervisor()
    folder.mkdir(parents=True)
    kafka = supervisor.engine("kafka", engines.start_kafka, folder / "kafka")
    mongo = supervisor.engine("mongo", engines.start_mongo, folder / "mongo")
    try:
        await kafka.start()
        await mongo.start()
        places = Places(
            mongo.url, mongo.url, mongo.url, kafka.url, folder / "beside" / "kek", PREFIX
        )
        settings = {"STORE_URL": mongo.url, "BUS_URL": kafka.url, "PREFIX": PREFIX}
        with drill.step("district: demo"):
            await _played(folder, students, referred, settings)
        more = {**settings, "VIEWS_URL": mongo.url, "KEYS_URL": mongo.url}
        platform = _served(folder, [f"services.{name}" for name in SERVICES], more)
        view = _view(folder, supervisor, places)
        try:
            return await _restored(drill, platform, view)
        finally:
            await platform.close()
    finally:
        await supervisor.close()


async def _restored(drill: Drill, platform: Served, view: Deployment) -> int:
    mongo = view.supervisor.children["mongo"]
    data, copy = platform.folder / "mongo" / "data", platform.folder / "copy"
    with drill.step("district: start"):
        await platform.start()
    await view.drained()
    await platform.stop()
    await mongo.kill()
    with drill.step("district: copy the store's volumes"):
        shutil.copytree(data, copy)
    await mongo.start()
    await platform.start()
    old = sorted((await read_kinds(view.places, "consent"))["students_v1_g1"])[0]
    new = await _enrolled(platform)
    await _erased(platform, old)
    await view.drained()
    wanted = await _models(view)
    await platform.stop(signal.SIGKILL)
    await mongo.kill()
    shutil.rmtree(data)
    with drill.step("district: put the copy back"):
        shutil.copytree(copy, data)
    with drill.step("district: start the store"):
        await mongo.start()
    with drill.step("district: fsck"):
        told = await operated(platform, "services.consent", "fsck", code=NOT_WELL)
        await operated(platform, "services.referrals", "fsck", code=None)
    drill.holds("the topic is ahead" in told or "NOT well" in told, "fsck saw nothing wrong")
    with drill.step("district: recover"):
        for name in SERVICES:
            await operated(platform, f"services.{name}", "recover")
    with drill.step("district: forget"):
        await operated(platform, "services.consent", "forget")
    async with open_keys(view.places.keys, PREFIX) as keys:
        held = (await keys.held([old]))[old]
    drill.holds(held is None, "who was erased can be read again")
    with drill.step("district: start again"):
        await platform.start()
    with drill.step("district: catch up"):
        await view.drained()
    with drill.step("district: fsck again"):
        for name in SERVICES:
            await operated(platform, f"services.{name}", "fsck", code=WELL)
    drill.holds(await _models(view) == wanted, "district: a read model is not what it was")
    lost = await _lost(view)
    drill.holds(lost >= NEW, "keys that were not in the copy are there")
    await _goes_on(drill, platform, new)
    return lost


async def _goes_on(drill: Drill, platform: Served, student: str) -> None:
    """Whose key was lost gets another one; the service reads on, and shows what it can."""
    guardian = {
        "subject": "mother-after",
        "names": {"given": "After", "family": "Restore"},
        "relation": "mother",
        "authority": "full",
    }
    path = f"/v1/students/{student}/guardians"
    added = await platform.surely(REGISTRAR, "POST", path, guardian, "after-00001")
    drill.holds(added.status == 201, f"a student whose key was lost: {added.status}")
    page = await platform.surely(REGISTRAR, "GET", f"/v1/schools/{SCHOOL}/students")
    drill.holds(page.status == 200, f"a school with such a student reads {page.status}")
    drill.holds("Erased" in str(page.body), "what no key opens is shown as something else")
    found = await platform.surely(REGISTRAR, "POST", "/v1/students/search", {"names": "Synthetic"})
    drill.holds(found.status == 200, f"the search by name answers {found.status}")
    for number in range(len(platform.urls)):
        ready = await platform.plainly("/health/ready", number)
        drill.holds(ready["ready"], f"not ready: {ready['reasons']}")


async def _played(folder: Path, students: int, referred: int, more: Mapping[str, str]) -> None:
    words = ("--students", str(students), "--referred", str(referred))
    process = await asyncio.create_subprocess_exec(
        "env",
        *(f"{name}={value}" for name, value in more.items()),
        sys.executable,
        "-m",
        "demo",
        *words,
        *("--data", str(folder / "data"), "--beside", str(folder / "beside")),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(DEMO_SECONDS_MAX):
        told, _ = await process.communicate()
    assert process.returncode == 0, told.decode()[-2_000:]


def _served(
    folder: Path, modules: "list[str] | tuple[str, ...]", more: Mapping[str, str]
) -> Served:
    """What the demo has left, its clock going on."""
    left = {
        "KEK_FILE": str(folder / "beside" / "kek"),
        "DIRECTORY_FILE": str(folder / "data" / "directory.json"),
        "CLOCK": "shifted",
    }
    return Served(folder, modules, {**left, **more})


def _embedded(folder: Path) -> Places:
    url = f"sqlite://{folder / 'data'}"
    return Places(url, url, url, url, folder / "beside" / "kek", "alliance")


def _view(folder: Path, supervisor: Supervisor, places: Places) -> Deployment:
    """Only to look: who has come how far, and what read models say."""
    (folder / "view").mkdir()
    shutil.copy(folder / "data" / "directory.json", folder / "view" / "directory.json")
    return Deployment(folder / "view", places, supervisor, 0)


async def _models(view: Deployment) -> dict[str, str]:
    found = {}
    for rooms in view.rooms():
        kinds = await read_kinds(view.places, rooms.name)
        for projection in (*rooms.projections, rooms.clocks):
            docs = kinds[live_kind(kinds, projection.name) or ""]
            found[f"{rooms.name}.{projection.name}"] = sha256(said_by(docs)).hexdigest()
    return found


async def _enrolled(platform: Served) -> str:
    """Some students more; the last of them."""
    student = ""
    for number in range(NEW):
        body = {
            "school": SCHOOL,
            "names": {"given": "Synthetic", "family": f"Newcomer-{number}"},
            "grade": "05",
            "language": "en",
            "roster_id": f"drill-{number}",
        }
        key = f"drill-{number:05}"
        reply = await platform.surely(REGISTRAR, "POST", "/v1/students", body, key)
        assert reply.status == 201, reply
        student = reply.body["student"]
    return student


async def _erased(platform: Served, student: str) -> None:
    path = f"/v1/students/{student}/erasure"
    code = await said(platform, REGISTRAR, f"{path}/approvals", {}, "approve-001")
    order = {"approver": code["approver"], "approval": code["approval"]}
    await said(platform, SECOND_REGISTRAR, path, order, "erase-00001")


async def _lost(view: Deployment) -> int:
    """Commits with a value that no key opens, beside those of who was erased."""
    places = view.places
    async with (
        open_store(places.store, "consent", True, places.prefix) as store,
        open_keys(places.keys, places.prefix) as keys,
    ):
        return len(await unopened(Keyring(keys, read_kek(places.kek)), await stored(store)))
