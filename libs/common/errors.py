"""How a no is said. Each is answered once, in `http.py`."""

from typing import ClassVar


class Refused(Exception):
    """The rules say no. `code` is stable; the sentence is for the person who asked."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence


class WrongVersion(Exception):
    """The stream is not at the version that was expected (412 when the caller named it)."""


class Conflict(Exception):
    """Somebody was faster, several times over (409; asking again is right)."""


class KeyReused(Exception):
    """This idempotency key was used for another request (422)."""


class Unavailable(Exception):
    """Not now: always answered 503 with Retry-After. Nothing was decided."""

    retry_after: ClassVar[int] = 1


class Busy(Unavailable):
    """Too much is waiting already."""


class Behind(Unavailable):
    """A view has not reached the position that the reader asked for."""


class Fenced(Unavailable):
    """This part of the log stands still until an operator has mended it: it must not be written."""

    retry_after = 30


class StoreAway(Unavailable):
    """The store or the bus does not answer, or is not fit to go on with."""


class TooLarge(Exception):
    """More than a commit, a body or a list may hold (413)."""


class Forgotten(Exception):
    """The student's keys were destroyed; nothing can be sealed for them any more."""


class Fork(Exception):
    """Two histories for one position. A human must choose; nothing goes on by itself."""


class Missing(Exception):
    """Not there, or not yours: the answer is the same (404)."""


class Malformed(Exception):
    """Not well formed: `status` 400 or 422, a stable code, and the place (never the value)."""

    def __init__(self, code: str, where: str = "", status: int = 400) -> None:
        super().__init__(code)
        self.code = code
        self.where = where
        self.status = status


class Forbidden(Exception):
    """This role may not use this route (403)."""


class Unauthorized(Exception):
    """No valid token (401)."""
