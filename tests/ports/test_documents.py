"""What every store of read models promises: guarded writes, and pages in order."""

import asyncio
from itertools import product
from random import Random
from typing import Any

import pytest

from libs.common.ports import Doc, Documents, Put, Query, Scalar

KIND = "rows_v1_g1"
INDEXES = (
    ("place", "due"),
    ("due",),
    ("done", "size"),
    ("place", "done"),
    ("size", "place", "due"),
)
SEED = 20260123
WRITERS = 4
STEPS = 15
PAGE = 7


@pytest.fixture
async def prepared(documents: Documents) -> Documents:
    await documents.prepare(KIND, INDEXES)
    return documents


async def test_a_new_document_is_written_once(prepared: Documents) -> None:
    doc: Doc = {"name": "ß", "list": [1, {"a": None}], "deep": {"x": 1.5}, "yes": True}
    assert await prepared.put([Put(KIND, "a|1", doc, 0)]) == [True]
    assert await prepared.put([Put(KIND, "a|1", {"name": "other"}, 0)]) == [False]
    assert await prepared.get(KIND, ["a|1", "b"]) == {"a|1": {**doc, "_id": "a|1", "_rev": 1}}


async def test_a_write_names_the_revision_that_it_replaces(prepared: Documents) -> None:
    await prepared.put([Put(KIND, "a", {"n": 1}, 0)])
    assert await prepared.put([Put(KIND, "a", {"n": 2}, 1)]) == [True]
    assert await prepared.put([Put(KIND, "a", {"n": 3}, 1)]) == [False]
    assert await prepared.put([Put(KIND, "never", {"n": 3}, 1)]) == [False]
    found = await prepared.get(KIND, ["a", "never"])
    assert found == {"a": {"n": 2, "_id": "a", "_rev": 2}}


async def test_each_write_of_many_is_guarded_on_its_own(prepared: Documents) -> None:
    await prepared.put([Put(KIND, "b", {}, 0)])
    puts = [Put(KIND, "c", {}, 0), Put(KIND, "b", {}, 0), Put(KIND, "a", {}, 3)]
    assert await prepared.put([*puts, Put(KIND, "b", {"x": 1}, 1)]) == [True, False, False, True]
    assert await prepared.get(KIND, "abc") == {
        "b": {"x": 1, "_id": "b", "_rev": 2},
        "c": {"_id": "c", "_rev": 1},
    }


async def test_kinds_do_not_meet(prepared: Documents) -> None:
    await prepared.prepare("cursors", ())
    puts = [Put(KIND, "a", {"n": 1}, 0), Put("cursors", "a", {"n": 2}, 0)]
    assert await prepared.put(puts) == [True, True]
    assert (await prepared.get(KIND, ["a"]))["a"]["n"] == 1
    assert (await prepared.get("cursors", ["a"]))["a"]["n"] == 2


async def test_rivals_lose_no_update(prepared: Documents, other_documents: Documents) -> None:
    async def count_up(documents: Documents) -> None:
        for _ in range(STEPS):
            while True:
                doc = (await documents.get(KIND, ["n"])).get("n", {"n": 0, "_rev": 0})
                if await documents.put([Put(KIND, "n", {"n": doc["n"] + 1}, doc["_rev"])]) == [
                    True
                ]:
                    break

    doors = [prepared, other_documents] * (WRITERS // 2)
    await asyncio.gather(*map(count_up, doors))
    assert (await prepared.get(KIND, ["n"]))["n"]["n"] == WRITERS * STEPS


async def test_many_documents_are_written_and_read_at_once(prepared: Documents) -> None:
    puts = [Put(KIND, f"k{number}", {"size": number}, 0) for number in range(1_500)]
    assert all(await prepared.put(puts))
    found = await prepared.get(KIND, [put.key for put in puts])
    assert {key: doc["size"] for key, doc in found.items()} == {p.key: p.doc["size"] for p in puts}


def some_docs(random: Random, count: int) -> list[tuple[str, Doc]]:
    """Many ties, and every field is absent or null now and then."""
    found = []
    for number in random.sample(range(10_000), count):
        doc = {
            "place": random.choice(["", "a", "ab", "b", "Ä", "é", None]),
            "due": random.choice(["2026-01-01", "2026-01-02", "2026-02-01", None]),
            "done": random.choice([True, False, None]),
            "size": random.choice([-5, 0, 3, 2**53 + 1, None]),
        }
        kept = {name: value for name, value in doc.items() if random.random() > 0.1}
        found.append((f"key{number}", kept))
    return found


def _least_first(value: Scalar) -> tuple[bool, Any]:
    """Null is the least of all values; text is ordered by its bytes."""
    return (value is not None, value.encode() if isinstance(value, str) else value or 0)


def _expected(docs: list[tuple[str, Doc]], query: Query) -> list[str]:
    """The same question, asked of a list."""
    found = []
    for key, doc in docs:
        first = doc.get(query.order[0]) if query.order else None
        if any(doc.get(name) != value for name, value in query.where.items()):
            continue
        if query.low is not None and (first is None or first < query.low):
            continue
        if query.high is not None and (first is None or first > query.high):
            continue
        found.append(([_least_first(doc.get(name)) for name in query.order], key))
    return [key for _, key in sorted(found, reverse=query.descending)]


QUESTIONS = [
    Query({"place": place}, ("due",), descending=down)
    for place, down in product(["a", "", "Ä", None, "nowhere"], [False, True])
]
QUESTIONS += [
    Query({}, ("due",), low=low, high=high, descending=down)
    for low, high, down in product([None, "2026-01-02"], [None, "2026-01-02"], [False, True])
]
QUESTIONS += [
    Query({"done": done}, ("size",), low=low, high=high, descending=down)
    for done, low, high, down in product([True, False, None], [None, 0], [None, 3], [False, True])
]
QUESTIONS += [Query({"done": True, "place": "b"}), Query({"place": None, "done": None})]
QUESTIONS += [
    Query({}, ("size", "place", "due"), low=low, high=high, descending=down)
    for low, high, down in product([None, -5], [None, 3], [False, True])
]
QUESTIONS += [Query({"size": 3}, ("place", "due")), Query({"place": "b", "size": None}, ("due",))]


async def test_every_declared_question_is_answered_in_order_page_by_page(
    prepared: Documents,
) -> None:
    docs = some_docs(Random(SEED), 300)
    assert all(await prepared.put([Put(KIND, key, doc, 0) for key, doc in docs]))
    for query in QUESTIONS:
        found: list[str] = []
        after: tuple[Scalar, ...] | None = None
        while True:
            asked = Query(
                query.where, query.order, query.low, query.high, query.descending, after, PAGE
            )
            page = await prepared.find(KIND, asked)
            found += [doc["_id"] for doc in page.docs]
            assert len(page.docs) == PAGE or page.next is None
            if page.next is None:
                break
            after = page.next
        assert found == _expected(docs, query), query


async def test_a_page_holds_whole_documents(prepared: Documents) -> None:
    await prepared.put([Put(KIND, "a", {"due": "2026-01-01", "x": [1]}, 0)])
    page = await prepared.find(KIND, Query(order=("due",)))
    assert page.docs == [{"due": "2026-01-01", "x": [1], "_id": "a", "_rev": 1}]
    assert page.next is None


async def test_a_changed_document_is_found_where_it_belongs_now(prepared: Documents) -> None:
    await prepared.put([Put(KIND, "a", {"place": "a", "done": False}, 0)])
    await prepared.put([Put(KIND, "a", {"place": "b", "done": False}, 1)])
    assert (await prepared.find(KIND, Query({"place": "a", "done": False}))).docs == []
    [doc] = (await prepared.find(KIND, Query({"place": "b", "done": False}))).docs
    assert doc["_rev"] == 2


@pytest.mark.parametrize(
    "query",
    [
        Query({"size": 3}),
        Query({"place": "a"}),
        Query({}, ("place",)),
        Query({"due": "2026-01-01"}, ("place",)),
        Query({}, ("due", "place")),
        Query({"place": "a"}, ("done", "size")),
        Query({"never": 1}),
        Query({"due": "2026-01-01"}, low="2026-01-01"),
        Query({}, ("due",), limit=0),
        Query({}, ("due",), limit=201),
        Query({}, ("due",), after=("2026-01-01",)),
    ],
    ids=str,
)
async def test_a_question_without_an_index_is_refused(prepared: Documents, query: Query) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        await prepared.find(KIND, query)


async def test_whoever_did_not_declare_an_index_may_use_it(
    prepared: Documents, other_documents: Documents
) -> None:
    await prepared.put([Put(KIND, "a", {"due": "2026-01-01"}, 0)])
    assert len((await other_documents.find(KIND, Query(order=("due",)))).docs) == 1
    with pytest.raises(ValueError, match=r"\w"):
        await other_documents.find(KIND, Query(order=("place",)))


async def test_preparing_again_changes_nothing(prepared: Documents) -> None:
    await prepared.put([Put(KIND, "a", {"due": "2026-01-01"}, 0)])
    await prepared.prepare(KIND, INDEXES)
    assert len((await prepared.find(KIND, Query(order=("due",)))).docs) == 1


async def test_a_dropped_kind_is_gone_and_may_start_anew(prepared: Documents) -> None:
    await prepared.put([Put(KIND, "a", {"due": "2026-01-01"}, 0)])
    await prepared.drop(KIND)
    await prepared.drop(KIND)
    assert await prepared.get(KIND, ["a"]) == {}
    await prepared.prepare(KIND, (("size",),))
    assert (await prepared.find(KIND, Query(order=("size",)))).docs == []
    with pytest.raises(ValueError, match=r"\w"):
        await prepared.find(KIND, Query(order=("due",)))
    assert await prepared.put([Put(KIND, "a", {"size": 1}, 0)]) == [True]


async def test_a_kind_that_never_was_is_empty(documents: Documents) -> None:
    assert await documents.get("nothing", ["a"]) == {}


async def test_all_of_a_kind_can_be_read_without_an_index(documents: Documents) -> None:
    await documents.prepare("cursors", ())
    await documents.put([Put("cursors", f"{number:02}", {}, 0) for number in range(12)])
    first = await documents.find("cursors", Query(limit=8))
    rest = await documents.find("cursors", Query(limit=8, after=first.next))
    assert [doc["_id"] for doc in (*first.docs, *rest.docs)] == [f"{n:02}" for n in range(12)]
    assert rest.next is None
