"""The door to SQLite: a file with one thread that writes it and one that reads it.

Before 3.51.3 a checkpoint beside another connection's write can corrupt a write-ahead log, so only
the writing connection ever checkpoints: between two writes, never within one. A file that several
processes write is written, checkpointed, opened and closed by one of them at a time, under a lock.
"""

import asyncio
import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep
from typing import Any, Literal, TypeVar

from libs.common.adapters.sqlite_together import Together
from libs.common.errors import StoreAway

BUSY_MILLISECONDS = 5_000
TURN_SECONDS = 0.001
"""The pause before asking again for the turn to write a shared file."""
CACHE_KIBIBYTES = 65_536
READING_CACHE_KIBIBYTES = 8_192
WAL_PAGES_MAX = 32_768
"""The writer checkpoints when its log has grown by about this much (128 MB)."""
IDLE_PAGES_MIN = 256
IDLE_SECONDS = 0.2
"""With nothing to write for so long, and something to gain, the writer checkpoints early."""
PAGES_A_ROW = 3
PAGES_A_WRITE = 6
"""A guess at how a write grows the log; what SQLite tells at each checkpoint corrects it."""

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]


class Taken(Exception):
    """Somebody writes this file already; a second writer does not start."""


class WrongFormat(Exception):
    """The file was written by another version of this program, or is something else."""


class NotWritten(StoreAway):
    """There is no such file yet, or nothing in it."""


class OutcomeUnknown(StoreAway):
    """A write failed on its way to the disk."""


@dataclass(frozen=True)
class Layout:
    """What is in a kind of file. `secure` overwrites what is deleted. Several processes may write a
    `shared` one, in turns; any other has one writer."""

    version: int
    schema: str
    synchronous: Literal["FULL", "NORMAL"]
    secure: bool = False
    shared: bool = False


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All or nothing. Takes the right to write at once: asking for it half way fails at once."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):  # closing the connection would roll back as well
            connection.execute("ROLLBACK")
        raise


@contextmanager
def snapshot(connection: sqlite3.Connection) -> Iterator[None]:
    """Several reads that see the same moment."""
    connection.execute("BEGIN")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")


def empty_wal(connection: sqlite3.Connection) -> None:
    """Nothing is left in the write-ahead log, not even what was overwritten in the file since."""
    if connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
        raise sqlite3.OperationalError("a reader is in the way")


@dataclass(eq=False)
class SqliteFile:
    """`check` looks at the file each time the writing connection opens; it may refuse."""

    path: Path
    layout: Layout
    readonly: bool = False
    check: Work[None] = lambda _: None
    remembered: dict[str, Any] = field(default_factory=dict)
    """What its users know by heart of it; this process is its only writer."""
    _threads: list[ThreadPoolExecutor] = field(default_factory=list)
    _readers: Together | None = None
    _writing: sqlite3.Connection | None = None
    _reading: sqlite3.Connection | None = None
    _lock: int | None = None
    _pages: int = 0
    _quiet: bool = True
    _doubted: bool = False
    """A write has failed, and none has come to its end since."""
    _timer: asyncio.TimerHandle | None = None

    async def open(self) -> None:
        """Raises Taken, WrongFormat or StoreAway."""
        self._threads = [ThreadPoolExecutor(1, f"{self.path.stem}-{name}") for name in ("w", "r")]
        self._readers = Together(self._threads[1])
        try:
            if not self.readonly:
                await self._hand_over(0, self._take)
                await self._hand_over(0, self._open_first)
            await self._hand_over(1, self._open_reading)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """The writing connection goes last: it is the one that may checkpoint."""
        if self._timer is not None:
            self._timer.cancel()
        for number, thread in reversed(list(enumerate(self._threads))):
            await self._hand_over(number, (self._close_last, self._close_reading)[number])
            thread.shutdown(wait=False)
        self._threads, self._readers = [], None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    async def write(self, work: Work[T]) -> T:
        """One hand-over. Raises StoreAway when nothing was tried, OutcomeUnknown when it was."""
        try:
            return await self._hand_over(0, lambda: self._write(work))
        finally:
            self._tend()

    async def read(self, work: Work[T]) -> T:
        """Beside whatever is written, together with whoever else reads. Raises StoreAway."""
        if self._readers is None:
            raise StoreAway(f"{self.path.stem} is closed")
        return await self._readers.ask(lambda: self._read(work))

    def opened(self) -> bool:
        return bool(self._threads)

    def fit(self) -> bool:
        """Whether the last that was heard of the file was good. A file that a write has failed on
        is tried again and again, so that it may become fit also when nobody is sent here."""
        return self.opened() and not self._doubted

    async def _hand_over(self, thread: int, job: Callable[[], T]) -> T:
        if not self._threads:
            raise StoreAway(f"{self.path.stem} is closed")
        return await asyncio.get_running_loop().run_in_executor(self._threads[thread], job)

    def _write(self, work: Work[T]) -> T:
        with self._turn():
            return self._written(work)

    def _written(self, work: Work[T]) -> T:
        if self._writing is None:
            self._doubted = True  # until it has opened and something was written
            self._open_writing()
        assert self._writing is not None
        before = self._writing.total_changes
        try:
            done = work(self._writing)
        except sqlite3.ProgrammingError:
            raise
        except sqlite3.Error as error:
            self._close_writing()
            self._doubted = True
            raise OutcomeUnknown(f"{self.path.stem}: {_name(error)}") from None
        rows = self._writing.total_changes - before
        if rows:
            self._doubted = False
        self._pages += PAGES_A_WRITE + PAGES_A_ROW * rows
        return done

    def _read(self, work: Work[T]) -> T:
        if self._reading is None:
            self._open_reading()
        assert self._reading is not None
        try:
            return work(self._reading)
        except sqlite3.ProgrammingError:
            raise
        except sqlite3.Error as error:
            self._close_reading()
            raise StoreAway(f"{self.path.stem}: {_name(error)}") from None

    def _take(self) -> None:
        """Holds the file's lock from now on; of a shared file, only turn by turn. Its place is a
        file beside it: opening and closing the database file itself would let go of SQLite's own
        locks."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(f"{self.path}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if not self.layout.shared:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise Taken(f"{self.path} has a writer already") from None
        self._lock = lock

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Nobody else writes a shared file meanwhile. Raises StoreAway when it stays taken."""
        if not self.layout.shared or self._lock is None:
            yield
            return
        until = monotonic() + BUSY_MILLISECONDS / 1_000
        while True:
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if monotonic() > until:
                    raise StoreAway(f"{self.path.stem} is written by another process") from None
                sleep(TURN_SECONDS)
        try:
            yield
        finally:
            fcntl.flock(self._lock, fcntl.LOCK_UN)

    def _open_first(self) -> None:
        with self._turn():
            self._open_writing()

    def _close_last(self) -> None:
        with self._turn():
            self._close_writing()

    def _open_writing(self) -> None:
        if not self.path.exists():
            _create(self.path)
        with _translated(self.path):
            connection = self._connect("rw", CACHE_KIBIBYTES)
            try:
                connection.execute(f"PRAGMA synchronous = {self.layout.synchronous}")
                connection.execute(f"PRAGMA secure_delete = {int(self.layout.secure)}")
                self._lay_out(connection)
                if self.layout.secure:
                    empty_wal(connection)  # it may have been killed between the two
                self.check(connection)
            except BaseException:
                connection.close()
                raise
        self._writing = connection

    def _lay_out(self, connection: sqlite3.Connection) -> None:
        if self._version(connection) == 0:
            connection.execute("PRAGMA journal_mode = WAL")
            with transaction(connection):
                for statement in self.layout.schema.split(";"):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {self.layout.version}")
        self._must_be_ours(connection)

    def _open_reading(self) -> None:
        if not self.path.exists():
            raise NotWritten(f"{self.path} is not there")
        with _translated(self.path):
            connection = self._connect("ro", READING_CACHE_KIBIBYTES)
            try:
                if self._version(connection) == 0:
                    raise NotWritten(f"{self.path.stem} is not written yet")
                self._must_be_ours(connection)
            except BaseException:
                connection.close()
                raise
        self._reading = connection

    def _connect(self, mode: str, cache: int) -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"{self.path.absolute().as_uri()}?mode={mode}",
            uri=True,
            timeout=BUSY_MILLISECONDS / 1_000,
            isolation_level=None,
            check_same_thread=False,  # each thread has its own; closing is handed over too
        )
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute("PRAGMA temp_store = MEMORY")
        connection.execute(f"PRAGMA cache_size = -{cache}")
        return connection

    def _version(self, connection: sqlite3.Connection) -> int:
        found: int = connection.execute("PRAGMA user_version").fetchone()[0]
        return found

    def _must_be_ours(self, connection: sqlite3.Connection) -> None:
        version = self._version(connection)
        mode = connection.execute("PRAGMA journal_mode").fetchone()[0]
        if version != self.layout.version or mode != "wal":
            raise WrongFormat(f"{self.path}: version {version} in mode {mode}")

    def _close_reading(self) -> None:
        if self._reading is not None:
            self._reading.close()
            self._reading = None

    def _close_writing(self) -> None:
        if self._writing is not None:
            self._writing.close()
            self._writing = None

    def _tend(self) -> None:
        """Checkpoints behind the write that was just answered, or once there is a pause."""
        self._quiet = False
        if self._pages >= WAL_PAGES_MAX:
            self._pages = 0
            self._threads[0].submit(self._checkpoint)
        elif self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(IDLE_SECONDS, self._idle, loop)

    def _idle(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._doubted:
            self._threads[0].submit(self._try)
        elif self._quiet:
            self._timer = None
            if self._pages >= IDLE_PAGES_MIN:
                self._pages = 0
                self._threads[0].submit(self._checkpoint)
            return
        self._quiet = True
        self._timer = loop.call_later(IDLE_SECONDS, self._idle, loop)

    def _try(self) -> None:
        """Writes what is there already, down to the disk."""
        try:
            self._write(self._say_version)
        except StoreAway:
            return  # the next try comes soon
        self._doubted = False

    def _say_version(self, connection: sqlite3.Connection) -> None:
        with transaction(connection):
            connection.execute(f"PRAGMA user_version = {self.layout.version}")

    def _checkpoint(self) -> None:
        if self._writing is None:
            return
        try:
            with self._turn():
                moving = self._writing.execute("PRAGMA wal_checkpoint(PASSIVE)")
                _, grown, moved = moving.fetchone()
        except StoreAway:
            return  # the next write comes here again
        except sqlite3.Error:
            self._close_writing()  # nothing is lost; the next write opens, and says what is wrong
            self._doubted = True
            return
        self._pages += grown - moved  # a reader is in the way of the rest


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        if _name(error) == "SQLITE_NOTADB":
            raise WrongFormat(f"{path} is no database") from None
        raise StoreAway(f"{path.stem}: {_name(error)}") from None


def _create(path: Path) -> None:
    """An empty file for its owner alone, whose name is durable too."""
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _name(error: sqlite3.Error) -> str:
    """SQLite's own name for it; a message could quote what was stored."""
    return getattr(error, "sqlite_errorname", "SQLITE_BUSY")
