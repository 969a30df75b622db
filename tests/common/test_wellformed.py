"""A caller's JSON is held to the schema that is published, no looser and no stricter."""

from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import pytest
from pydantic import Field

from libs.common.messages import Command, Identity, Instant, Message
from libs.common.web.wellformed import FINDINGS_MAX, Shape, Unfit


class Kind(StrEnum):
    PHONE = "phone"


class Contact(Message):
    kind: Kind
    since: date


class Tree(Message):
    size: int = 0
    leaves: tuple["Tree", ...] = ()


class Everything(Command):
    number: int = 0
    price: float = 0.0
    flag: bool = False
    text: str = ""
    day: date = date(2025, 1, 1)
    at: Instant | None = None
    ident: UUID | None = None
    kinds: frozenset[Kind] = frozenset()
    pair: tuple[int, str] = (0, "")
    counts: dict[str, int] = Field(default_factory=dict)
    tree: Tree | None = None
    contacts: Identity[tuple[Contact, ...]] = ()
    either: int | Contact = 0


shape = Shape(Everything)


def findings(body: str) -> list[tuple[str, str]]:
    with pytest.raises(Unfit) as unfit:
        shape.from_json(body.encode())
    return unfit.value.findings


def test_every_type_is_taken_as_its_schema_says() -> None:
    read = shape.from_json(
        b'{"number": -47.0, "price": 1, "flag": true, "text": "5", "day": "2025-02-28",'
        b'"at": "2025-02-28T12:00:00-05:00", "ident": "00000000-0000-0000-0000-00000000000F",'
        b'"kinds": ["phone"], "pair": [1, "a"], "counts": {"Hanna": 1},'
        b'"tree": {"leaves": [{"size": 1}]},'
        b'"contacts": [{"kind": "phone", "since": "2025-01-01"}],'
        b'"either": {"kind": "phone", "since": "2025-01-01"}}'
    )
    contact = Contact(kind=Kind.PHONE, since=date(2025, 1, 1))
    assert read == Everything(
        number=-47,
        price=1.0,
        flag=True,
        text="5",
        day=date(2025, 2, 28),
        at=datetime(2025, 2, 28, 17, tzinfo=UTC),
        ident=UUID(int=15),
        kinds=frozenset({Kind.PHONE}),
        pair=(1, "a"),
        counts={"Hanna": 1},
        tree=Tree(leaves=(Tree(size=1),)),
        contacts=(contact,),
        either=contact,
    )


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ('{"number": true}', ("#/number", "not-an-integer")),
        ('{"number": "1"}', ("#/number", "not-an-integer")),
        ('{"number": 1.5}', ("#/number", "not-an-integer")),
        ('{"number": 9007199254740993}', ("#/number", "not-an-integer")),
        ('{"number": 1e300}', ("#/number", "not-an-integer")),
        ('{"number": null}', ("#/number", "not-an-integer")),
        ('{"price": "1"}', ("#/price", "not-a-number")),
        ('{"price": true}', ("#/price", "not-a-number")),
        ('{"flag": "yes"}', ("#/flag", "not-a-boolean")),
        ('{"flag": 1}', ("#/flag", "not-a-boolean")),
        ('{"text": 5}', ("#/text", "not-a-text")),
        ('{"day": 0}', ("#/day", "not-a-text")),
        ('{"day": "0"}', ("#/day", "wrong-format")),
        ('{"day": "2025-02-30"}', ("#/day", "date-from-datetime-parsing")),
        ('{"day": "2025-01-01T00:00:00Z"}', ("#/day", "wrong-format")),
        ('{"at": "2025-01-01T00:00:00"}', ("#/at", "wrong-type")),
        ('{"at": 0}', ("#/at", "wrong-type")),
        ('{"at": "0001-01-01T00:00:00+10:00"}', ("#", "out-of-range")),
        ('{"ident": "x"}', ("#/ident", "wrong-type")),
        ('{"kinds": "phone"}', ("#/kinds", "not-a-list")),
        ('{"kinds": ["Hanna"]}', ("#/kinds/0", "enum")),
        ('{"kinds": {"Hanna": 1}}', ("#/kinds", "not-a-list")),
        ('{"pair": ["1", "a"]}', ("#/pair/0", "not-an-integer")),
        ('{"pair": [1]}', ("#/pair/1", "missing")),
        ('{"counts": {"Hanna": "1"}}', ("#/counts", "not-an-integer")),
        ('{"tree": {"leaves": [{"size": "1"}]}}', ("#/tree/leaves/0/size", "not-an-integer")),
        ('{"tree": {"Hanna": 1}}', ("#/tree", "unknown-field")),
        ('{"contacts": [{"kind": "phone"}]}', ("#/contacts/0/since", "missing")),
        ('{"contacts": [{"kind": "phone", "since": 5}]}', ("#/contacts/0/since", "not-a-text")),
        ('{"either": "x"}', ("#/either", "wrong-type")),
    ],
)
def test_what_does_not_fit_is_told_by_place_and_code(body: str, found: tuple[str, str]) -> None:
    assert findings(body) == [found]


def test_an_envelope_is_no_plaintext() -> None:
    sealed = '{"$enc": {"a": "SIV", "k": "stu_1:identity:1", "f": "contacts", "c": "abc"}}'
    assert findings(f'{{"contacts": {sealed}}}') == [("#/contacts", "not-a-list")]


def test_an_endless_nesting_is_cut_off() -> None:
    for depth in (300, 5_000):
        deep = '{"leaves": [' * depth + "{}" + "]}" * depth
        assert findings(f'{{"tree": {deep}}}')


def test_the_list_of_findings_has_an_end() -> None:
    many = ",".join(['{"kind": 1}'] * 100)
    assert len(findings(f'{{"contacts": [{many}]}}')) == FINDINGS_MAX


def test_an_empty_body_is_enough_when_nothing_is_required() -> None:
    assert shape.from_json(b"") == Everything()
    with pytest.raises(Unfit):
        Shape(Contact).from_json(b"")


def test_a_query_string_says_json_values() -> None:
    read = Shape(Tree)
    assert read.from_query(b"size=12") == Tree(size=12)
    for query in (b"size=1_2", b"size=%201", b"size=012", b"size=1.0", b"size=", b"size=\xff"):
        with pytest.raises(Unfit):
            read.from_query(query)
    many: Any = b"&".join(b"size=%d" % n for n in range(100))
    with pytest.raises(Unfit):
        read.from_query(many)
