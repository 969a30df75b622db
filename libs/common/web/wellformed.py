"""Whether a caller's JSON is what the published schema says; findings name places, never values.

Pydantic alone is too forgiving at the door: it takes `false` for 0, "47" for 47 and 0 for a date.
So each value is held to the types of its own JSON schema first, and to the model's rules after.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Generic, NamedTuple, TypeVar
from urllib.parse import parse_qsl

import orjson
from pydantic import BaseModel, ValidationError

from libs.common.errors import Malformed
from libs.common.personal import EDGE

FINDINGS_MAX = 32
PARAMETERS_MAX = 64
INTEGER_MAX = 2**53 - 1
"""Beyond this, JSON readers disagree about what number was meant."""

M = TypeVar("M", bound=BaseModel)
Place = tuple[str | int, ...]
Check = Callable[[Any, Place, "list[Finding]"], None]

WHOLE = re.compile(r"-?(0|[1-9][0-9]{0,15})")
FORMATS = {
    "date": re.compile(r"\d{4}-\d\d-\d\d"),
    "date-time": re.compile(
        r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII
    ),
    "uuid": re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"),
}


class Finding(NamedTuple):
    """What is wrong where; the place is made of the schema's own names only."""

    place: Place
    code: str


class Unfit(Malformed):
    """Not what the schema says (422): each finding's pointer and code."""

    def __init__(self, findings: "list[tuple[str, str]]") -> None:
        super().__init__("malformed", status=422)
        self.findings = findings


class Shape(Generic[M]):
    """A model at the door: what it takes from a caller, as JSON or as a query string."""

    def __init__(self, model: type[M]) -> None:
        self.model = model
        whole = model.model_json_schema()
        self._defs: Mapping[str, Any] = whole.get("$defs", {})
        self._refs: dict[str, Check | None] = {}
        self._check = self._compile(whole)
        self._names = _names(whole)
        schema = _resolved(whole, self._defs)
        self._types = {
            name: frozenset(_types(inner, self._defs))
            for name, inner in schema.get("properties", {}).items()
        }
        self._lists = {name for name, types in self._types.items() if "array" in types}
        self.optional = not schema.get("required")

    def from_json(self, raw: bytes) -> M:
        """Raises Unfit."""
        try:
            value = orjson.loads(raw) if raw or not self.optional else {}
        except orjson.JSONDecodeError:
            raise Unfit([("#", "malformed-json")]) from None
        return self._model(value, _pointer, EDGE)

    def from_query(self, query: bytes) -> M:
        """A name that is given twice is a list; every value is text. Raises Unfit."""
        try:
            pairs = parse_qsl(
                query.decode("ascii"), True, errors="strict", max_num_fields=PARAMETERS_MAX
            )
        except ValueError:
            raise Unfit([("?", "malformed-query")]) from None
        value: dict[str, Any] = {}
        for name, text in pairs:
            item = _said(text, self._types.get(name, frozenset()))
            if name in self._lists:
                value.setdefault(name, []).append(item)
            elif name in value:
                raise Unfit([(_parameter((name,) if name in self._names else ()), "repeated")])
            else:
                value[name] = item
        return self._model(value, _parameter, None)

    def _model(self, value: Any, written: Callable[[Place], str], context: Any) -> M:
        findings: list[Finding] = []
        try:
            if self._check is not None:
                self._check(value, (), findings)
            if findings:
                raise Unfit([(written(place), code) for place, code in findings[:FINDINGS_MAX]])
            return self.model.model_validate(value, context=context)
        except ValidationError as invalid:
            raise Unfit(self._found(invalid, written)) from None
        except (OverflowError, RecursionError):
            raise Unfit([(written(()), "out-of-range")]) from None

    def _found(
        self, invalid: ValidationError, written: Callable[[Place], str]
    ) -> list[tuple[str, str]]:
        """A key that the caller invented is not told back: the place ends before it."""
        found = []
        errors = invalid.errors(include_url=False, include_context=False, include_input=False)
        for error in errors[:FINDINGS_MAX]:
            place: Place = ()
            for step in error["loc"]:
                if isinstance(step, str) and step not in self._names:
                    break
                place = (*place, step)
            code = "unknown-field" if error["type"] == "extra_forbidden" else error["type"]
            found.append((written(place), code.replace("_", "-")))
        return found

    def _compile(self, schema: Mapping[str, Any]) -> Check | None:
        """The check of one schema node; None when it says nothing about types."""
        if "$ref" in schema:
            return self._compile_ref(schema["$ref"].rpartition("/")[2])
        options = schema.get("anyOf") or schema.get("oneOf")
        if options:
            return _any_of([self._compile(option) for option in options])
        match schema.get("type"):
            case "object":
                return self._compile_object(schema)
            case "array":
                each = self._compile(schema.get("items") or {})
                return _array(each, [self._compile(s) for s in schema.get("prefixItems", ())])
            case "string":
                return _string(FORMATS.get(schema.get("format", "")))
            case "integer":
                return _integer
            case "number" | "boolean" | "null" as name:
                return _typed(*TYPES[name])
            case _:
                return None

    def _compile_ref(self, name: str) -> Check:
        if name not in self._refs:
            self._refs[name] = None
            self._refs[name] = self._compile(self._defs[name])

        def check(value: Any, place: Place, found: list[Finding]) -> None:
            inner = self._refs[name]
            if inner is not None:
                inner(value, place, found)

        return check

    def _compile_object(self, schema: Mapping[str, Any]) -> Check:
        inner = {name: self._compile(s) for name, s in schema.get("properties", {}).items()}
        known = [(name, check) for name, check in inner.items() if check is not None]
        other = schema.get("additionalProperties")
        rest = self._compile(other) if isinstance(other, dict) else None

        def check(value: Any, place: Place, found: list[Finding]) -> None:
            if type(value) is not dict:
                found.append(Finding(place, "not-an-object"))
                return
            for name, is_fit in known:
                if name in value:
                    is_fit(value[name], (*place, name), found)
            if rest is not None:
                for name in value.keys() - inner.keys():
                    rest(value[name], place, found)

        return check


TYPES: dict[str, tuple[str, tuple[type, ...]]] = {
    "number": ("not-a-number", (int, float)),
    "boolean": ("not-a-boolean", (bool,)),
    "null": ("not-null", (type(None),)),
}


def _typed(code: str, types: tuple[type, ...]) -> Check:
    def check(value: Any, place: Place, found: list[Finding]) -> None:
        if type(value) not in types:
            found.append(Finding(place, code))

    return check


def _integer(value: Any, place: Place, found: list[Finding]) -> None:
    """JSON has one kind of number: 47.0 is an integer, `true` is not."""
    whole = type(value) is int or (type(value) is float and value.is_integer())
    if not whole or not -INTEGER_MAX <= value <= INTEGER_MAX:
        found.append(Finding(place, "not-an-integer"))


def _string(pattern: re.Pattern[str] | None) -> Check:
    def check(value: Any, place: Place, found: list[Finding]) -> None:
        if type(value) is not str:
            found.append(Finding(place, "not-a-text"))
        elif pattern is not None and not pattern.fullmatch(value):
            found.append(Finding(place, "wrong-format"))

    return check


def _array(each: Check | None, first: list[Check | None]) -> Check:
    def check(value: Any, place: Place, found: list[Finding]) -> None:
        if type(value) is not list:
            found.append(Finding(place, "not-a-list"))
            return
        for number, item in enumerate(value):
            is_fit = first[number] if number < len(first) else each
            if is_fit is not None:
                is_fit(item, (*place, number), found)

    return check


def _any_of(options: list[Check | None]) -> Check | None:
    checks = [option for option in options if option is not None]
    if len(checks) < len(options):
        return None

    def check(value: Any, place: Place, found: list[Finding]) -> None:
        tries: list[list[Finding]] = []
        for option in checks:
            wrong: list[Finding] = []
            option(value, place, wrong)
            if not wrong:
                return
            tries.append(wrong)
        deepest = max(tries, key=lambda wrong: len(wrong[0].place))
        is_deeper = len(deepest[0].place) > len(place)
        found.extend(deepest if is_deeper else [Finding(place, "wrong-type")])

    return check


def _names(schema: Any) -> set[str]:
    """Every property name that a schema declares, at any depth."""
    if isinstance(schema, list):
        return set().union(*map(_names, schema))
    if not isinstance(schema, dict):
        return set()
    own = schema.get("properties", {})
    return set(own).union(*map(_names, own.values()), *map(_names, schema.values()))


def _resolved(schema: Mapping[str, Any], defs: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = (
        defs[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
    )
    return found


def _types(schema: Mapping[str, Any], defs: Mapping[str, Any]) -> set[str]:
    """The JSON types that a parameter may have; of a list also its items'."""
    schema = _resolved(schema, defs)
    inner = [*schema.get("anyOf", ()), *([schema["items"]] if "items" in schema else ())]
    return {schema.get("type", "")}.union(*(_types(option, defs) for option in inner))


def _said(text: str, types: frozenset[str]) -> Any:
    """A parameter is text; this is the JSON value that it says, when one of these types fits."""
    if "boolean" in types and text in ("true", "false"):
        return text == "true"
    if "integer" in types and WHOLE.fullmatch(text):
        return int(text)
    return text


def _pointer(place: Place) -> str:
    """A JSON pointer as a URI fragment; our names need no escapes."""
    return "#" + "".join(f"/{step}" for step in place)


def _parameter(place: Place) -> str:
    return f"?{place[0]}" if place else "?"
