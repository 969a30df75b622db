"""No route scans a collection: whatever a service may ask of a read model is found by an index.

A store refuses a question that no declared index serves. So what routes, timers and imports ask is
one of the questions below: every declared index of every service, split in every way into equality
and order, as a first page and as a later one, forwards and backwards; and ranges over everything,
as timers ask for what is due.
"""

import ast
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from demo.partners import directory
from demo.schools import schools
from libs.common.adapters.mongo import Mongo
from libs.common.adapters.mongo_documents import VIEWS, MongoDocuments, _filter
from libs.common.adapters.sqlite_documents import SqliteDocuments
from libs.common.ports import Doc, Documents, Put, Query
from services.consent.main import main as consent
from services.referrals.main import main as referrals
from tests.ports.test_sqlite_plans import plans, searched

DOCS = 120
VALUES = 6
ALIKE = 3
PAGE = 5
SERVICE = "plans"
EVERYTHING = ["[MinKey, MaxKey]"]
ROOT = Path(__file__).parent.parent.parent

Indexes = tuple[tuple[str, ...], ...]


def shapes() -> dict[str, Indexes]:
    """Kind -> declared indexes, of all that services ask by more than a key."""
    found: dict[str, Indexes] = {}
    for main in (consent, referrals):
        rooms = main.rooms(directory(schools()))
        for projection in (*rooms.projections, rooms.clocks):
            if projection.indexes:
                found[f"{rooms.name}_{projection.name}"] = projection.indexes
    return found


SHAPES = shapes()


def questions(indexes: Indexes) -> Iterator[Query]:
    for fields in indexes:
        yield Query({}, fields, low="v2", high="v4", limit=PAGE)
        yield Query({}, fields, high="v4", limit=PAGE)
        for count in range(1, len(fields) + 1):
            where = dict.fromkeys(fields[:count], f"v{ALIKE}")
            query = Query(where, fields[count:], limit=PAGE)
            yield query
            yield replace(query, descending=True)


def docs(indexes: Indexes) -> list[Doc]:
    """Every other one is alike, so that each question has a second page; the others differ."""
    names = sorted({name for fields in indexes for name in fields})
    return [
        {
            name: f"v{(number // (place + 1)) % VALUES if number % 2 else ALIKE}"
            for place, name in enumerate(names)
        }
        for number in range(DOCS)
    ]


async def filled(documents: Documents, kind: str, indexes: Indexes) -> None:
    await documents.prepare(kind, indexes)
    puts = [Put(kind, f"k{number}", doc, 0) for number, doc in enumerate(docs(indexes))]
    assert all(await documents.put(puts))


def test_every_service_declares_what_its_routes_ask() -> None:
    """A range beside equality, or everything in order, are other questions: no service asks one."""
    assert {"consent_students", "referrals_inbox", "referrals_queue"} <= SHAPES.keys()
    calls = [
        call
        for file in sorted((ROOT / "services").rglob("*.py"))
        for call in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "Query"
    ]
    words = [{word.arg for word in call.keywords} for call in calls]
    assert all(call.args or "where" in said for call, said in zip(calls, words, strict=True))
    assert set().union(*words) == {"where", "order", "limit"}


@pytest.mark.parametrize("kind", sorted(SHAPES))
async def test_sqlite_finds_every_page_by_an_index(kind: str, tmp_path: Path) -> None:
    async with SqliteDocuments(tmp_path / "views.db") as documents:
        await filled(documents, kind, SHAPES[kind])

        async def ask_everything() -> None:
            for query in questions(SHAPES[kind]):
                page = await documents.find(kind, query)
                assert page.next is not None
                await documents.find(kind, replace(query, after=page.next))

        found = await plans(documents.file, ask_everything())
        assert searched(found)
        pages = [step for step in found if "ORDER BY" in step]
        assert pages
        assert not [step for step in pages if f"USING INDEX {kind}." not in step]


async def test_what_has_no_index_would_be_seen(tmp_path: Path) -> None:
    """The check fails on a collection that is read from end to end, and on one that is sorted."""
    kind, indexes = "rows", (("school",),)
    async with SqliteDocuments(tmp_path / "views.db") as documents:
        await filled(documents, kind, indexes)

        def drop(connection: Any) -> None:
            connection.execute('DROP INDEX "rows.school"')

        await documents.file.write(drop)
        for query in (Query({"school": "v1"}), Query(order=("school",))):
            with pytest.raises(AssertionError):
                searched(await plans(documents.file, documents.find(kind, query)))


@pytest.fixture
async def door(mongo: str) -> AsyncIterator[Mongo]:
    async with Mongo(mongo, f"test-{uuid4().hex[:8]}") as opened:
        yield opened


async def plan_of(door: Mongo, kind: str, query: Query) -> Doc:
    """The winning plan of a page, as the server explains it."""
    way = -1 if query.descending else 1
    order = dict.fromkeys((*query.order, "_id"), way)
    about = await door.database(f"{SERVICE}_{VIEWS}").command(
        "explain",
        {"find": kind, "filter": _filter(query), "sort": order, "limit": query.limit + 1},
        verbosity="queryPlanner",
    )
    plan: Doc = about["queryPlanner"]["winningPlan"]
    return plan


def stages(plan: Doc) -> Iterator[Doc]:
    yield plan
    inner = plan.get("inputStages") or ([plan["inputStage"]] if "inputStage" in plan else [])
    for stage in inner:
        yield from stages(stage)


def found_by_index(plan: Doc, query: Query) -> bool:
    """Nothing is sorted, nothing read but by an index, and that is narrowed by what is equal, or
    by the range: a walk over all of `_id` is called IXSCAN too."""
    narrowed = set(query.where) or {query.order[0]}
    every = list(stages(plan))
    for stage in every:
        if stage["stage"] in ("COLLSCAN", "SORT"):
            return False
        if stage["stage"] == "IXSCAN" and any(
            stage["indexBounds"].get(name, EVERYTHING) == EVERYTHING for name in narrowed
        ):
            return False
    return any(stage["stage"] == "IXSCAN" for stage in every)


@pytest.mark.engines
async def test_mongo_finds_every_page_by_an_index(door: Mongo) -> None:
    async with MongoDocuments(door, SERVICE) as documents:
        for kind, indexes in SHAPES.items():
            await filled(documents, kind, indexes)
            for query in questions(indexes):
                page = await documents.find(kind, query)
                assert page.next is not None
                for asked in (query, replace(query, after=page.next)):
                    plan = await plan_of(door, kind, asked)
                    assert found_by_index(plan, asked), (kind, asked, plan)


@pytest.mark.engines
async def test_mongo_says_when_it_reads_everything(door: Mongo) -> None:
    async with MongoDocuments(door, SERVICE) as documents:
        await filled(documents, "rows", (("school",),))
        for query in (Query({"never": "v1"}), Query({"school": "v1"}, ("never",))):
            assert not found_by_index(await plan_of(door, "rows", query), query)
