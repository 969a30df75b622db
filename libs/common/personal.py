"""Personal values: the mark on a field that says something about a person, and its sealed form.

Such a field holds plaintext only between the edge and `handle`; read `messages` for how it is used.
"""

from enum import StrEnum
from functools import cache
from typing import Any, NamedTuple, Union, get_args

from pydantic import BaseModel, GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationInfo
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

EDGE = {"from": "edge"}
"""Context for a caller's words: personal fields must be plaintext, facts must be absent."""
STORED = {"from": "stored"}
"""Context for the log's words: personal fields must be sealed, under the right key class."""


MARK = "personal"
"""In the metadata of a personal field's schema: its mark."""
WORDS = ("a", "c", "f", "k")
"""Of an envelope: algorithm, cipher, label (the field), key."""


class KeyClass(StrEnum):
    """Which of a student's keys seals a field. Erasing can be ordered class by class."""

    IDENTITY = "identity"
    RECORD = "record"
    NOTES = "notes"
    PSYCHOTHERAPY = "psychotherapy"
    SUD = "sud"
    OUTCOME = "outcome"


class Sealed(NamedTuple):
    """A personal value that only a key opens. Equal value, student, class and label: equal bytes.

    `key` is the key's id `<student>:<class>:<n>`, `label` the field it was sealed as, `cipher` the
    AES-SIV bytes in unpadded base64url. Key, label and algorithm are authenticated with it.
    """

    key: str
    label: str
    cipher: str

    @property
    def key_class(self) -> str:
        return self.key.split(":")[1]

    def envelope(self) -> dict[str, dict[str, str]]:
        return {"$enc": {"a": "SIV", "c": self.cipher, "f": self.label, "k": self.key}}

    @classmethod
    def parse(cls, value: object) -> "Sealed | None":
        """The sealed value that an envelope holds, or None when this is no envelope."""
        if isinstance(value, Sealed):
            return value
        if not isinstance(value, dict) or len(value) != 1:
            return None
        inner = value.get("$enc")
        if not isinstance(inner, dict) or len(inner) != len(WORDS):
            return None
        algorithm, cipher, label, key = map(inner.get, WORDS)
        if algorithm != "SIV" or not (type(cipher) is type(label) is type(key) is str):
            return None
        return cls(key, label, cipher) if key.count(":") == 2 else None


class Personal:
    """The mark on a field that says something about a person; built by the aliases below."""

    def __init__(self, key_class: KeyClass) -> None:
        self.key_class = key_class
        self.within = f":{key_class.value}:"

    def sealed(self, value: Sealed) -> bool:
        """Whether it is sealed under this key class; no other part of a key's id has colons."""
        return self.within in value.key

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """Schema of the plaintext type, wrapped: an envelope passes where the context allows it."""
        kinds = tuple(kind for kind in get_args(source) if kind is not Sealed)
        plain = handler.generate_schema(Union[kinds])  # noqa: UP007 - made at run time

        def check(
            value: Any, inner: core_schema.ValidatorFunctionWrapHandler, info: ValidationInfo
        ) -> Any:
            if info.context is EDGE:
                return inner(value)
            sealed = Sealed.parse(value)
            if sealed is not None:
                if not self.sealed(sealed):
                    raise PydanticCustomError("key_class", "sealed under another key class")
                return sealed
            if info.context is STORED and value is not None:
                raise PydanticCustomError("not_sealed", "a personal field must be sealed")
            return inner(value)

        def dump(value: Any, inner: core_schema.SerializerFunctionWrapHandler) -> Any:
            return value.envelope() if isinstance(value, Sealed) else inner(value)

        return core_schema.with_info_wrap_validator_function(
            check,
            plain,
            metadata={MARK: self},
            serialization=core_schema.wrap_serializer_function_ser_schema(dump, schema=plain),
        )

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        plain = handler(schema["schema"])
        if handler.mode == "validation":
            return plain
        return {"anyOf": [plain, {"const": "Erased", "type": "string"}]}


@cache
def marked(kind: type[BaseModel]) -> dict[str, Personal]:
    """The personal fields of a model by name."""
    return {
        name: mark
        for name, field in kind.model_fields.items()
        for mark in field.metadata
        if isinstance(mark, Personal)
    }


def hides_personal(annotation: Any) -> bool:
    """A mark within a union or a list would be overlooked, and the value left unsealed."""
    parts = get_args(annotation)
    return any(isinstance(part, Personal) or hides_personal(part) for part in parts)
