"""What services tell each other, as it was ever told: schemas that grow, samples that stay.

`<service>.json` holds for each stored type and shape number its JSON schema and one sample commit
entry. A contract may grow, never shrink: `make contracts` writes additions and refuses the rest.
"""

from datetime import UTC, date, datetime
from importlib import import_module
from pathlib import Path
from random import Random
from typing import Any

import orjson

from libs.common.commit import encode_event
from libs.common.messages import REGISTRY, Event
from libs.common.operators import upkeep
from libs.common.personal import Personal
from tests.drawing import Draw

UPKEEP = upkeep.__name__
"""What operators do is told in every service's log."""
HERE = Path(__file__).parent
SERVICES = HERE.parent.parent / "services"
AT = datetime(2025, 11, 13, 15, 0, tzinfo=UTC)
POOLS: dict[str, list[Any]] = {
    "shown": ["ab" * 32],
    "starts": [date(2025, 11, 12)],
    "until": [date(2026, 6, 30)],
    "counts": [{"taken": 3}],
    "receiver": ["agy_one"],
    "recipient": ["agy_one"],
    "holder": ["district"],
    "student": ["stu_1"],
    "school": ["sch_one"],
}
"""What every sample says in these fields; the others are drawn by type."""
UPPER = ("maxLength", "maximum", "maxItems", "exclusiveMaximum")
LOWER = ("minLength", "minimum", "minItems", "exclusiveMinimum")
SAME = ("type", "format", "const", "pattern", "x-personal")
Contract = dict[str, dict[str, Any]]
"""`consent.granted v1` -> {"schema": …, "sample": …}."""


class Shrunk(Exception):
    """Something that was told once would not be understood any more."""


def services() -> list[str]:
    """Whoever says what has happened; importing a service's events registers them."""
    rooms = [*SERVICES.glob("*/events.py"), *SERVICES.glob("*/events/")]
    found = sorted(path.parent.name for path in rooms)
    for name in found:
        import_module(f"services.{name}.events")
    return [*found, "upkeep"]


def declared(service: str) -> dict[str, type[Event]]:
    room = f"{UPKEEP}." if service == "upkeep" else f"services.{service}.events."
    return {f"{e.type} v{e.v}": e for e in REGISTRY.values() if f"{e.__module__}.".startswith(room)}


def recorded(service: str) -> Contract:
    path = HERE / f"{service}.json"
    return orjson.loads(path.read_bytes()) if path.exists() else {}


def schema_of(event: type[Event]) -> dict[str, Any]:
    """As the log has it: references written out, personal fields sealed under their key class."""
    whole = event.model_json_schema(mode="validation")
    schema: dict[str, Any] = _inlined(whole, whole.get("$defs", {}))
    for name, field in event.model_fields.items():
        mark = next((m for m in field.metadata if isinstance(m, Personal)), None)
        if mark is not None:
            plain = schema["properties"][name]
            schema["properties"][name] = {"x-personal": mark.key_class.value, "x-plain": plain}
    return schema


def _inlined(part: Any, defs: dict[str, Any]) -> Any:
    if isinstance(part, list):
        return [_inlined(inner, defs) for inner in part]
    if not isinstance(part, dict):
        return part
    if "$ref" in part:
        return _inlined(defs[part["$ref"].rpartition("/")[2]], defs)
    dull = {"$defs", "title", "description", "default"}
    return {
        name: {n: _inlined(p, defs) for n, p in inner.items()}
        if name == "properties"
        else _inlined(inner, defs)
        for name, inner in part.items()
        if name not in dull
    }


def sample_of(event: type[Event]) -> dict[str, Any]:
    """One entry of a commit, the same on every machine; every field filled."""
    draw = Draw(Random(event.type), AT, "stu_1", POOLS, none_percent=0)
    entry: dict[str, Any] = orjson.loads(encode_event(draw.message(event)))
    return entry


def grown(service: str) -> Contract:
    """What is recorded with all that is new. Raises Shrunk."""
    contract = recorded(service)
    now = declared(service)
    lost = [f"{name} is gone" for name in contract if not _known(name)]
    for name, event in now.items():
        schema = schema_of(event)
        if name in contract:
            lost += shrinkage(contract[name]["schema"], schema, name)
        sample = contract.get(name, {}).get("sample") or sample_of(event)
        contract[name] = {"sample": sample, "schema": schema}
    if lost:
        raise Shrunk("\n".join(lost))
    return dict(sorted(contract.items()))


def _known(name: str) -> bool:
    """A shape that was recorded is known while its type is, at that number or a later one."""
    stored, _, v = name.partition(" v")
    return stored in REGISTRY and REGISTRY[stored].v >= int(v)


def shrinkage(old: dict[str, Any], new: dict[str, Any], where: str) -> list[str]:
    """Everything in which `new` understands less than `old`, or asks for more."""
    lost = [f"{where}: {key} changed" for key in SAME if old.get(key) != new.get(key)]
    lost += [
        f"{where}: {key} is tighter"
        for keys, sign in ((UPPER, 1), (LOWER, -1))
        for key in keys
        if key in new and (key not in old or sign * new[key] < sign * old[key])
    ]
    lost += [f"{where}: {v} is no longer said" for v in old.get("enum", ()) if v not in _enum(new)]
    had, has = old.get("properties", {}), new.get("properties", {})
    lost += [f"{where}.{name}: gone" for name in had.keys() - has.keys()]
    must = set(new.get("required", ())) - set(old.get("required", ()))
    lost += [f"{where}.{name}: asked for, and was not before" for name in must]
    for name in had.keys() & has.keys():
        lost += shrinkage(had[name], has[name], f"{where}.{name}")
    for key in ("items", "additionalProperties", "x-plain"):
        if isinstance(old.get(key), dict):
            lost += shrinkage(old[key], new.get(key) or {}, f"{where}[]")
    for kind in old.get("anyOf", ()):
        kinds = new.get("anyOf", (new,))
        if all(shrinkage(kind, other, where) for other in kinds):
            lost.append(f"{where}: one of its types is gone")
    return lost


def _enum(schema: dict[str, Any]) -> list[Any]:
    return [*schema.get("enum", ()), *([schema["const"]] if "const" in schema else ())]


def written(contract: Contract) -> bytes:
    return orjson.dumps(contract, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS) + b"\n"
