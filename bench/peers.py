"""The libraries that people would pick instead, doing the same work their own way.

Installed by the extra `bench`. They seal nothing, chain nothing and have no command ids: less duty.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import perf_counter
from typing import Any
from uuid import UUID, uuid5

import orjson
from eventsource import DomainEvent as OtherEvent
from eventsource import ExpectedVersion, SQLiteEventStore, StreamId, register_event
from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event
from eventsourcing.persistence import (
    JSONTranscoder,
    Mapper,
    StoredEvent,
    Tracking,
    Transcoder,
)
from eventsourcing.sqlite import SQLiteDatastore, SQLiteTrackingRecorder
from pydantic import BaseModel, ConfigDict

from bench.domain import NAMES, STREAMS, TEXT, TITLE
from bench.figures import Figures, in_turns, measured

SETTING = "classroom"
FILLED_TOGETHER = 500
PAGE = 500


class Notes(Aggregate):
    """The default way: an aggregate whose decorated methods are its events."""

    @event("Opened")
    def __init__(self, student: str) -> None:
        self.student = student
        self.count = 0

    @event("Written")
    def write(self, number: int, setting: str, title: str, text: str) -> None:
        self.count = number

    @staticmethod
    def create_id(student: str) -> UUID:
        return uuid5(NAMES, student)


def _settings(folder: Path) -> dict[str, str]:
    return {
        "PERSISTENCE_MODULE": "eventsourcing.sqlite",
        "SQLITE_DBNAME": str(folder / "peer.db"),
        "SQLITE_LOCK_TIMEOUT": "60",
    }


class Default(Application[UUID]):
    """Aggregates are kept in memory by the caller, as ours are by the handler."""


def _default(folder: Path) -> Callable[[int], None]:
    application = Default(env=_settings(folder))
    known: dict[int, Notes] = {}

    def command(number: int) -> None:
        stream = number % STREAMS
        aggregate = known.get(stream)
        if aggregate is None:
            aggregate = known[stream] = Notes(student=f"stu_{stream}")
        aggregate.write(number // STREAMS + 1, SETTING, TITLE, TEXT)
        application.save(aggregate)

    return command


class Written(BaseModel):
    """The best way we found: frozen values, our own mapper, orjson."""

    model_config = ConfigDict(frozen=True)

    originator_id: UUID
    originator_version: int
    student: str
    number: int
    setting: str
    title: str
    text: str


class Orjson(JSONTranscoder):
    def encode(self, obj: Any) -> bytes:
        return orjson.dumps(obj)

    def decode(self, data: bytes) -> Any:
        return orjson.loads(data)


class Frozen(Mapper[UUID]):
    def to_stored_event(self, domain_event: Any) -> StoredEvent:
        return StoredEvent(
            originator_id=domain_event.originator_id,
            originator_version=domain_event.originator_version,
            topic="written",
            state=orjson.dumps(domain_event.__dict__),
        )

    def to_domain_event(self, stored_event: StoredEvent) -> Any:
        return Written.model_validate_json(stored_event.state)


class Best(Application[UUID]):
    def construct_transcoder(self) -> Transcoder:
        return Orjson()

    def construct_mapper(self) -> Mapper[UUID]:
        return Frozen(transcoder=self.construct_transcoder())


def _best(folder: Path) -> Callable[[int], None]:
    application = Best(env=_settings(folder))

    def command(number: int) -> None:
        application.events.put([_written(number)])

    return command


def _written(number: int) -> Written:
    student = f"stu_{number % STREAMS}"
    return Written(
        originator_id=uuid5(NAMES, student),
        originator_version=number // STREAMS + 1,
        student=student,
        number=number // STREAMS + 1,
        setting=SETTING,
        title=TITLE,
        text=TEXT,
    )


async def _threads(command: Callable[[int], None], size: int, callers: int) -> Figures:
    """A stream's commands stay in one thread, as an aggregate must."""

    def ask(caller: int) -> list[float]:
        took = []
        for number in range(size):
            if number % STREAMS % callers == caller:
                began = perf_counter()
                command(number)
                took.append(perf_counter() - began)
        return took

    async def work() -> Sequence[float]:
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(callers) as threads:
            parts = [loop.run_in_executor(threads, ask, caller) for caller in range(callers)]
            return [one for part in await asyncio.gather(*parts) for one in part]

    return await measured(work)


async def default_commands(folder: Path, size: int, callers: int = 64) -> Figures:
    return await _threads(_default(folder), size, callers)


async def best_commands(folder: Path, size: int, callers: int = 64) -> Figures:
    return await _threads(_best(folder), size, callers)


async def default_in_one_thread(folder: Path, size: int) -> Figures:
    return await _one_thread(_default(folder), size)


async def best_in_one_thread(folder: Path, size: int) -> Figures:
    return await _one_thread(_best(folder), size)


async def _one_thread(put: Callable[[int], None], size: int, callers: int = 64) -> Figures:
    """All callers before one thread. Where it is faster than a thread each depends on the machine,
    so both are measured."""
    with ThreadPoolExecutor(1) as thread:
        loop = asyncio.get_running_loop()

        async def command(number: int) -> None:
            await loop.run_in_executor(thread, put, number)

        return await measured(lambda: in_turns(range(size), command, callers))


async def best_decode(folder: Path, size: int) -> Figures:
    """Reads and decodes everything."""
    application = Best(env=_settings(folder))
    for start in range(0, size, FILLED_TOGETHER):
        numbers = range(start, min(size, start + FILLED_TOGETHER))
        application.events.put([_written(number) for number in numbers])
    began = perf_counter()
    count = sum(1 for _ in _notified(application))
    wall = perf_counter() - began
    assert count == size
    return {"per_second": size / wall}


def _notified(application: Application[UUID]) -> Iterator[Any]:
    start = 0
    while page := application.recorder.select_notifications(start + 1, PAGE):
        for notification in page:
            start = int(notification.id)
            yield start, application.mapper.to_domain_event(notification)


UPSERT = (
    "INSERT INTO latest VALUES (?, 1, ?) ON CONFLICT(student) "
    "DO UPDATE SET count = count + 1, title = excluded.title"
)
LATEST = "CREATE TABLE IF NOT EXISTS latest(student TEXT PRIMARY KEY, count INT, title TEXT)"


class View(SQLiteTrackingRecorder):
    """A view as the library means it: an effect and the place it comes from, in one transaction."""

    def construct_create_table_statements(self) -> list[str]:
        return [*super().construct_create_table_statements(), LATEST]

    def note(self, student: str, title: str, tracking: Tracking) -> None:
        with self.datastore.transaction(commit=True) as cursor:
            self._insert_tracking(cursor, tracking)
            cursor.execute(UPSERT, (student, title))


async def follower(folder: Path, size: int) -> Figures:
    """A view in SQLite that follows, event by event."""
    application = Default(env=_settings(folder))
    _fill(application, size)
    view = View(SQLiteDatastore(str(folder / "view.db")))
    view.create_table()
    began = perf_counter()
    for place, found in _notified(application):
        if isinstance(found, Notes.Event) and hasattr(found, "title"):
            view.note(str(found.originator_id), found.title, Tracking(application.name, place))
    return {"per_second": size / (perf_counter() - began)}


async def by_hand(folder: Path, size: int) -> Figures:
    """The same without the library's recorder, and less durable: a loop around the driver, each
    event and its place in a transaction that is not synced."""
    application = Default(env=_settings(folder))
    _fill(application, size)
    view = sqlite3.connect(folder / "view.db", isolation_level=None)
    view.execute("PRAGMA journal_mode = WAL")
    view.execute("PRAGMA synchronous = NORMAL")
    view.execute(LATEST)
    view.execute("CREATE TABLE tracking(id INT)")
    began = perf_counter()
    for place, found in _notified(application):
        if isinstance(found, Notes.Event) and hasattr(found, "title"):
            view.execute("BEGIN")
            view.execute(UPSERT, (str(found.originator_id), found.title))
            view.execute("INSERT INTO tracking VALUES (?)", (place,))
            view.execute("COMMIT")
    return {"per_second": size / (perf_counter() - began)}


def _fill(application: Default, size: int) -> None:
    """Many aggregates in a transaction, a note each: to be quick, it is not what is measured."""
    known: dict[int, Notes] = {}
    for start in range(0, size, FILLED_TOGETHER):
        changed = []
        for number in range(start, min(size, start + FILLED_TOGETHER)):
            stream = number % STREAMS
            if stream not in known:
                known[stream] = Notes(student=f"stu_{stream}")
            known[stream].write(number // STREAMS + 1, SETTING, TITLE, TEXT)
            changed.append(known[stream])
        application.save(*changed)


@register_event
class Noted(OtherEvent):
    event_type: str = "Noted"
    aggregate_type: str = "Notes"
    student: str
    number: int
    setting: str
    title: str
    text: str


async def other_commands(folder: Path, size: int, callers: int = 64) -> Figures:
    """`eventsource-py`, its SQLite store used directly."""
    store = SQLiteEventStore(str(folder / "other.db"))

    async def command(number: int) -> None:
        stream, version = uuid5(NAMES, f"stu_{number % STREAMS}"), number // STREAMS
        noted = Noted(
            aggregate_id=stream,
            aggregate_version=version + 1,
            student=f"stu_{number % STREAMS}",
            number=version + 1,
            setting=SETTING,
            title=TITLE,
            text=TEXT,
        )
        place = StreamId(aggregate_id=stream, category="Notes")
        await store.append(place, [noted], ExpectedVersion.exact(version))

    try:
        return await measured(lambda: in_turns(range(size), command, callers))
    finally:
        await store.close()
