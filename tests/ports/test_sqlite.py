"""What only the embedded engine promises: one writer, and nothing lost to a kill."""

import asyncio
import fcntl
import resource
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from random import Random
from uuid import UUID

import pytest

from libs.common.adapters import open_bus, open_documents, open_keys, open_store, sqlite_file
from libs.common.adapters.sqlite import KNOWN_MAX, SqliteStore
from libs.common.adapters.sqlite_file import WAL_PAGES_MAX, Taken, WrongFormat
from libs.common.adapters.sqlite_keys import SqliteKeys
from libs.common.commit import Commit
from libs.common.errors import StoreAway
from libs.common.ports import SHARDS, Inserted
from libs.common.verify import verify
from tests.ports.chains import LOG, Chain, everything
from tests.ports.test_documents import INDEXES, KIND

ROOT = Path(__file__).parent.parent.parent
KILLS = 10
KEY_ROUNDS = 40
ROUNDS = 15
SEED = 7
WAIT_SECONDS = 20.0


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    async with SqliteStore(tmp_path / LOG / "log.db", LOG) as opened:
        yield opened


def _written_until_killed(folder: Path, seed: int, lines: int) -> list[str]:
    """What a writer had acknowledged when it was killed, a whole line each."""
    command = [sys.executable, "-m", "tests.ports.writing", str(folder), str(seed)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        found = [writer.stdout.readline() for _ in range(lines)]
        writer.kill()
        found += writer.stdout.readlines()
    return [line for line in found if line.endswith("\n")]


async def test_a_killed_writer_has_lost_nothing_that_it_acknowledged(tmp_path: Path) -> None:
    random, told = Random(SEED), list[str]()
    for number in range(KILLS):
        told += _written_until_killed(tmp_path, number, random.randint(1, 150))
        async with open_store(f"sqlite://{tmp_path}", LOG, readonly=True) as store:
            await verify(store)
            words = [line.split() for line in told]
            found = await store.by_commands([UUID(command) for command, _, _ in words])
            places = {(str(c), commit.shard, commit.seq) for c, commit in found.items()}
            assert {(command, int(shard), int(seq)) for command, shard, seq in words} <= places


async def test_a_second_writer_does_not_start(store: SqliteStore, tmp_path: Path) -> None:
    with pytest.raises(Taken):
        async with open_store(f"sqlite://{tmp_path}", LOG):
            pass
    async with open_store(f"sqlite://{tmp_path}", LOG, readonly=True) as reader:
        await store.insert(rows := Chain().grow_many(3))
        assert len(await everything(reader)) == len(rows)


async def test_a_body_with_a_line_break_does_not_shift_its_neighbours(
    store: SqliteStore, tmp_path: Path
) -> None:
    chain = Chain()
    rows = [chain.grow("pearl/1") for _ in range(3)]
    await store.insert(rows)
    broken = rows[1].body.replace(b"{", b"{\n", 1)
    await store.file.write(
        lambda connection: connection.execute(
            "UPDATE commits SET body = ? WHERE seq = 2", (broken,)
        )
    )
    async with open_store(f"sqlite://{tmp_path}", LOG, readonly=True) as reader:
        found = await reader.log(rows[0].shard, 0)
    assert [commit.body for commit in found] == [rows[0].body, broken, rows[2].body]


async def test_a_reader_does_not_write(store: SqliteStore, tmp_path: Path) -> None:
    async with open_store(f"sqlite://{tmp_path}", LOG, readonly=True) as reader:
        with pytest.raises(TypeError):
            await reader.insert(Chain().grow_many(1))


async def test_the_lock_ends_with_its_holder(tmp_path: Path) -> None:
    chain = Chain()
    for _ in range(2):
        async with open_store(f"sqlite://{tmp_path}", LOG) as store:
            assert await store.insert([chain.grow("pearl/1")]) == Inserted(1)


async def test_files_are_for_their_owner_alone(tmp_path: Path, store: SqliteStore) -> None:
    await store.insert(Chain().grow_many(3))
    url = f"sqlite://{tmp_path}"
    async with open_documents(url, LOG) as documents, open_keys(url) as keys:
        await documents.prepare(KIND, INDEXES)
        await keys.ensure({("stu_1", "record"): b"x" * 80})
        files = [path for path in tmp_path.rglob("*") if path.is_file()]
        assert {path.name for path in files} >= {"log.db", "log.db-wal", "views.db", "keys.db"}
        assert {path.stat().st_mode & 0o777 for path in files} == {0o600}


async def test_a_file_of_another_version_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    async with SqliteStore(path, LOG) as store:
        await store.file.write(lambda connection: connection.execute("PRAGMA user_version = 99"))
    before = path.read_bytes()
    for readonly in (False, True):
        with pytest.raises(WrongFormat):
            async with SqliteStore(path, LOG, readonly):
                pass
    assert path.read_bytes() == before


async def test_what_is_no_database_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    path.write_bytes(b"something else altogether, and long enough" * 99)
    with pytest.raises(WrongFormat):
        async with SqliteStore(path, LOG):
            pass


@contextmanager
def disk_full(path: Path) -> Iterator[None]:
    """No file of this process may grow beyond the size that the write-ahead log has now."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    size = path.with_name(f"{path.name}-wal").stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


async def test_a_write_that_fails_on_its_way_to_the_disk_is_told_as_unknown(
    store: SqliteStore,
) -> None:
    chain = Chain()
    assert await store.insert(chain.grow_many(50)) == Inserted(50)
    rows = chain.grow_many(200, start=50)
    with disk_full(store.file.path):
        assert await store.insert(rows) == Inserted(0, "unknown")
        assert len(await everything(store)) == 50, "what was stored is still read"
        assert not store.fit()
    async with asyncio.timeout(WAIT_SECONDS):
        while not store.fit():  # also when nobody writes
            await asyncio.sleep(0.01)  # between two looks
    assert await store.by_commands([row.command for row in rows]) == {}
    assert await store.insert(rows) == Inserted(200), "and the log goes on"
    assert (await verify(store)).commits == 250


async def test_a_log_that_is_broken_at_its_end_takes_no_commits(tmp_path: Path) -> None:
    chain, path = Chain(), tmp_path / "log.db"
    rows = [chain.grow("pearl/1") for _ in range(5)]
    async with SqliteStore(path, LOG) as store:
        await store.insert(rows)
        await store.file.write(
            lambda connection: connection.execute("DELETE FROM commits WHERE seq = 4")
        )
    with pytest.raises(StoreAway):
        async with SqliteStore(path, LOG):
            pass


async def test_the_newest_commits_are_the_same_objects_for_every_reader(
    store: SqliteStore,
) -> None:
    """So that what was decoded for one is decoded for all."""
    rows = Chain().grow_many(KNOWN_MAX)
    await store.insert(rows)
    for row in rows[::97]:
        [read] = await store.log(row.shard, row.seq - 1, 1)
        assert read is row


async def test_memory_of_commits_is_bounded(tmp_path: Path) -> None:
    chain = Chain()
    async with SqliteStore(tmp_path / "log.db", LOG) as store:
        for start in range(0, 2 * KNOWN_MAX, 256):
            await store.insert(chain.grow_many(256, start))
        assert len(store._known) == KNOWN_MAX
        for shard in range(SHARDS):
            assert await store.log(shard, 0)
        assert len(store._known) == KNOWN_MAX


async def test_the_write_ahead_log_is_bounded(tmp_path: Path) -> None:
    """Also when there is never a pause; and a pause is used."""
    path = tmp_path / "log.db"
    chain = Chain()
    async with SqliteStore(path, LOG) as store:
        for start in range(0, 16_384, 256):
            await store.insert(chain.grow_many(256, start % 4_096))
        grown = path.with_name("log.db-wal").stat().st_size
        assert grown < WAL_PAGES_MAX * 4_096
        assert path.stat().st_size > grown / 8, "some of it has been moved into the file"


async def test_no_byte_of_a_forgotten_key_is_left_on_disk(tmp_path: Path) -> None:
    """Neither where it was, nor where neighbours moved it, nor in the write-ahead log."""
    random = Random(SEED)
    kept: dict[str, bytes] = {}
    gone: list[bytes] = []
    async with SqliteKeys(tmp_path / "keys.db") as keys:
        for number in range(ROUNDS):
            offers = {
                (f"stu_{random.getrandbits(64)}", name): random.randbytes(80)
                for name in ("identity", "record")
                for _ in range(25)
            }
            await keys.ensure(offers)
            kept |= {subject: wrapped for (subject, _), wrapped in offers.items()}
            for subject in random.sample(sorted(kept), 10 if number < ROUNDS - 3 else 60):
                gone.append(kept.pop(subject))
                await keys.forget(subject, [])
        content = b"".join(path.read_bytes() for path in tmp_path.iterdir())
        assert not [wrapped for wrapped in gone if wrapped in content]
        assert all(wrapped in content for wrapped in kept.values())


async def test_a_key_that_was_half_forgotten_by_a_kill_is_gone_at_the_next_start(
    tmp_path: Path,
) -> None:
    """The deletion is durable, the write-ahead log was not emptied yet."""
    wrapped = b"planted-" * 10
    async with SqliteKeys(tmp_path / "a" / "keys.db") as keys:
        await keys.ensure({("stu_1", "record"): wrapped})
        await keys.file.write(
            lambda connection: connection.execute("DELETE FROM keys WHERE subject = 'stu_1'")
        )
        (tmp_path / "b").mkdir()
        for path in (tmp_path / "a").iterdir():
            (tmp_path / "b" / path.name).write_bytes(path.read_bytes())
    files = [tmp_path / "b" / name for name in ("keys.db", "keys.db-wal")]
    assert any(wrapped in path.read_bytes() for path in files)
    async with SqliteKeys(tmp_path / "b" / "keys.db"):
        assert not any(wrapped in path.read_bytes() for path in files)


async def test_another_store_of_the_process_finds_the_key_file_shared(tmp_path: Path) -> None:
    """Every service opens it; there is one writing connection, and the last one out closes it."""
    async with SqliteKeys(tmp_path / "keys.db") as one:
        async with SqliteKeys(tmp_path / "keys.db") as two:
            assert one.file is two.file
        assert await one.forget("stu_1", []) == 0
    with pytest.raises(StoreAway):
        await one.get(["stu_1:record:1"])


def _with_its_own_keys(folder: str, name: str) -> int:
    """What another process does: offers keys, one of them wanted by all, and forgets its last."""

    async def work() -> int:
        async with SqliteKeys(Path(folder) / "keys.db") as keys:
            for number in range(KEY_ROUNDS):
                subject = f"stu_{name}_{number}"
                wanted = ("stu_all", f"class{number}")
                await keys.ensure({(subject, "record"): b"x" * 80, wanted: name.encode() * 80})
            return await keys.forget(subject, ())

    return asyncio.run(work())


async def test_processes_take_turns_to_write_the_keys(tmp_path: Path) -> None:
    names = ("a", "b", "c")
    with ProcessPoolExecutor(len(names), get_context("spawn")) as processes:
        jobs = [processes.submit(_with_its_own_keys, str(tmp_path), name) for name in names]
        assert [await asyncio.wrap_future(job) for job in jobs] == [1, 1, 1]
    async with SqliteKeys(tmp_path / "keys.db") as keys:
        for name in names:
            subjects = [f"stu_{name}_{number}" for number in range(KEY_ROUNDS)]
            held = await keys.held(subjects)
            assert [held[subject] is not None for subject in subjects] == [True] * (
                KEY_ROUNDS - 1
            ) + [False]
        (shared,) = (await keys.held(["stu_all"])).values()
        assert shared is not None
        assert len(shared) == KEY_ROUNDS  # one key each, whoever was first


async def test_a_turn_that_is_never_given_back_is_not_waited_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_file, "BUSY_MILLISECONDS", 50)
    async with SqliteKeys(tmp_path / "keys.db") as keys:
        with (tmp_path / "keys.db.lock").open() as other:
            fcntl.flock(other, fcntl.LOCK_EX)
            with pytest.raises(StoreAway):
                await keys.ensure({("stu_1", "record"): b"x" * 80})
            fcntl.flock(other, fcntl.LOCK_UN)
        assert await keys.ensure({("stu_1", "record"): b"x" * 80})


async def test_the_log_of_another_writer_is_looked_at_now_and_then(tmp_path: Path) -> None:
    """As when each service is a process of its own: also a log that is only made later."""
    url = f"sqlite://{tmp_path}"
    async with open_bus(url) as bus, bus.subscribe([LOG], "readers") as feed:
        assert await bus.tail(LOG, 3) is None
        waiting = asyncio.create_task(feed.batch(100, WAIT_SECONDS))
        async with open_store(url, LOG) as store:
            [row] = Chain().grow_many(1)
            await store.insert([row])
            assert [delivery.commit for delivery in await waiting] == [row]
            assert await bus.tail(LOG, row.shard) == (row, 1)


async def test_a_busy_shard_hides_no_other(store: SqliteStore, tmp_path: Path) -> None:
    """Even when a batch has less room than there are shards with news."""
    chain = Chain()
    async with (
        open_bus(f"sqlite://{tmp_path}", {LOG: store}) as bus,
        bus.subscribe([LOG], None) as feed,
    ):
        await store.insert(chain.grow_many(200))
        seen: list[Commit] = []
        for number in range(200):
            await store.insert([chain.grow(f"pearl/{number}")])
            seen += [delivery.commit for delivery in await feed.batch(2, 0)]
        assert {commit.shard for commit in seen} == set(range(SHARDS))
