"""The bytes of a commit are fixed for ever, and one changed byte in them is found."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, ClassVar
from uuid import UUID

import pytest

from libs.common.commit import (
    BODY_MAX,
    EVENTS_MAX,
    NO_PREV,
    Commit,
    Draft,
    chained,
    decode_event,
    encode,
    encode_event,
    leaf_hash,
    parse,
    shard_of,
)
from libs.common.errors import TooLarge
from libs.common.messages import UPCASTERS, Actor, Dep, Event, Identity, Position, Recorded, Role
from libs.common.personal import Sealed
from libs.common.words import canonical

AT = datetime(2025, 9, 15, 16, 0, 0, 123, tzinfo=UTC)
ACTOR = Actor("usr_abc", Role.TEACHER, "sch_one")


class PearlFound(Event):
    shell: str
    finder: Identity[str]


class PearlSold(Event):
    """In its third shape: first it had a `price`, then `cents`, now a `currency` beside them."""

    v: ClassVar[int] = 3

    cents: int
    currency: str


FOUND = encode_event(PearlFound(shell="sh_1", finder=Sealed("stu_1:identity:1", "finder", "q83v")))
DRAFT = Draft(
    stream="shell/sh_1",
    expected=0,
    events=(FOUND,),
    types=("pearl.found",),
    command=UUID(int=1),
    correlation=UUID(int=2),
    actor=ACTOR,
    subjects=("stu_1",),
    request="sha256:ab",
    deps=(Dep(Position("consent", 3, 14), AT),),
)
GOLDEN = (
    b'{"actor":{"org":"sch_one","role":"teacher","sub":"usr_abc"},'
    b'"at":"2025-09-15T16:00:00.000123Z",'
    b'"command":"00000000-0000-0000-0000-000000000001",'
    b'"correlation":"00000000-0000-0000-0000-000000000002","deps":["consent:03:14"],'
    b'"events":[{"data":{"finder":{"$enc":{"a":"SIV","c":"q83v","f":"finder",'
    b'"k":"stu_1:identity:1"}},"shell":"sh_1"},"type":"pearl.found","v":1}],'
    b'"first":1,"last":1,"log":"pearls",'
    b'"prev":"0000000000000000000000000000000000000000000000000000000000000000",'
    b'"request":"sha256:ab","seq":1,"shard":0,"spec":1,"stream":"shell/sh_1",'
    b'"subjects":["stu_1"]}'
)
GOLDEN_HASH = "150f4cce34b9791dc904d9477859955d4a17d7f72cca2a0a8dfabc93b6576e64"


def chain(length: int) -> list[Commit]:
    commits: list[Commit] = []
    prev = NO_PREV
    for seq in range(1, length + 1):
        draft = DRAFT._replace(expected=seq - 1, command=UUID(int=seq))
        commits.append(encode(draft, "pearls", seq, prev, AT))
        prev = commits[-1].hash
    return commits


def test_the_bytes_of_a_commit_are_these_for_ever() -> None:
    """Other languages and later releases must find the same. Never change the vector."""
    commit = encode(DRAFT, "pearls", 1, NO_PREV, AT)
    assert commit.body == GOLDEN
    assert commit.hash == GOLDEN_HASH


def test_the_hash_is_the_leaf_hash_that_anybody_can_compute() -> None:
    assert sha256(b"\x00" + GOLDEN).hexdigest() == GOLDEN_HASH
    plain = json.dumps(json.loads(GOLDEN), sort_keys=True, separators=(",", ":"))
    assert plain.encode() == GOLDEN


def test_a_commit_is_known_from_its_bytes_alone() -> None:
    commit = encode(DRAFT, "pearls", 1, NO_PREV, AT)
    told = parse(commit.body)
    assert (told.actor, told.when) == (commit.actor, commit.when)
    assert vars(told) | {"content": None} == vars(commit) | {"content": None}


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'"x"', GOLDEN[:-1], GOLDEN.replace(b"at", b"on", 1)]
)
def test_what_is_no_commit_is_not_read_as_one(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"not a commit body|column"):
        parse(body)


def test_an_untouched_chain_holds() -> None:
    commits = chain(4)
    assert chained(commits, NO_PREV, 0)
    assert chained(commits[2:], commits[1].hash, 2)
    assert chained([], NO_PREV, 0)


def tampered(commits: list[Commit]) -> Iterator[list[Commit]]:
    """Every byte of the second commit changed by one bit, one at a time."""
    for place in range(len(commits[1].body)):
        body = bytearray(commits[1].body)
        body[place] ^= 1
        yield [commits[0], replace(commits[1], body=bytes(body)), *commits[2:]]


def test_one_changed_byte_is_found() -> None:
    assert not any(chained(broken, NO_PREV, 0) for broken in tampered(chain(3)))


def test_a_hash_is_worked_out_from_the_bytes() -> None:
    one, two = chain(2)
    assert replace(one, body=two.body).hash == two.hash == leaf_hash(two.body)


def test_what_was_taken_out_put_in_or_swapped_is_found() -> None:
    one, two, three = chain(3)
    for broken in ([one, three], [two, three], [one, three, two], [one, one, two], [one, two, two]):
        assert not chained(broken, NO_PREV, 0)


def test_a_shard_is_the_same_everywhere() -> None:
    streams = ("student/stu_1", "referral/ref_1", "import/imp_1", "shell/sh_1")
    assert [shard_of(stream) for stream in streams] == [15, 12, 1, 0]


def test_a_float_has_no_canonical_form() -> None:
    for value in (0.5, [1, 0.5], {"a": {"b": (1.0,)}}):
        with pytest.raises(TypeError):
            canonical(value)


def test_canonical_bytes_depend_on_the_value_alone() -> None:
    assert canonical({"b": 1, "a": ["ü", None]}) == canonical({"a": ["ü", None], "b": 1})
    assert canonical({"b": 1, "a": ["ü", None]}) == '{"a":["ü",null],"b":1}'.encode()


def test_a_commit_has_a_greatest_size() -> None:
    with pytest.raises(TooLarge):
        encode(DRAFT._replace(events=()), "pearls", 1, NO_PREV, AT)
    with pytest.raises(TooLarge):
        encode(DRAFT._replace(events=(FOUND,) * (EVENTS_MAX + 1)), "pearls", 1, NO_PREV, AT)
    with pytest.raises(TooLarge):
        encode(DRAFT._replace(result={"x": "x" * BODY_MAX}), "pearls", 1, NO_PREV, AT)


def test_an_event_reads_back_as_it_was_said() -> None:
    commit = encode(DRAFT._replace(expected=6), "pearls", 9, NO_PREV, AT)
    event = PearlFound(shell="sh_1", finder=Sealed("stu_1:identity:1", "finder", "q83v"))
    where = Position("pearls", commit.shard, 9)
    assert commit.recorded == (Recorded(event, AT, "shell/sh_1", 7, where, ACTOR, UUID(int=1)),)


def test_an_event_that_this_build_does_not_know_is_left_out() -> None:
    assert decode_event("pearl.polished", 1, {}) is None
    assert decode_event("pearl.found", 2, {"shell": "sh_1"}) is None


def test_an_old_shape_climbs_step_by_step(monkeypatch: pytest.MonkeyPatch) -> None:
    def in_cents(data: dict[str, Any]) -> dict[str, Any]:
        return {"cents": data["price"] * 100}

    def with_currency(data: dict[str, Any]) -> dict[str, Any]:
        return data | {"currency": "USD"}

    monkeypatch.setitem(UPCASTERS, ("pearl.sold", 1), in_cents)
    monkeypatch.setitem(UPCASTERS, ("pearl.sold", 2), with_currency)
    now = PearlSold(cents=700, currency="USD")
    assert decode_event("pearl.sold", 1, {"price": 7}) == now
    assert decode_event("pearl.sold", 2, {"cents": 700}) == now
    assert decode_event("pearl.sold", 3, {"cents": 700, "currency": "USD"}) == now
