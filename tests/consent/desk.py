"""The consent service at work on SQLite with its importer, as a registrar meets it."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

from libs.common.adapters import open_bus, open_documents, open_keys, open_store
from libs.common.commit import Commit
from libs.common.directory import Calendar, Directory, School
from libs.common.errors import StoreAway
from libs.common.handle import Ask
from libs.common.messages import Actor, Recorded, Role, Stamp
from libs.common.ports import EventStore, Inserted, Keys
from libs.common.replay import commits
from libs.common.sealing import Keyring
from libs.common.service import Rooms, Running
from libs.common.verify import verify
from services.consent.decider import consent
from services.consent.imports.asking import Wish
from services.consent.imports.progress import ImportPage
from services.consent.imports.record import imports
from services.consent.imports.taking import Imports
from services.consent.policy import due
from services.consent.views.clocks import clocks
from services.consent.views.students import children, students
from tests.common.doors import alive, until
from tests.consent.zips import Zip

KEYS = UUID(int=7)
REGISTRAR = Actor("usr_registrar", Role.REGISTRAR, "district")
CALENDAR = Calendar(first=date(2025, 9, 1), last=date(2026, 6, 19))
DIRECTORY = Directory(
    schools=tuple(School(ref=f"sch_{name}", name=name) for name in ("one", "two")),
    agencies=(),
    calendar=CALENDAR,
)
ROOMS = Rooms(
    "consent",
    (consent, imports),
    (students, children),
    (),
    (),
    clocks(DIRECTORY),
    due(DIRECTORY),
)


class Ticking:
    """A clock of the past that moves a little whenever it is looked at."""

    def __init__(self) -> None:
        self.at = datetime(2025, 9, 15, 16, tzinfo=UTC)

    def now(self) -> datetime:
        self.at += timedelta(milliseconds=1)
        return self.at


@dataclass(eq=False)
class Faulty:
    """A store that goes away after so many more inserted rows; None: it stays."""

    store: EventStore
    rows_left: int | None = None

    async def insert(self, rows: Sequence[Commit]) -> Inserted:
        if self.rows_left is not None:
            if self.rows_left < len(rows):
                raise StoreAway("gone")
            self.rows_left -= len(rows)
        return await self.store.insert(rows)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)


@dataclass(eq=False)
class Desk:
    running: Running
    store: Faulty
    keys: Keys
    imports: Imports = field(init=False)

    def __post_init__(self) -> None:
        self.imports = Imports(self.running, DIRECTORY)

    async def offer(self, made: Zip | bytes, key: str = "first", **wish: Any) -> ImportPage:
        data = made if isinstance(made, bytes) else made.bytes()
        asked = Wish(uuid5(KEYS, key), "POST /v1/roster/imports", REGISTRAR, **wish)
        return await self.imports.offer(data, asked)

    async def send(self, made: Zip | bytes, key: str = "first", **wish: Any) -> ImportPage:
        """Offers a file and waits until the import is over."""
        return await self.over((await self.offer(made, key, **wish)).reference)

    async def over(self, reference: str) -> ImportPage:
        async def is_over() -> bool:
            return (await self.imports.page(reference)).phase in ("finished", "stopped")

        await until(is_over)
        return await self.imports.page(reference)

    async def asked(self, command: Any, source: str = "s0") -> None:
        ref = self.student(source)
        stamped = command.model_copy(
            update={"student": ref, "stamp": Stamp(self.running.clock.now(), REGISTRAR)}
        )
        ident = uuid5(KEYS, f"{type(command).__name__}|{ref}")
        await self.running.handle(Ask(f"student/{ref}", stamped, ident))

    def student(self, source: str) -> str:
        return self.running.refs.of("stu_", source)

    def person(self, source: str) -> str:
        return self.running.refs.of("usr_", source)

    async def state(self, source: str) -> Any:
        return (
            await self.running.handlers["student"].known(f"student/{self.student(source)}")
        ).state

    async def stored(self) -> list[Commit]:
        return [commit async for commit in commits(self.store.store)]

    async def story(self, source: str) -> list[Recorded[Any]]:
        stream = f"student/{self.student(source)}"
        return [
            entry async for commit in self.store.store.stream(stream) for entry in commit.recorded
        ]


@asynccontextmanager
async def desk(folder: Path) -> AsyncIterator[Desk]:
    url = f"sqlite:///{folder}"
    async with (
        open_store(url, "consent") as store,
        open_bus(url) as bus,
        open_documents(url, "consent") as documents,
        open_keys(url) as keys,
    ):
        ring = Keyring(keys, b"k" * 64)
        faulty = Faulty(store)
        running = Running(
            ROOMS, faulty, bus, documents, ring, await ring.refs(), Ticking(), relayed=False
        )
        made = Desk(running, faulty, keys)
        async with alive(running, made.imports.run):
            yield made
        faulty.rows_left = None
        await verify(store)
