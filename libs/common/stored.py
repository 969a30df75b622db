"""Stored words become events: checked natively, and judged by pydantic's own way where that fails.

In the log a personal field is an envelope and nothing else. For reading, each kind of event has a
second validator that knows only this; it takes half the time of the one that also knows plaintext,
and what it does not take is decided by that one. So it can be quicker, but never more lenient.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

from pydantic_core import CoreSchema, SchemaValidator, core_schema

from libs.common.messages import Event
from libs.common.personal import MARK, STORED, WORDS, Personal, Sealed

Read = Callable[[dict[str, Any]], Event]


@cache
def reader(kind: type[Event]) -> Read:
    """Reads the stored form of such an event. Raises pydantic's ValidationError."""
    # Without its own: a model's ready validator would be taken in place of the schema given here.
    checked = SchemaValidator(_for_envelopes(kind.__pydantic_core_schema__), _use_prebuilt=False)
    natively = checked.validate_python

    def read(words: dict[str, Any]) -> Event:
        try:
            found: Event = natively(words)
        except Exception:  # whatever it is: only the plain way says what is wrong
            return kind.model_validate(words, context=STORED)
        return found

    return read


def _for_envelopes(schema: Any) -> Any:
    """The same schema with every personal field one that holds an envelope."""
    if type(schema) is list:
        return [_for_envelopes(part) for part in schema]
    if type(schema) is not dict:
        return schema
    mark = (schema.get("metadata") or {}).get(MARK)
    if mark is not None:
        return _envelope(mark, or_none=schema["schema"]["type"] == "nullable")
    return {name: _for_envelopes(part) for name, part in schema.items()}


def _envelope(mark: Personal, or_none: bool) -> CoreSchema:
    """As `Sealed.parse` and the mark see it. Whatever is raised here is not what is told."""
    length, within, make = len(WORDS), mark.within, tuple.__new__

    def sealed(value: Any) -> Sealed:
        words = value["$enc"]
        key, label, cipher = words["k"], words["f"], words["c"]
        if (
            len(value) == 1
            and len(words) == length
            and words["a"] == "SIV"
            and type(key) is type(label) is type(cipher) is str
            and within in key
            and key.count(":") == 2
        ):
            return make(Sealed, (key, label, cipher))
        raise ValueError("no envelope")

    one = core_schema.no_info_plain_validator_function(sealed)
    return core_schema.nullable_schema(one) if or_none else one
