"""How a no looks over HTTP: a problem document (RFC 9457) with a stable code, never a value."""

import re
from typing import Any, NamedTuple

import orjson

from libs.common.errors import (
    Conflict,
    Forbidden,
    Forgotten,
    KeyReused,
    Malformed,
    Missing,
    Refused,
    TooLarge,
    Unauthorized,
    Unavailable,
    WrongVersion,
)
from libs.common.web.wellformed import Unfit

PROBLEM_TYPE = b"application/problem+json"

TITLES = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    409: "Conflict",
    412: "Precondition Failed",
    413: "Content Too Large",
    422: "Unprocessable Content",
    500: "Internal Server Error",
    503: "Service Unavailable",
}

SCHEMA: dict[str, Any] = {
    "title": "Problem",
    "type": "object",
    "description": "Why the answer is no. `code` is stable; `detail` is for people.",
    "required": ["title", "status", "code"],
    "additionalProperties": False,
    "properties": {
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string", "pattern": "^[a-z0-9.-]+$"},
        "detail": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["pointer", "code"],
                "additionalProperties": False,
                "properties": {
                    "pointer": {
                        "type": "string",
                        "description": "Into the body (#/a/b), a parameter (?a) or a header's name",
                    },
                    "code": {"type": "string"},
                },
            },
        },
    },
}

Header = tuple[bytes, bytes]


class Problem(NamedTuple):
    status: int
    code: str
    detail: str = ""
    errors: tuple[tuple[str, str], ...] = ()
    headers: tuple[Header, ...] = ()

    def body(self) -> bytes:
        content: dict[str, Any] = {
            "title": TITLES.get(self.status, "Error"),
            "status": self.status,
            "code": self.code,
        }
        if self.detail:
            content["detail"] = self.detail
        if self.errors:
            content["errors"] = [{"pointer": place, "code": code} for place, code in self.errors]
        return orjson.dumps(content)


def problem_of(error: BaseException) -> Problem:
    """Every exception has its one answer; what is not expected says nothing about itself."""
    match error:
        case Refused():
            return Problem(409, error.code, error.sentence)
        case Conflict():
            return Problem(409, "conflict", "Somebody was faster. Ask again.")
        case WrongVersion():
            return Problem(412, "wrong-version", "It has changed since the version you named.")
        case KeyReused():
            return Problem(422, "key-reused", "This Idempotency-Key was used for another request.")
        case Unavailable():
            after = (b"retry-after", b"%d" % error.retry_after)
            return Problem(503, _kebab(type(error).__name__), "Not now. Ask again.", (), (after,))
        case Unfit():
            return Problem(error.status, error.code, errors=tuple(error.findings))
        case Malformed():
            errors = ((error.where, error.code),) if error.where else ()
            return Problem(error.status, error.code, errors=errors)
        case _:
            return _plain(error)


def _plain(error: BaseException) -> Problem:
    match error:
        case TooLarge():
            return Problem(413, "too-large")
        case Forgotten():
            return Problem(409, "erased", "The record was erased.")
        case Missing():
            return Problem(404, "not-found", "Not there, or not yours.")
        case Forbidden():
            return Problem(403, "wrong-role", "Your role may not do this.")
        case Unauthorized():
            challenge = (b"www-authenticate", b'Bearer realm="alliance", error="invalid_token"')
            return Problem(401, "no-valid-token", "", (), (challenge,))
        case _:
            return Problem(500, "internal")


def _kebab(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "-", name).lower()
