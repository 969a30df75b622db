"""Consent and referrals at work on SQLite behind one edge, as each caller meets them."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from itertools import count
from pathlib import Path
from time import monotonic
from typing import Any

import httpx2

from libs.common.adapters import open_bus, open_documents, open_keys, open_store
from libs.common.clock import SteppedClock
from libs.common.directory import Agency, Calendar, Directory, School, Terms
from libs.common.errors import Unauthorized
from libs.common.messages import Actor, Role
from libs.common.sealing import Keyring, Refs
from libs.common.service import Running
from libs.common.verify import verify
from libs.common.web.application import application, check_routes, mount
from services.consent import main as consent
from services.referrals import main as referrals
from services.referrals.api.doors import Doors
from tests.common.doors import alive, until

COUNSELING = frozenset({"counseling"})
DIRECTORY = Directory(
    schools=(School(ref="sch_one", name="One"), School(ref="sch_two", name="Two")),
    agencies=tuple(
        Agency(ref=ref, name=ref, services=COUNSELING) for ref in ("agy_one", "agy_two")
    ),
    terms=(
        Terms(school="sch_one", agency="agy_one", services=COUNSELING),
        Terms(school="sch_one", agency="agy_two", services=COUNSELING),
    ),
    calendar=Calendar(first=date(2025, 9, 4), last=date(2026, 6, 18)),
)
PEOPLE = {
    "registrar": ("registrar", Role.REGISTRAR, "district"),
    "teacher": ("teacher", Role.TEACHER, "sch_one"),
    "teacher-2": ("teacher-2", Role.TEACHER, "sch_one"),
    "psychologist": ("psychologist", Role.PSYCHOLOGIST, "sch_one"),
    "psychologist-2": ("psychologist-2", Role.PSYCHOLOGIST, "sch_two"),
    "worker": ("worker", Role.SOCIAL_WORKER, "sch_one"),
    "counselor": ("counselor", Role.COUNSELOR, "sch_one"),
    "coordinator": ("coordinator", Role.COORDINATOR, "district"),
    "mother": ("G-1", Role.GUARDIAN, "family"),
    "stranger": ("G-9", Role.GUARDIAN, "family"),
    "herself": ("S-1", Role.STUDENT, "sch_one"),
    "intake": ("intake", Role.INTAKE, "agy_one"),
    "kline": ("kline", Role.CLINICIAN, "agy_one"),
    "clinician-2": ("clinician-2", Role.CLINICIAN, "agy_two"),
    "intake-2": ("intake-2", Role.INTAKE, "agy_two"),
}
"""Name -> subject of the token, role, organisation."""


@dataclass(frozen=True)
class Names:
    """Takes a bearer's word for who it is; tokens have tests of their own."""

    refs: Refs

    async def actor(self, authorization: str) -> Actor:
        name = authorization.removeprefix("Bearer ")
        if name not in PEOPLE:
            raise Unauthorized
        subject, role, org = PEOPLE[name]
        return Actor(self.refs.of("usr_", subject), role, org)


@dataclass(eq=False)
class Office:
    """`ahead` is by how many seconds the doors' monotonic clock runs before the real one."""

    running: Running
    doors: Doors
    ahead: list[int]
    client: httpx2.AsyncClient
    clock: SteppedClock
    seen: dict[str, int] = field(default_factory=dict)
    keys: "count[int]" = field(default_factory=count)

    async def ask(
        self, who: str, path: str, body: Mapping[str, Any] | None = None, key: str = ""
    ) -> httpx2.Response:
        headers = {"Authorization": f"Bearer {who}"}
        headers["Idempotency-Key"] = key or f"key-{next(self.keys):08}"
        reply = await self.client.post(f"/v1{path}", json=dict(body or {}), headers=headers)
        if "position" in reply.headers:
            self._saw(reply.headers["position"])
        return reply

    def _saw(self, position: str) -> None:
        place, _, seq = position.rpartition(":")
        self.seen[place] = max(self.seen.get(place, 0), int(seq))

    async def done(self, who: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """What must succeed, once other logs have been heard."""
        replies: list[httpx2.Response] = []

        async def succeeds() -> bool:
            replies.append(await self.ask(who, path, body))
            return replies[-1].status_code in (200, 201)

        await until(succeeds)
        return replies[-1].json()

    async def read(self, who: str, path: str) -> httpx2.Response:
        headers = {"Authorization": f"Bearer {who}"}
        if self.seen:
            headers["Min-Position"] = ",".join(f"{at}:{seq}" for at, seq in self.seen.items())
        return await self.client.get(f"/v1{path}", headers=headers)

    async def shown(self, who: str, path: str) -> Any:
        reply = await self.read(who, path)
        assert reply.status_code == 200, reply.text
        return reply.json()

    async def situation(self, referral: str, wanted: str) -> None:
        """Until the referral is there: policies take their time. What is read next shows it."""

        async def there() -> bool:
            found = await self.doors.known(f"referral/{referral}")
            if found.position is not None:
                self._saw(str(found.position))
            return found.state.code == wanted

        await until(there)

    def student(self, source: str = "S-1") -> str:
        return self.running.refs.of("stu_", source)

    def person(self, name: str) -> str:
        return self.running.refs.of("usr_", PEOPLE[name][0])


@asynccontextmanager
async def office(folder: Path) -> AsyncIterator[Office]:
    url, ahead = f"sqlite:///{folder}", [0]
    clock = SteppedClock(datetime(2025, 9, 15, 16, tzinfo=UTC))
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        stores = {n: await enter(open_store(url, n)) for n in ("consent", "referrals")}
        bus, keys = await enter(open_bus(url, stores)), await enter(open_keys(url))
        ring = Keyring(keys, b"k" * 64)
        app = application("platform", list)
        services: dict[str, tuple[Running, Any]] = {}
        for main in (consent, referrals):
            rooms = main.rooms(DIRECTORY)
            documents = await enter(open_documents(url, rooms.name))
            running = Running(
                *(rooms, stores[rooms.name], bus, documents, ring, await ring.refs(), clock),
                relayed=False,
            )
            doors: Any = main.doors(running, DIRECTORY)
            if isinstance(doors, Doors):
                doors = replace(doors, monotonic=lambda: monotonic() + ahead[0])
            services[rooms.name] = running, doors
            mount(app, main.main.routes, doors, Names(running.refs))
            await enter(alive(running))
        check_routes(app)
        transport = httpx2.ASGITransport(app=app)
        client = httpx2.AsyncClient(transport=transport, base_url="http://platform")
        running, doors = services["referrals"]
        made = Office(running, doors, ahead, await enter(client), clock)

        async def is_shown() -> bool:
            paths = ("/concerns", "/schools/sch_one/clocks")
            replies = [await made.read("psychologist", path) for path in paths]
            return all(reply.status_code == 200 for reply in replies)

        await until(is_shown)
        yield made
        for store in stores.values():
            await verify(store)
