"""Random messages, drawn from the types of their fields.

A pool named for a field (`grant`, or `Terms.until` where one model differs) wins over its type, so
that independent draws meet on the same few references and days.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import Enum
from random import Random
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from libs.common.personal import Personal, Sealed

M = TypeVar("M", bound=BaseModel)
TRIES_MAX = 50
DAYS = (-400, -1, 0, 0, 1, 30, 200)
WORDS = ("one", "two")


@dataclass(frozen=True)
class Draw:
    """Draws at one instant, about one student. Sealed values no key opens stand for plaintext."""

    chance: Random
    at: datetime
    student: str
    pools: Mapping[str, Sequence[Any]]
    none_percent: int = 30

    def message(self, kind: type[M]) -> M:
        for _ in range(TRIES_MAX):
            values = {
                name: self._field(kind, name, field)
                for name, field in kind.model_fields.items()
                if name != "stamp"
            }
            try:
                return kind.model_validate(values)
            except ValidationError as wrong:
                last = wrong
        raise AssertionError(f"{kind.__name__} cannot be drawn: {last.errors()}")

    def _field(self, kind: type[BaseModel], name: str, field: FieldInfo) -> Any:
        pool = self.pools.get(f"{kind.__name__}.{name}", self.pools.get(name))
        mark = next((m for m in field.metadata if isinstance(m, Personal)), None)
        if mark is not None:
            if NoneType in get_args(field.annotation) and self._often(self.none_percent):
                return None
            key = f"{self.student}:{mark.key_class}:1"
            return Sealed(key, name, self.chance.choice(WORDS))
        if pool is not None:
            return self.chance.choice(pool)
        return self._value(field.annotation)

    def _value(self, kind: Any) -> Any:
        origin, args = get_origin(kind), get_args(kind)
        if origin is Annotated:
            return self._value(args[0])
        if origin in (Union, UnionType):
            if NoneType in args and self._often(self.none_percent):
                return None
            return self._value(self.chance.choice([a for a in args if a is not NoneType]))
        if origin is Literal:
            return self.chance.choice(args)
        if origin in (tuple, frozenset):
            return origin(self._value(args[0]) for _ in range(self.chance.randint(1, 3)))
        return self._plain(kind)

    def _plain(self, kind: type) -> Any:
        if issubclass(kind, BaseModel):
            return self.message(kind)
        if issubclass(kind, Enum):
            return self.chance.choice(list(kind))
        if kind is bool:
            return self._often(50)
        if kind is int:
            return self.chance.randint(1, 3)
        if kind is datetime:
            return self.at + timedelta(days=self.chance.choice(DAYS))
        if kind is date:
            return self.at.date() + timedelta(days=self.chance.choice(DAYS))
        if kind is str:
            return self.chance.choice(WORDS)
        raise TypeError(f"no way to draw a {kind}")

    def _often(self, percent: int) -> bool:
        return self.chance.randint(1, 100) <= percent
