"""What is remembered of an import: that it began with this file, and that it came to its end."""

from typing import Literal

from libs.common.errors import Refused
from libs.common.messages import Command, Fact, State
from libs.common.shapes import Decider
from services.consent.events import ImportEvent, ImportFinished, ImportStarted

Counts = dict[str, int]


class StartImport(Command):
    """`digest` names the file: the same key with another file is another request."""

    digest: str
    skip_bad_rows: bool
    allow_removals: int
    version: Fact[str] = ""
    students: Fact[int] = 0
    guardians: Fact[int] = 0
    leaving: Fact[int] = 0
    skipped: Fact[int] = 0
    mode: Fact[Literal["bulk", "delta"]] = "bulk"


class FinishImport(Command):
    """Asked by the import itself when everything in the file has its answer."""

    counts: Counts


class Unstarted(State):
    """No such import."""


class Started(State):
    """Under way, or stopped half way: sending the file again goes on with it."""


class Finished(State):
    counts: Counts


Import = Unstarted | Started | Finished
Phase = Literal["checking", "running", "elsewhere", "stopped", "finished"]
"""elsewhere: it began, and this process does not know how far it is; the one that took it does."""


def decide(state: Import, command: StartImport | FinishImport) -> list[ImportEvent]:
    match command:
        case StartImport():
            return start(state, command)
        case FinishImport():
            return finish(state, command)


def start(state: Import, command: StartImport) -> list[ImportEvent]:
    match state:
        case Unstarted():
            started = ImportStarted(
                digest=command.digest,
                version=command.version,
                students=command.students,
                guardians=command.guardians,
                leaving=command.leaving,
                skipped=command.skipped,
                mode=command.mode,
            )
            return [started]
        case Started() | Finished():
            return []


def finish(state: Import, command: FinishImport) -> list[ImportEvent]:
    match state:
        case Unstarted():
            raise Refused("unknown-import", "There is no such import.")
        case Started():
            return [ImportFinished(counts=command.counts)]
        case Finished():
            return []


def evolve(_: Import, event: ImportEvent) -> Import:
    match event:
        case ImportStarted():
            return Started()
        case ImportFinished(counts=counts):
            return Finished(counts=counts)


def _subject(_: Import, __: StartImport | FinishImport) -> None:
    return None


imports = Decider[Import, StartImport | FinishImport, ImportEvent](
    category="import", decide=decide, evolve=evolve, initial=Unstarted(), subject=_subject
)
