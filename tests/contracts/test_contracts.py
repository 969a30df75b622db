"""A contract may grow, never shrink, and whatever was told once is understood for ever."""

from copy import deepcopy
from typing import Any, ClassVar

import orjson
import pytest

from libs.common.commit import decode_event, encode_event
from libs.common.messages import Event, Identity, Message, Notes
from libs.common.personal import Sealed
from tests.contracts import declared, grown, recorded, schema_of, services, shrinkage, written

SERVICES = services()
ENTRIES = [(service, name) for service in SERVICES for name in recorded(service)]


class Shell(Message):
    colour: str
    size: int | None = None


class OysterOpened(Event):
    told: ClassVar[str] = "for the tests of contracts alone"

    oyster: str
    by: Identity[str]
    words: Notes[str | None] = None
    shell: Shell | None = None


@pytest.mark.parametrize("service", SERVICES)
def test_the_contract_on_record_is_the_contract_of_the_code(service: str) -> None:
    assert written(recorded(service)) == written(grown(service)), "`make contracts` writes it"


@pytest.mark.parametrize("service", SERVICES)
def test_every_event_has_a_sample(service: str) -> None:
    assert declared(service).keys() <= recorded(service).keys()
    assert all(entry["sample"]["data"] for entry in recorded(service).values())


@pytest.mark.parametrize(("service", "name"), ENTRIES)
def test_what_was_told_once_is_understood(service: str, name: str) -> None:
    sample = recorded(service)[name]["sample"]
    event = decode_event(sample["type"], sample["v"], sample["data"])
    assert event is not None
    if sample["v"] == event.v:
        again: dict[str, Any] = orjson.loads(encode_event(event))["data"]
        assert {field: again[field] for field in sample["data"]} == sample["data"]


OLD = schema_of(OysterOpened)
OLD["properties"]["oyster"] |= {"maxLength": 10, "minLength": 2}
OLD["properties"]["kind"] = {"type": "string", "enum": ["rock", "pearl"]}


def changed(place: str, **to: Any) -> dict[str, Any]:
    """The contract with one place of it set to something else; None takes it away."""
    new = deepcopy(OLD)
    part: Any = new
    for step in filter(None, place.split("/")):
        part = part[step]
    for name, value in to.items():
        if value is None:
            del part[name.replace("__", "-")]
        else:
            part[name.replace("__", "-")] = value
    return new


SHRUNK = {
    "a field gone": changed("properties", oyster=None),
    "a field renamed": changed("properties", oyster=None, mollusc={"type": "string"}),
    "a field retyped": changed("properties/oyster", type="integer"),
    "a field left unsealed": changed("properties", by={"type": "string"}),
    "a field sealed as something else": changed("properties/by", x__personal="notes"),
    "a sealed field retyped": changed("properties/by", x__plain={"type": "integer"}),
    "a new field that is asked for": changed("", required=["oyster", "by", "tide"]),
    "an optional field asked for": changed("", required=["oyster", "by", "shell"]),
    "a value gone": changed("properties/kind", enum=["rock"]),
    "a longest length cut": changed("properties/oyster", maxLength=9),
    "a shortest length raised": changed("properties/oyster", minLength=3),
    "a bound that was not there": changed("properties/kind", maxLength=20),
    "null no longer said": changed("properties/shell", anyOf=[{"type": "string"}]),
}
GROWN = {
    "nothing": OLD,
    "a new field that may be left out": changed("properties", tide={"type": "string"}),
    "a new value": changed("properties/kind", enum=["rock", "pearl", "edible"]),
    "a looser bound": changed("properties/oyster", maxLength=20, minLength=None),
    "a field no longer asked for": changed("", required=["by"]),
}


@pytest.mark.parametrize("what", SHRUNK)
def test_a_contract_that_shrank_is_found(what: str) -> None:
    assert shrinkage(OLD, SHRUNK[what], "oyster.opened v1")


@pytest.mark.parametrize("what", GROWN)
def test_a_contract_may_grow(what: str) -> None:
    assert shrinkage(OLD, GROWN[what], "oyster.opened v1") == []


def test_a_nested_field_that_is_gone_is_found() -> None:
    new = deepcopy(OLD)
    nested = next(k for k in new["properties"]["shell"]["anyOf"] if k["type"] == "object")
    del nested["properties"]["colour"]
    assert shrinkage(OLD, new, "oyster.opened v1")


def test_a_personal_field_is_described_as_sealed() -> None:
    assert OLD["properties"]["by"] == {"x-personal": "identity", "x-plain": {"type": "string"}}
    stored = OysterOpened(oyster="o1", by=Sealed("stu_1:identity:1", "by", "abc"))
    assert b"$enc" in encode_event(stored)
