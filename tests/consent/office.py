"""The consent service at work on SQLite behind its HTTP edge, as each caller meets it."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from itertools import count
from pathlib import Path
from typing import Any, cast

import httpx2

from libs.common.adapters import open_bus, open_documents, open_keys, open_store
from libs.common.clock import SteppedClock
from libs.common.directory import Agency, Calendar, Directory, School
from libs.common.errors import Unauthorized
from libs.common.memory import InMemory
from libs.common.messages import Actor, Role
from libs.common.sealing import Keyring, Refs
from libs.common.service import Rooms, Running
from libs.common.verify import verify
from libs.common.web.application import application, check_routes, mount
from services.consent.api import routes
from services.consent.api.doors import Doors
from services.consent.decider import consent
from services.consent.imports.record import imports
from services.consent.imports.taking import Imports
from services.consent.policy import due, policies
from services.consent.views.access import access
from services.consent.views.clocks import clocks
from services.consent.views.family import family, requests
from services.consent.views.identity import Person, identity
from services.consent.views.students import children, students
from tests.common.doors import alive, until

DIRECTORY = Directory(
    schools=tuple(School(ref=f"sch_{name}", name=name) for name in ("one", "two")),
    agencies=tuple(
        Agency(ref=f"agy_{name}", name=name, services=frozenset({"counseling"}))
        for name in ("one", "two")
    ),
    calendar=Calendar(first=date(2025, 9, 4), last=date(2026, 6, 18)),
)
ROOMS = Rooms(
    "consent",
    (consent, imports),
    (students, access, family, requests, children),
    (identity,),
    policies(DIRECTORY),
    clocks(DIRECTORY),
    due(DIRECTORY),
)
PEOPLE = {
    "registrar": ("registrar", Role.REGISTRAR, "district"),
    "registrar-2": ("registrar-2", Role.REGISTRAR, "district"),
    "mother": ("G-1", Role.GUARDIAN, "family"),
    "father": ("G-2", Role.GUARDIAN, "family"),
    "stranger": ("G-9", Role.GUARDIAN, "family"),
    "herself": ("S-1", Role.STUDENT, "sch_one"),
    "worker": ("worker", Role.SOCIAL_WORKER, "sch_one"),
    "worker-2": ("worker-2", Role.SOCIAL_WORKER, "sch_two"),
    "teacher": ("teacher", Role.TEACHER, "sch_one"),
    "intake": ("intake", Role.INTAKE, "agy_one"),
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
    running: Running
    client: httpx2.AsyncClient
    clock: SteppedClock
    seen: dict[str, int] = field(default_factory=dict)
    keys: "count[int]" = field(default_factory=count)

    async def ask(
        self, who: str, path: str, body: Mapping[str, Any] | None = None, key: str = ""
    ) -> httpx2.Response:
        """A command, or a search; what it wrote is waited for by the reads that follow."""
        headers = self._headers(who)
        headers["Idempotency-Key"] = key or f"key-{next(self.keys):08}"
        reply = await self.client.post(f"/v1{path}", json=dict(body or {}), headers=headers)
        if "position" in reply.headers:
            _, shard, seq = reply.headers["position"].split(":")
            self.seen[shard] = max(self.seen.get(shard, 0), int(seq))
        return reply

    async def read(self, who: str, path: str) -> httpx2.Response:
        return await self.client.get(f"/v1{path}", headers=self._headers(who))

    def _headers(self, who: str) -> dict[str, str]:
        headers = {"Authorization": f"Bearer {who}"}
        if self.seen:
            seen = (f"consent:{shard}:{seq}" for shard, seq in self.seen.items())
            headers["Min-Position"] = ",".join(seen)
        return headers

    def student(self, source: str = "S-1") -> str:
        return self.running.refs.of("stu_", source)

    def person(self, name: str) -> str:
        return self.running.refs.of("usr_", PEOPLE[name][0])


@asynccontextmanager
async def office(folder: Path) -> AsyncIterator[Office]:
    url = f"sqlite:///{folder}"
    clock = SteppedClock(datetime(2025, 9, 15, 16, tzinfo=UTC))
    async with (
        open_store(url, "consent") as store,
        open_bus(url) as bus,
        open_documents(url, "consent") as documents,
        open_keys(url) as keys,
    ):
        ring = Keyring(keys, b"k" * 64)
        running = Running(
            ROOMS, store, bus, documents, ring, await ring.refs(), clock, relayed=False
        )
        taking = Imports(running, DIRECTORY)
        doors = Doors(
            handle=running.handle,
            handler=running.handlers["student"],
            clock=clock,
            keyring=ring,
            refs=running.refs,
            views=running.views,
            directory=DIRECTORY,
            identity=cast("InMemory[Person]", running.memories["identity"]),
            imports=taking,
        )
        app = application("consent", running.not_ready)
        mount(app, routes, doors, Names(running.refs))
        check_routes(app)
        transport = httpx2.ASGITransport(app=app)
        async with (
            alive(running, taking.run),
            httpx2.AsyncClient(transport=transport, base_url="http://consent") as client,
        ):
            made = Office(running, client, clock)

            async def is_shown() -> bool:
                return (await made.read("mother", "/children")).status_code == 200

            await until(is_shown)
            yield made
        await verify(store)
