"""No route scans a collection: whatever a service may ask of a read model is found by an index.

A store refuses a question that no declared index serves. So what routes, timers and imports ask is
one of the questions below: every declared index, split in every way into equality, a range and
order, as a first page and as later ones, forwards and backwards. A later page costs what the first
one does: it begins where its keyset says.
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
from libs.common.adapters.mongo_documents import VIEWS, MongoDocuments, slices
from libs.common.adapters.sqlite_documents import SqliteDocuments
from libs.common.parking import SET_ASIDE
from libs.common.ports import Doc, Documents, Put, Query
from services.consent.main import main as consent
from services.referrals.main import main as referrals
from tests.ports.test_sqlite_plans import on_tables, plans, searched

DOCS = 120
VALUES = 6
ALIKE = 3
PAGE = 5
PAGES = 3
STEPS_MORE_MAX = 4
"""A later page asks up to six times, of which all but one find little."""
KEYS_MAX = PAGE + 2
"""A page, one more to know whether there is a next, and one to pass over what is absent."""
SERVICE = "plans"
EVERYTHING = ["[MinKey, MaxKey]"]
ROOT = Path(__file__).parent.parent.parent

Indexes = tuple[tuple[str, ...], ...]


def shapes() -> dict[str, Indexes]:
    """Kind -> declared indexes, of all that is asked for by more than a key."""
    found: dict[str, Indexes] = {SET_ASIDE: (("aside", "waits", "seq"),)}
    for main in (consent, referrals):
        rooms = main.rooms(directory(schools()))
        for projection in (*rooms.projections, rooms.clocks):
            if projection.indexes:
                found[f"{rooms.name}_{projection.name}"] = projection.indexes
    return found


SHAPES = shapes()


def questions(indexes: Indexes) -> Iterator[Query]:
    for fields in indexes:
        for count in range(len(fields) + 1):
            where = dict.fromkeys(fields[:count], f"v{ALIKE}")
            query = Query(where, fields[count:], limit=PAGE)
            asked = [query] if where else []
            if query.order:
                asked += [replace(query, low="v2", high="v4"), replace(query, high="v4")]
            for one in asked:
                yield one
                yield replace(one, descending=True)


async def pages(documents: Documents, kind: str, query: Query) -> list[Query]:
    """The question and how it goes on, for some pages."""
    asked = [query]
    while len(asked) < PAGES:
        page = await documents.find(kind, asked[-1])
        assert page.next is not None
        asked.append(replace(query, after=page.next))
    await documents.find(kind, asked[-1])
    return asked


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
    """Everything in order is another question, and no service asks it."""
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
                await pages(documents, kind, query)

        found = await plans(documents.file, ask_everything())
        assert searched(found)
        asked = [step for step in on_tables(found) if "ORDER BY" in step]
        assert asked
        assert not [step for step in asked if f"USING INDEX {kind}." not in step]


@pytest.mark.parametrize("kind", sorted(SHAPES))
async def test_on_sqlite_a_late_page_takes_no_more_steps_than_an_early_one(
    kind: str, tmp_path: Path
) -> None:
    async with SqliteDocuments(tmp_path / "views.db") as documents:
        await filled(documents, kind, SHAPES[kind])
        for query in questions(SHAPES[kind]):
            first, late = await steps_of(documents, kind, query)
            assert late <= STEPS_MORE_MAX * first, (query, first, late)


async def steps_of(documents: SqliteDocuments, kind: str, query: Query) -> tuple[int, int]:
    """Instructions of SQLite's machine for the first page and for the last that is full."""
    counted = [0]

    def step() -> None:
        counted[0] += 1

    await documents.file.read(lambda connection: connection.set_progress_handler(step, 1))
    page = await documents.find(kind, query)
    first, late = counted[0], 0
    while page.next is not None:
        counted[0] = 0
        page = await documents.find(kind, replace(query, after=page.next))
        late = counted[0]
    return first, late


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


async def plan_of(door: Mongo, kind: str, part: Doc, query: Query) -> tuple[Doc, int]:
    """The winning plan of a slice of a page, and the keys that it has read, as the server says."""
    way = -1 if query.descending else 1
    order = dict.fromkeys((*query.order, "_id"), way)
    about = await door.database(f"{SERVICE}_{VIEWS}").command(
        "explain",
        {"find": kind, "filter": part, "sort": order, "limit": query.limit + 1},
        verbosity="executionStats",
    )
    plan: Doc = about["queryPlanner"]["winningPlan"]
    return plan, about["executionStats"]["totalKeysExamined"]


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
                for asked in await pages(documents, kind, query):
                    for part in slices(asked):
                        plan, keys = await plan_of(door, kind, part, asked)
                        assert found_by_index(plan, asked), (kind, asked, plan)
                        assert keys <= KEYS_MAX, (kind, asked, part, keys)


@pytest.mark.engines
async def test_mongo_says_when_it_reads_everything(door: Mongo) -> None:
    async with MongoDocuments(door, SERVICE) as documents:
        await filled(documents, "rows", (("school",),))
        for query in (Query({"never": "v1"}), Query({"school": "v1"}, ("never",))):
            plan, _ = await plan_of(door, "rows", slices(query)[0], query)
            assert not found_by_index(plan, query)


@pytest.mark.engines
async def test_mongo_says_when_a_page_begins_too_early(door: Mongo) -> None:
    """As one `$or` of everything behind the keyset, a page is looked for from the beginning."""
    async with MongoDocuments(door, SERVICE) as documents:
        await filled(documents, "rows", (("school", "name"),))
        query = Query({"school": f"v{ALIKE}"}, ("name",), limit=PAGE)
        late = (await pages(documents, "rows", query))[-1]
        behind = {"$or": [part["$and"][-1] for part in slices(late)]}
        _, keys = await plan_of(door, "rows", {"$and": [query.where, behind]}, late)
        assert keys > KEYS_MAX
