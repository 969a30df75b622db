"""The embedded engine answers every question from an index, however much there is."""

import re
from collections.abc import Awaitable
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

from libs.common.adapters.sqlite import SqliteStore
from libs.common.adapters.sqlite_documents import SqliteDocuments
from libs.common.adapters.sqlite_file import SqliteFile
from libs.common.adapters.sqlite_keys import SqliteKeys
from libs.common.ports import SHARDS, Put
from tests.ports.chains import LOG, Chain
from tests.ports.test_documents import INDEXES, KIND, QUESTIONS, SEED, some_docs


async def plans(file: SqliteFile, work: Awaitable[object]) -> list[str]:
    """How SQLite goes about every statement that this work asks of the file."""
    doors = [file.read] if file.readonly else [file.read, file.write]
    seen: list[str] = []

    def listen(connection: Any) -> None:
        connection.set_trace_callback(seen.append)

    for door in doors:
        await door(listen)
    await work

    def stop(connection: Any) -> None:
        connection.set_trace_callback(None)

    def explain(connection: Any) -> list[str]:
        return [
            f"{step[3]}: {statement}"
            for statement in dict.fromkeys(seen)
            if statement.split()[0] in ("SELECT", "UPDATE", "DELETE", "INSERT")
            for step in connection.execute(f"EXPLAIN QUERY PLAN {statement}")
        ]

    for door in doors:
        await door(stop)
    return await file.read(explain)


def on_tables(found: list[str]) -> list[str]:
    """The steps that read what is stored, not the statement's own rows."""
    own = re.compile(r"(SCAN (json_each|(\d+ )?CONSTANT ROWS?|\(subquery-\d+\):)|CO-ROUTINE)")
    return [step for step in found if not own.match(step)]


def searched(found: list[str]) -> bool:
    """Nothing is sorted, and nothing read from end to end, but for a question's own list of keys or
    rows, what was found already, and the beginning of an index, for a first page of everything."""
    first_page = re.compile(r"SCAN \S+ USING INDEX (?!.* WHERE )")
    steps = [step for step in on_tables(found) if not first_page.match(step)]
    assert any(step.startswith("SEARCH") for step in steps)
    bad = [step for step in steps if step.startswith(("SCAN", "USE TEMP"))]
    assert not bad, bad
    return True


async def test_the_log_is_never_scanned(tmp_path: Path) -> None:
    rows = Chain().grow_many(500)
    path = tmp_path / LOG / "log.db"

    async def ask_everything(log: SqliteStore) -> None:
        await log.by_commands([rows[0].command, rows[1].command])
        await log.head(3)
        await log.news([1] * SHARDS)
        await log.log(3, 1)
        await log.log_all([1] * SHARDS, 100)
        assert [commit async for commit in log.stream("pearl/7")]

    async with SqliteStore(path, LOG) as store:
        await store.insert(rows)
        assert searched(await plans(store.file, ask_everything(store)))
        async with SqliteStore(path, LOG, readonly=True) as reader:
            assert searched(await plans(reader.file, ask_everything(reader)))


async def test_documents_are_never_scanned_or_sorted(tmp_path: Path) -> None:
    async with SqliteDocuments(tmp_path / "views.db") as documents:
        await documents.prepare(KIND, INDEXES)
        docs = some_docs(Random(SEED), 100)
        await documents.put([Put(KIND, key, doc, 0) for key, doc in docs])

        async def ask_everything() -> None:
            for query in QUESTIONS:
                page = await documents.find(KIND, replace(query, limit=3))
                while page.next is not None:
                    page = await documents.find(KIND, replace(query, limit=3, after=page.next))
            await documents.get(KIND, ["k1", "k2"])
            await documents.put([Put(KIND, "k1", {"size": 7}, 1)])

        found = await plans(documents.file, ask_everything())
        assert searched(found)
        pages = [step for step in on_tables(found) if "ORDER BY" in step]
        assert not [step for step in pages if f"USING INDEX {KIND}." not in step]


async def test_keys_are_never_scanned(tmp_path: Path) -> None:
    async with SqliteKeys(tmp_path / "keys.db") as keys:
        await keys.ensure({(f"stu_{n}", "record"): b"x" * 80 for n in range(300)})

        async def ask_everything() -> None:
            await keys.ensure({("stu_1", "notes"): b"y" * 80})
            await keys.get(["stu_1:record:1"])
            await keys.held(["stu_1"])
            await keys.forget("stu_1", ["notes"])
            await keys.forget("stu_2", [])

        found = await plans(keys.file, ask_everything())
        assert searched([step for step in found if "ORDER BY" not in step])
