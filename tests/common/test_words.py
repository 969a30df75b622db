"""What is written without pydantic is what pydantic writes."""

from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Annotated, Any

import orjson
import pytest
from pydantic import BaseModel, Field, PlainSerializer

from libs.common.commit import decode_event
from libs.common.messages import Identity, Instant, Message, View
from libs.common.personal import Sealed
from libs.common.words import direct, fields, present, written
from tests.contracts import recorded, services

SAMPLES = [entry["sample"] for name in services() for entry in recorded(name).values()]
SEALED = Sealed("stu_1:identity:1", "name", "Zm9v")


class Colour(StrEnum):
    RED = "red"


class Bead(Message):
    colour: Colour | None = None
    owner: Identity[str | None] = None


class String(View):
    beads: tuple[Bead, ...] = ()
    named: dict[str, Bead] = Field(default_factory=dict)
    at: Instant = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)
    day: date = date(2026, 1, 2)
    nothing: str | None = None


class Odd(View):
    half: Annotated[int, PlainSerializer(lambda value: value // 2)] = 8


def by_pydantic(model: BaseModel) -> bytes:
    dumped = model.model_dump(mode="json", exclude_none=True)
    return orjson.dumps(dumped, option=orjson.OPT_SORT_KEYS)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample["type"])
def test_an_event_is_written_as_pydantic_writes_it(sample: dict[str, Any]) -> None:
    event = decode_event(sample["type"], sample["v"], sample["data"])
    assert event is not None
    assert direct(type(event))
    assert present(event) == by_pydantic(event)


@pytest.mark.parametrize(
    "model",
    [
        String(),
        String(beads=(Bead(colour=Colour.RED, owner=SEALED), Bead()), named={"b": Bead()}),
        Odd(),
    ],
    ids=["empty", "full", "odd"],
)
def test_a_view_is_said_as_pydantic_says_it(model: BaseModel) -> None:
    assert orjson.loads(written(fields(model))) == model.model_dump(mode="json")
    assert present(model) == by_pydantic(model)


def test_what_has_a_serializer_of_its_own_is_left_to_pydantic() -> None:
    assert direct(String)
    assert not direct(Odd)
