"""A roster file is taken: when it began, with what, and how it came out."""

from typing import Literal

from libs.common.messages import Event


class ImportStarted(Event):
    """A roster file is being taken, in the stream `import/<ref>`. `digest` names the file, keyed;
    `leaving` are the students who will be recorded as gone; a delta holds changed rows only."""

    digest: str
    version: str
    students: int
    guardians: int
    leaving: int
    skipped: int
    mode: Literal["bulk", "delta"] = "bulk"


class ImportFinished(Event):
    """Everything the file says has been asked; `counts` by what came of it."""

    counts: dict[str, int]


ImportEvent = ImportStarted | ImportFinished
