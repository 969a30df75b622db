"""What can be told of an import while it runs and after, without a value of the file."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

from pydantic import Field

from libs.common.messages import Position, View
from services.consent.imports.record import Phase
from services.consent.roster.findings import Findings, Problem, Weight
from services.consent.roster.guard import Removals
from services.consent.roster.students import Roster

OUTCOMES = ("added", "changed", "moved", "left", "unchanged", "again", "erased", "refused")
"""What can come of a student. again: taken by this very import before it was interrupted; erased:
the record was erased and stays so; refused: the rules said no (the report says why)."""

START = Position("", 0, 0)


class ProblemRow(View):
    """Where something is wrong and what; `line` 0 is the file as a whole, `column` "" the row."""

    file: str
    line: int
    column: str
    code: str
    weight: Weight


class Report(View):
    """`students` are those the file says something usable of; of a delta, those it would change or
    confirm. `gone_of`, `guardians_of`: how many are known where somebody would be removed.
    `unlisted` problems are counted only. `whole`: nobody was left out of the removals because of
    rows that do not say whom they are about."""

    version: str
    mode: Literal["bulk", "delta"] = "bulk"
    students: int
    guardians: int
    skipped: int
    whole: bool
    gone: int
    gone_of: int
    guardians_ended: int
    guardians_of: int
    errors: int
    warnings: int
    problems: tuple[ProblemRow, ...]
    unlisted: int


class ImportPage(View):
    """`would_be`: how the file is received, accepted or the code of the no (for a dry run, how it
    would be). `positions`: how far it has come in the log, for a reader's Min-Position."""

    reference: str
    phase: Phase
    dry_run: bool = False
    would_be: str = ""
    students: int = 0
    done: int = 0
    counts: dict[str, int] = Field(default_factory=dict)
    positions: tuple[str, ...] = ()
    report: Report | None = None


@dataclass(eq=False)
class Progress:
    """One import, as it goes."""

    reference: str
    digest: str
    dry_run: bool
    phase: Phase = "checking"
    would_be: str = ""
    students: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    roster: Roster | None = None
    removals: Removals = field(default_factory=Removals)
    heads: dict[int, Position] = field(default_factory=dict)
    report: Report | None = None

    def settle(self, phase: Phase) -> None:
        """It is over: the report stays, the people are let go."""
        self.phase = phase
        if self.roster is not None:
            self.report, self.roster = report(self.roster, self.removals), None

    def reached(self, position: Position | None) -> None:
        if position is not None and position > self.heads.get(position.shard, START):
            self.heads[position.shard] = position

    def page(self) -> ImportPage:
        return ImportPage(
            reference=self.reference,
            phase=self.phase,
            dry_run=self.dry_run,
            would_be=self.would_be,
            students=self.students,
            done=self.counts.total(),
            counts={name: self.counts[name] for name in OUTCOMES},
            positions=tuple(str(self.heads[shard]) for shard in sorted(self.heads)),
            report=report(self.roster, self.removals) if self.roster else self.report,
        )


def mode_of(roster: Roster) -> Literal["bulk", "delta"]:
    return "bulk" if roster.changes is None else "delta"


def report(roster: Roster, removals: Removals) -> Report:
    findings: Findings = roster.findings
    return Report(
        version=roster.version,
        mode=mode_of(roster),
        students=len(roster.taken),
        guardians=len(roster.people.guardians),
        skipped=len(roster.present) - len(roster.taken),
        whole=roster.whole,
        gone=len(removals.gone),
        gone_of=removals.students,
        guardians_ended=removals.ended,
        guardians_of=removals.guardians,
        errors=findings.total(Weight.ERROR) + findings.total(Weight.FATAL),
        warnings=findings.total(Weight.WARNING),
        problems=tuple(map(_row, findings.listed)),
        unlisted=findings.unlisted(),
    )


def _row(problem: Problem) -> ProblemRow:
    return ProblemRow(**problem._asdict())
