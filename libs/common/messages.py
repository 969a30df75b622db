"""What travels: commands, events, states, views, and personal values that are sealed on the way.

A field that says something about a person is declared with its key class: `names: Identity[Names]`.
Such a field holds plaintext only between the edge and `handle`, which seals it before anything is
decided; in decide, evolve, folds, policies, logs and topics it is always a `Sealed` value.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from functools import cache
from typing import Annotated, Any, ClassVar, Generic, NamedTuple, Self, TypeVar, get_args
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    PlainSerializer,
    ValidationInfo,
    model_validator,
)
from pydantic.json_schema import SkipJsonSchema
from pydantic_core import PydanticCustomError

from libs.common.personal import EDGE, KeyClass, Personal, Sealed, hides_personal, marked

TEXT_MAX = 8_000
"""Characters of one free text at most (the commit itself is bounded at 65,535 bytes)."""


T = TypeVar("T")
Identity = Annotated[T | Sealed, Personal(KeyClass.IDENTITY)]
Record = Annotated[T | Sealed, Personal(KeyClass.RECORD)]
Notes = Annotated[T | Sealed, Personal(KeyClass.NOTES)]
Psychotherapy = Annotated[T | Sealed, Personal(KeyClass.PSYCHOTHERAPY)]
Sud = Annotated[T | Sealed, Personal(KeyClass.SUD)]
Outcome = Annotated[T | Sealed, Personal(KeyClass.OUTCOME)]


def _utc(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise PydanticCustomError("timezone", "a time needs its offset")
    return value.astimezone(UTC)


def instant(value: datetime) -> str:
    """The one way a time is written: UTC, always six decimals, so that text order is time order."""
    if value.tzinfo is not UTC:
        value = value.astimezone(UTC)
    return value.isoformat(timespec="microseconds")[:-6] + "Z"


Instant = Annotated[datetime, AfterValidator(_utc), PlainSerializer(instant, when_used="json")]
"""A point in time. Use it for every datetime in an event, a command or a view."""


M = TypeVar("M", bound=BaseModel)


def _made(kind: type[M], values: dict[str, Any]) -> M:
    """A model of values that are known to be good. Which of them were given is not remembered: a
    set for each would be the half of its memory."""
    made = _new(kind)
    _put_values(made, values)
    _put_names(made, _names(kind))
    _put_extra(made, None)
    _put_private(made, None)
    return made


_new = object.__new__
_put_values, _put_names, _put_extra, _put_private = (
    BaseModel.__dict__[slot].__set__
    for slot in (
        "__dict__",
        "__pydantic_fields_set__",
        "__pydantic_extra__",
        "__pydantic_private__",
    )
)
"""The slots' own setters: asked by name, each takes twice as long."""


@cache
def _names(kind: type[BaseModel]) -> set[str]:
    """One set for all instances: they are frozen."""
    return set(kind.model_fields)


@cache
def _defaults(kind: type[BaseModel]) -> dict[str, Any] | None:
    """Values that instances may share; None when one of them has to be made anew each time."""
    fields = kind.model_fields.items()
    if any(field.default_factory is not None for _, field in fields):
        return None
    return {name: field.default for name, field in fields if not field.is_required()}


@cache
def nested(kind: type[BaseModel]) -> tuple[str, ...]:
    """Fields that may hold models; personal ones are opaque."""
    return tuple(
        name
        for name, field in kind.model_fields.items()
        if name not in marked(kind) and _holds(field.annotation, BaseModel)
    )


def _within(model: BaseModel) -> Iterator["Message"]:
    for name in nested(type(model)):
        value = getattr(model, name)
        for inner in value if isinstance(value, tuple | list) else (value,):
            if isinstance(inner, Message):
                yield inner


def _holds(annotation: Any, kind: type) -> bool:
    if isinstance(annotation, type) and issubclass(annotation, kind):
        return True
    return any(_holds(part, kind) for part in get_args(annotation))


class Message(BaseModel):
    """Everything that travels is a frozen value."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        for name, found in cls.model_fields.items():
            if hides_personal(found.annotation):
                raise TypeError(f"{cls.__name__}.{name}: say Record[str | None], mark outermost")

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """As pydantic's, for frozen values without extras or private parts: a third of the time,
        and folds do little else."""
        if deep:
            return super().model_copy(update=update, deep=True)
        return _made(type(self), {**self.__dict__, **(update or {})})

    @classmethod
    def model_construct(  # type: ignore[override]  # the plugin gives the base one of its own
        cls, _fields_set: set[str] | None = None, **values: Any
    ) -> Self:
        """As pydantic's: values are taken as they are, by the fields' own names."""
        defaults = _defaults(cls)
        if defaults is None:
            return super().model_construct(_fields_set, **values)
        return _made(cls, {**defaults, **values})

    def is_sealed(self) -> bool:
        """Whether every personal value in it is sealed, under its key class."""
        values = self.__dict__
        for name, mark in marked(type(self)).items():
            value = values[name]
            if value is not None and not (type(value) is Sealed and mark.sealed(value)):
                return False
        return all(inner.is_sealed() for inner in _within(self))


class Role(StrEnum):
    """What a caller is here; one per token. Each route names the roles it answers."""

    TEACHER = "teacher"
    PSYCHOLOGIST = "school_psychologist"
    COUNSELOR = "counselor"
    SOCIAL_WORKER = "school_social_worker"
    COORDINATOR = "coordinator"
    GUARDIAN = "guardian"
    STUDENT = "student"
    INTAKE = "agency_intake"
    CLINICIAN = "agency_clinician"
    REGISTRAR = "registrar"
    LEADER = "district_leader"
    AUDITOR = "auditor"
    SYSTEM = "system"


class Actor(NamedTuple):
    """Who asks: `sub` = `usr_…` (HMAC of the token's subject), one role, an organisation's ref."""

    sub: str
    role: str
    org: str


class Stamp(NamedTuple):
    """Who asked, and when it was asked by the clock port. Every rule uses this `at`."""

    at: datetime
    actor: Actor


UNSTAMPED = Stamp(datetime(1, 1, 1, tzinfo=UTC), Actor("", "", ""))


class _Fact:
    """The mark of a field that the caller may not fill: see `Fact`."""


FACT = _Fact()
Fact = Annotated[T, FACT, SkipJsonSchema()]
"""A field that `api.py` or a policy fills in from a view of its own. Never taken from a caller, not
part of the request's hash, absent from the API's schema. Needs a default that fails safe."""


class Command(Message):
    """What somebody asks. Imperative; its ordinary fields are the body that the caller sends."""

    stamp: Fact[Stamp] = UNSTAMPED

    facts: ClassVar[frozenset[str]] = frozenset({"stamp"})

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        cls.facts = frozenset(n for n, f in cls.model_fields.items() if FACT in f.metadata)

    @model_validator(mode="before")
    @classmethod
    def _no_facts_from_outside(cls, data: Any, info: ValidationInfo) -> Any:
        if info.context is EDGE and isinstance(data, dict) and cls.facts & data.keys():
            raise PydanticCustomError("extra_forbidden", "a fact is not the caller's to state")
        return data

    def asked(self) -> dict[str, Any]:
        """The caller's own words as JSON values, facts and stamp left out."""
        return self.model_dump(mode="json", exclude=set(self.facts), exclude_defaults=True)

    def stamped(self, stamp: Stamp) -> Self:
        return self.model_copy(update={"stamp": stamp})


def stored_type(name: str) -> str:
    """`ReferralSent` becomes `referral.sent`, `SupportSteppedDown` `support.stepped_down`."""
    first, *rest = re.findall(r"[A-Z][a-z0-9]*", name)
    return f"{first.lower()}.{'_'.join(word.lower() for word in rest)}"


class Event(Message):
    """What has happened, past tense. Readers ignore fields that they do not know.

    The class is registered under its stored type and shape number `v`; both are for ever.
    """

    model_config = ConfigDict(extra="ignore")

    type: ClassVar[str] = ""
    v: ClassVar[int] = 1

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        for name, found in cls.model_fields.items():
            if _holds(found.annotation, float):
                raise TypeError(f"{cls.__name__}.{name}: a float has no canonical form")
        cls.type = stored_type(cls.__name__)
        known = REGISTRY.get(cls.type)
        if known is not None and known.__module__ != cls.__module__:
            raise TypeError(f"{cls.type} is declared in {known.__module__} already")
        REGISTRY[cls.type] = cls


REGISTRY: dict[str, type[Event]] = {}
"""Every event type this process has imported, by stored type."""

Upcast = Callable[[dict[str, Any]], dict[str, Any]]
UPCASTERS: dict[tuple[str, int], Upcast] = {}
"""(stored type, old v) -> a pure step to the data of v + 1. Filled by a service's events module."""


class State(Message):
    """A situation that a person would name; what a decider remembers."""


class View(Message):
    """A read model's document. `None` from a fold deletes it."""

    model_config = ConfigDict(extra="ignore")


class Position(NamedTuple):
    """A commit's place: printed `referrals:07:42`."""

    log: str
    shard: int
    seq: int

    def __str__(self) -> str:
        return f"{self.log}:{self.shard:02}:{self.seq}"

    @classmethod
    def parse(cls, text: str) -> "Position":
        """Raises ValueError when the text is no position."""
        found = re.fullmatch(r"([a-z]{1,32}):(\d{2}):(\d{1,12})", text)
        if found is None:
            raise ValueError("not a position")
        return cls(found[1], int(found[2]), int(found[3]))


class Dep(NamedTuple):
    """What a decision rested on from elsewhere: a position, and the `at` its commit carried."""

    position: Position
    at: datetime


E_co = TypeVar("E_co", bound=Event, covariant=True)


class Recorded(NamedTuple, Generic[E_co]):
    """An event as the log has it. `version` is the event's place in its stream, from 1."""

    event: E_co
    at: datetime
    stream: str
    version: int
    position: Position
    actor: Actor
    command: UUID
