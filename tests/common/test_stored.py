"""What is stored is read as pydantic reads it, and refused where it refuses."""

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest
from pydantic import ValidationError

import libs.common.stored
from libs.common.messages import REGISTRY, Event, Identity, Message
from libs.common.personal import STORED, Sealed
from libs.common.stored import reader
from tests.contracts import recorded, services

SAMPLES = [entry["sample"] for name in services() for entry in recorded(name).values()]
SEALED = {"$enc": {"a": "SIV", "c": "abc", "f": "name", "k": "stu_1:identity:1"}}
ODD: tuple[Any, ...] = (
    None, True, 0, 1, -1, 1.5, "", "abc", "2025-09-15", "2025-09-15T16:00:00Z", "stu_1:identity:1",
    "s:i:record:1", "GCM", [], ["abc"], {}, {"$enc": None}, {"$enc": SEALED}, SEALED,
    {**SEALED, "more": 1}, {"$enc": {**SEALED["$enc"], "more": 1}},
    {"$enc": {**SEALED["$enc"], "k": "stu_1:record:1"}}, Sealed("stu_1:identity:1", "name", "abc"),
)  # fmt: skip


class Shelf(Message):
    owner: Identity[str | None] = None


class ShelfBuilt(Event):
    shelf: Shelf
    more: tuple[Shelf, ...] = ()


def told(kind: type[Event], words: dict[str, Any], plainly: bool) -> object:
    """The event, or what was said against it."""
    try:
        if plainly:
            return kind.model_validate(words, context=STORED)
        return reader(kind)(words)
    except ValidationError as wrong:
        return str(wrong)


def places(value: Any) -> Iterator[tuple[Any, ...]]:
    """The path of everything within."""
    inner: Any = value.items() if isinstance(value, dict) else ()
    for name, part in enumerate(value) if isinstance(value, list) else inner:
        yield (name,)
        yield from ((name, *path) for path in places(part))


def broken(words: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """With each part replaced by each odd value, and left out."""
    for *path, name in places(words):
        for odd in (*ODD, ...):
            copy = deepcopy(words)
            at: Any = copy
            for step in path:
                at = at[step]
            if odd is ...:
                del at[name]
            else:
                at[name] = odd
            yield copy


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample["type"])
def test_both_ways_of_reading_agree_on_good_and_on_broken_words(sample: dict[str, Any]) -> None:
    kind = REGISTRY[sample["type"]]
    assert reader(kind)(sample["data"]) == kind.model_validate(sample["data"], context=STORED)
    for words in broken(sample["data"]):
        assert told(kind, words, plainly=False) == told(kind, words, plainly=True)


def test_good_words_are_never_read_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Event, "model_validate", None)
    for sample in SAMPLES:
        assert reader(REGISTRY[sample["type"]])(sample["data"])


def test_a_value_left_open_deep_within_is_refused() -> None:
    assert reader(ShelfBuilt)({"shelf": {"owner": SEALED}, "more": [{"owner": None}]})
    for words in ({"shelf": {"owner": "Ana"}}, {"shelf": {}, "more": [{"owner": "Ana"}]}):
        with pytest.raises(ValidationError, match="must be sealed"):
            reader(ShelfBuilt)(words)


def test_a_lenient_reader_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libs.common.stored, "_envelope", lambda *_, **__: {"type": "any"})
    reader.cache_clear()
    try:
        sample = next(one for one in SAMPLES if "$enc" in str(one))
        with pytest.raises(AssertionError):
            test_both_ways_of_reading_agree_on_good_and_on_broken_words(sample)
    finally:
        reader.cache_clear()
