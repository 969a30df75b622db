"""New students of a large file, sealed and decided for in a process of its own.

What costs most of an import knows nothing but the file and a new key, so a second core can have it.
"""

import gc
import pickle
from typing import Any, BinaryIO, NamedTuple
from uuid import UUID

from libs.common.beside import ends
from libs.common.commit import Draft
from libs.common.errors import Refused
from libs.common.handle import Ask, Decided, drafted
from libs.common.messages import Stamp
from libs.common.personal import KeyClass
from libs.common.sealing import sealed_by
from services.consent.decider import consent
from services.consent.imports.plan import Plan, Step, command_id

LENGTH_BYTES = 4
"""Before each part, and before its answer."""


class Part(NamedTuple):
    """Students of one import's plan, and the keys of those that are really new."""

    taking: UUID
    plan: Plan
    stamp: Stamp
    keys: dict[str, bytes]


def draft_of(part: Part, step: Step) -> Draft | None:
    """What `handle` would append to an empty stream; None without a new key, or when the rules say
    no."""
    key = part.keys.get(step.ref)
    if key is None:
        return None
    stream, ident = f"{consent.category}/{step.ref}", command_id(part.taking, step.ref)
    ask: Ask[Any] = Ask(stream, step.command, ident, correlation=part.taking)
    sealed = sealed_by(key, step.command, step.ref, KeyClass.IDENTITY)
    try:
        events = consent.decide(consent.initial, sealed)
    except Refused:
        return None
    return drafted(ask, 0, Decided(events, sealed, step.ref)) if events else None


def work(asked: BinaryIO, answers: BinaryIO) -> None:
    while length := asked.read(LENGTH_BYTES):
        part: Part = pickle.loads(asked.read(int.from_bytes(length)))  # noqa: S301 - by whoever asks us
        drafts = [draft_of(part, step) for step in part.plan.takes(part.stamp)]
        words = pickle.dumps(drafts, pickle.HIGHEST_PROTOCOL)
        answers.write(len(words).to_bytes(LENGTH_BYTES) + words)
        answers.flush()


if __name__ == "__main__":
    gc.disable()  # it makes no cycles, and ends with the file
    work(*ends())
