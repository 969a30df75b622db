"""What only a server with many writers can do to a log, to documents and to keys."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from pymongo import ReplaceOne

from deploy.engines import engines as real
from libs.common.adapters.mongo import Mongo, MongoStore, _outcome
from libs.common.adapters.mongo_documents import VIEWS, MongoDocuments
from libs.common.adapters.mongo_keys import MongoKeys
from libs.common.commit import NO_PREV, Commit, Draft, encode, shard_of
from libs.common.errors import Forgotten, StoreAway
from libs.common.messages import Actor, Role
from libs.common.ports import Inserted, Put, Query
from libs.common.words import canonical

AT = datetime(2026, 1, 23, 17, 18, 26, 263443, UTC)
SOMEBODY = Actor("usr_1", Role.TEACHER, "sch_one")
EVENT = canonical({"data": {}, "type": "referral.sent", "v": 1})
WRITERS = 4


def commit(stream: str, seq: int, expected: int = 0, command: UUID | None = None) -> Commit:
    draft = Draft(
        stream, expected, (EVENT,), ("referral.sent",), command or uuid4(), uuid4(), SOMEBODY
    )
    return encode(draft, "referrals", seq, NO_PREV, AT)


def group(count: int) -> list[Commit]:
    """Commits of as many streams, each at the end of its shard."""
    seqs: dict[int, int] = {}
    made = []
    for number in range(count):
        stream = f"referral/ref_{number}"
        seqs[shard_of(stream)] = seqs.get(shard_of(stream), 0) + 1
        made.append(commit(stream, seqs[shard_of(stream)]))
    return made


@pytest.fixture
async def door(mongo: str) -> AsyncIterator[Mongo]:
    async with Mongo(mongo, f"test-{uuid4().hex[:8]}") as opened:
        yield opened


@pytest.mark.engines
async def test_nothing_is_stored_behind_a_duplicate(door: Mongo) -> None:
    async with MongoStore(door, "referrals") as store:
        rows = group(256)
        assert await store.insert(rows[3:4]) == Inserted(1)
        assert await store.insert(rows) == Inserted(3, "duplicate")
        ids = [row.command for row in rows]
        assert (await store.by_commands(ids)).keys() == {row.command for row in rows[:4]}


@pytest.mark.engines
async def test_a_head_is_found_from_anywhere(door: Mongo) -> None:
    async with MongoStore(door, "referrals") as store:
        rows = [commit("referral/ref_1", seq, seq - 1) for seq in range(1, 301)]
        shard = rows[0].shard
        assert await store.head(shard) is None
        await store.insert(rows)
        assert {await store.head(shard, known) for known in (0, 1, 150, 299, 300)} == {rows[-1]}


def test_a_write_that_did_not_reach_the_majority_counts_for_nothing() -> None:
    duplicate = {"index": 2, "code": 11_000}
    concern = {"code": 64, "errmsg": "waiting for replication timed out"}
    lost = {"nInserted": 2, "writeErrors": [duplicate], "writeConcernErrors": [concern]}
    kept = {**lost, "writeConcernErrors": []}
    assert _outcome(lost) == Inserted(0, "unknown")
    assert _outcome(kept) == Inserted(2, "duplicate")


def test_a_database_that_goes_on_after_a_duplicate_is_unfit() -> None:
    duplicate = {"index": 2, "code": 11_000}
    with pytest.raises(StoreAway):
        _outcome({"nInserted": 5, "writeErrors": [duplicate], "writeConcernErrors": []})


@pytest.mark.engines
async def test_one_of_many_writers_wins_each_revision(door: Mongo) -> None:
    """Every document is written once a round; losers learn it, also inside one call of many."""
    doors = [MongoDocuments(door, "referrals") for _ in range(WRITERS)]
    keys = [f"k{number}" for number in range(5)]
    await doors[0].prepare("counts", ())
    await doors[0].put([Put("counts", key, {"by": "nobody"}, 0) for key in keys])
    for rev in range(1, 21):
        rounds = await asyncio.gather(
            *(
                documents.put([Put("counts", key, {"by": f"{rev}-{who}"}, rev) for key in keys])
                for who, documents in enumerate(doors)
            )
        )
        stored = await doors[0].get("counts", keys)
        for number, key in enumerate(keys):
            winners = [who for who, won in enumerate(rounds) if won[number]]
            assert [f"{rev}-{who}" for who in winners] == [stored[key]["by"]]


@pytest.mark.engines
async def test_a_guard_that_misses_stops_no_other(door: Mongo) -> None:
    """One guard of three misses: the other two are written, and each is told its own outcome."""
    async with MongoDocuments(door, "referrals") as documents:
        await documents.prepare("notes", [("agency",)])
        await documents.put([Put("notes", key, {"agency": "a"}, 0) for key in "abc"])
        await door.database(f"referrals_{VIEWS}")["notes"].bulk_write(
            [ReplaceOne({"_id": "b"}, {"agency": "z", "_rev": 2})]
        )
        puts = [Put("notes", key, {"agency": "b"}, 1) for key in "abc"]
        assert await documents.put([*puts, Put("notes", "d", {"agency": "b"}, 0)]) == [
            *(True, False, True),
            True,
        ]
        found = await documents.find("notes", Query({"agency": "b"}))
        assert [doc["_id"] for doc in found.docs] == ["a", "c", "d"]


@pytest.mark.engines
async def test_a_forgotten_key_never_comes_back(door: Mongo) -> None:
    """Offered and forgotten at the same moment, many times: in the end it is gone."""
    async with MongoKeys(door) as keys:
        for number in range(20):
            subject = f"stu_{number}"
            await asyncio.gather(
                *(keys.ensure({(subject, "record"): b"key"}) for _ in range(4)),
                keys.forget(subject, []),
                return_exceptions=True,
            )
            assert await keys.get([f"{subject}:record:1"]) == {f"{subject}:record:1": None}
            with pytest.raises(Forgotten, match=subject):
                await keys.ensure({(subject, "record"): b"another"})


@pytest.mark.engines
async def test_what_was_acknowledged_outlives_the_server(tmp_path: Path) -> None:
    if not real.mongo_found():
        pytest.skip("the MongoDB-compatible server is not on this machine")
    server, rows = real.start_mongo(tmp_path), group(64)
    try:
        async with (
            Mongo(server.url, "test", timeout_ms=1_000) as door,
            MongoStore(door, "referrals") as store,
        ):
            assert await store.insert(rows[:32]) == Inserted(32)
            server.stop()
            assert await store.insert(rows[32:]) == Inserted(0, "unknown")
            with pytest.raises(StoreAway):
                await store.head(0)
            server = real.start_mongo(tmp_path)
            found = await store.by_commands([row.command for row in rows])
            assert found == {row.command: row for row in rows[:32]}
    finally:
        server.stop()
