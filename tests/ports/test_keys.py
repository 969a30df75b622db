"""What every key store promises: one key for all, and once forgotten, never again."""

import asyncio
import os

import pytest

from libs.common.errors import Forgotten
from libs.common.ports import Keys, WrappedKey
from tests.ports.conftest import Place

RACERS = 8
ROUNDS = 25
CLASSES = ("identity", "notes", "record")


def offer(*keys: tuple[str, str]) -> dict[tuple[str, str], bytes]:
    return {key: os.urandom(80) for key in keys}


async def test_an_offered_key_is_kept(keys: Keys) -> None:
    ours = offer(("stu_1", "identity"), ("stu_1", "record"), ("stu_2", "identity"))
    stored = await keys.ensure(ours)
    assert stored == {key: WrappedKey(f"{key[0]}:{key[1]}:1", ours[key]) for key in ours}
    wanted = [key.id for key in stored.values()]
    assert await keys.get([*wanted, "stu_3:identity:1", "stu_1:identity:2"]) == {
        **{key.id: key.wrapped for key in stored.values()},
        "stu_3:identity:1": None,
        "stu_1:identity:2": None,
    }


async def test_the_earlier_key_wins(keys: Keys) -> None:
    first = await keys.ensure(offer(("stu_1", "identity")))
    later = await keys.ensure(offer(("stu_1", "identity"), ("stu_1", "record")))
    assert later["stu_1", "identity"] == first["stu_1", "identity"]


async def test_racers_agree_on_one_key(keys: Keys, place: Place) -> None:
    async with place.open_keys() as others:
        doors = [keys, others] * (RACERS // 2)
        answers = await asyncio.gather(*(d.ensure(offer(("stu_1", "identity"))) for d in doors))
    assert all(answer == answers[0] for answer in answers)


async def test_a_subject_holds_its_keys(keys: Keys) -> None:
    stored = await keys.ensure(offer(*(("stu_1", name) for name in CLASSES), ("stu_10", "notes")))
    held = await keys.held(["stu_1", "stu_2"])
    assert held.keys() == {"stu_1", "stu_2"}
    assert held["stu_2"] == []
    ours = [key for (subject, _), key in stored.items() if subject == "stu_1"]
    assert sorted(held["stu_1"] or ()) == sorted(ours)


async def test_a_forgotten_class_leaves_the_others(keys: Keys) -> None:
    stored = await keys.ensure(offer(*(("stu_1", name) for name in CLASSES)))
    assert await keys.forget("stu_1", ["notes", "record"]) == 2
    found = await keys.get([key.id for key in stored.values()])
    assert [ident for ident, wrapped in found.items() if wrapped] == ["stu_1:identity:1"]
    assert (await keys.held(["stu_1"]))["stu_1"] == [stored["stu_1", "identity"]]
    with pytest.raises(Forgotten, match=r"^stu_1$"):
        await keys.ensure(offer(("stu_1", "notes")))
    assert await keys.ensure(offer(("stu_1", "identity"), ("stu_1", "sud")))


async def test_a_forgotten_subject_never_comes_back(keys: Keys) -> None:
    stored = await keys.ensure(offer(*(("stu_1", name) for name in CLASSES)))
    await keys.ensure(offer(("stu_10", "identity"), ("stu_", "identity")))
    assert await keys.forget("stu_1", []) == 3
    assert await keys.forget("stu_1", []) == 0
    assert set((await keys.get([key.id for key in stored.values()])).values()) == {None}
    assert await keys.held(["stu_1"]) == {"stu_1": None}
    for name in (*CLASSES, "outcome"):
        with pytest.raises(Forgotten, match=r"^stu_1$"):
            await keys.ensure(offer(("stu_1", name)))
    assert (await keys.held(["stu_10"]))["stu_10"]
    assert (await keys.held(["stu_"]))["stu_"]


async def test_who_was_never_known_can_be_forgotten(keys: Keys) -> None:
    assert await keys.forget("stu_9", []) == 0
    with pytest.raises(Forgotten):
        await keys.ensure(offer(("stu_9", "identity")))
    assert await keys.held(["stu_9"]) == {"stu_9": None}


async def test_offering_while_forgetting_leaves_no_key(keys: Keys, place: Place) -> None:
    async with place.open_keys() as others:
        for number in range(ROUNDS):
            subject = f"stu_{number}"
            await asyncio.gather(
                keys.ensure(offer((subject, "identity"))),
                others.forget(subject, []),
                others.ensure(offer((subject, "identity"), (subject, "notes"))),
                return_exceptions=True,
            )
            found = await keys.get([f"{subject}:identity:1", f"{subject}:notes:1"])
            assert set(found.values()) == {None}


async def test_a_tombstone_outlives_a_restart(place: Place) -> None:
    async with place.open_keys() as keys:
        kept = await keys.ensure(offer(("stu_1", "identity"), ("stu_2", "identity")))
        await keys.forget("stu_1", [])
    async with place.open_keys() as again:
        assert await again.held(["stu_1", "stu_2"]) == {
            "stu_1": None,
            "stu_2": [kept["stu_2", "identity"]],
        }
        with pytest.raises(Forgotten):
            await again.ensure(offer(("stu_1", "identity")))
