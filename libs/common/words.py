"""What JSON says of a value that was made by our own models: pydantic's words, in half the time.

A model whose fields are all of kinds listed here is written without asking pydantic; any other goes
through `model_dump`. A test compares both over every event and view.
"""

from datetime import date, datetime
from enum import Enum
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import orjson
from pydantic import BaseModel, PlainSerializer

from libs.common.messages import Command, instant
from libs.common.personal import Sealed, marked

SIMPLE = frozenset({str, int, bool, NoneType, date, datetime, Sealed})
HOLDERS = frozenset({Union, UnionType, tuple, frozenset})
OPTIONS = orjson.OPT_SORT_KEYS | orjson.OPT_PASSTHROUGH_DATETIME


def canonical(value: Any) -> bytes:
    """Raises TypeError for a float: its text differs between languages."""
    _no_floats(value)
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def _no_floats(value: Any) -> None:
    if isinstance(value, dict):
        for inner in value.values():
            _no_floats(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            _no_floats(inner)
    elif isinstance(value, float):
        raise TypeError("a float has no canonical form")


def present(model: BaseModel) -> bytes:
    """Canonical JSON of what is there: fields that hold None are left out, within it too."""
    return orjson.dumps(_present(model), default=_said_present, option=OPTIONS)


def fields(model: BaseModel) -> dict[str, Any]:
    """A model's fields, each as JSON or as what `written` makes JSON of."""
    return model.__dict__ if direct(type(model)) else model.model_dump(mode="json")


def written(fields: dict[str, Any]) -> bytes:
    """JSON of a document that holds such fields."""
    return orjson.dumps(fields, default=_said, option=orjson.OPT_PASSTHROUGH_DATETIME)


def asked(command: Command) -> bytes:
    """Canonical JSON of the caller's own words: without facts, and without what is as it would be
    anyway."""
    if not direct(type(command)):
        return canonical(command.asked())
    return orjson.dumps(_changed(command), default=_said_changed, option=OPTIONS)


@cache
def direct(kind: type[BaseModel]) -> bool:
    """Whether every field, but facts, is of a kind that is written here as pydantic writes it."""
    return all(
        name in _facts(kind)
        or name in marked(kind)
        or (_plain(field.metadata) and _simple(field.annotation))
        for name, field in kind.model_fields.items()
    )


def _facts(kind: type[BaseModel]) -> frozenset[str]:
    return kind.facts if issubclass(kind, Command) else frozenset()


@cache
def _usual(kind: type[BaseModel]) -> dict[str, Any]:
    """What a caller may give -> what it is otherwise."""
    return {
        name: field.get_default(call_default_factory=True)
        for name, field in kind.model_fields.items()
        if name not in _facts(kind)
    }


def _simple(kind: Any) -> bool:
    origin = get_origin(kind)
    if origin is Annotated:
        return _simple(get_args(kind)[0])
    if origin is Literal or kind is Ellipsis or kind is Any:  # what may be anything is JSON already
        return True
    if origin in HOLDERS or (origin is dict and get_args(kind)[0] is str):
        return all(map(_simple, get_args(kind)))
    if not isinstance(kind, type):
        return False
    if issubclass(kind, BaseModel):
        return direct(kind)
    return kind in SIMPLE or issubclass(kind, Enum)


def _plain(metadata: list[Any]) -> bool:
    """The only serializers that are known here: times, and sets that are sorted."""
    known = ("instant", "_words")
    return all(one.func.__name__ in known for one in metadata if isinstance(one, PlainSerializer))


def _present(model: BaseModel) -> dict[str, Any]:
    if not direct(type(model)):
        return model.model_dump(mode="json", exclude_none=True)
    return {name: value for name, value in model.__dict__.items() if value is not None}


def _changed(model: BaseModel) -> dict[str, Any]:
    values = model.__dict__
    return {
        name: values[name] for name, usual in _usual(type(model)).items() if values[name] != usual
    }


def _said_changed(value: Any) -> Any:
    return _changed(value) if isinstance(value, BaseModel) else _said(value)


def _said_present(value: Any) -> Any:
    return _present(value) if isinstance(value, BaseModel) else _said(value)


def _said(value: Any) -> Any:
    if isinstance(value, Sealed):
        return value.envelope()
    if isinstance(value, datetime):
        return instant(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, BaseModel):
        return value.__dict__
    raise TypeError("no JSON is known for it")
