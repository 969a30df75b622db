"""The report of an import: what is wrong with a file, by place and never by value."""

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

PROBLEMS_MAX = 1_000
"""Problems listed one by one; the rest are counted by their code only."""


class Weight(StrEnum):
    """What a problem costs.

    fatal: the file cannot be understood; nothing is taken from it, whatever the caller allows.
    error: a row says something unusable about somebody; the import is refused, or (skip_bad_rows)
    goes on as if the file said nothing about the people of that row: they stay as they were.
    warning: something was passed over that no person depends on.
    """

    FATAL = "fatal"
    ERROR = "error"
    WARNING = "warning"


class Problem(NamedTuple):
    """`line` is the line in the file, 0 for the file as a whole; `column` "" for the whole row."""

    file: str
    line: int
    column: str
    code: str
    weight: Weight


class Unusable(Exception):
    """The zip itself cannot be read on. Raised and caught within this room only."""

    def __init__(self, file: str, line: int, code: str) -> None:
        super().__init__(code)
        self.file, self.line, self.code = file, line, code


@dataclass(eq=False)
class Findings:
    """Collects problems while a file is read."""

    listed: list[Problem] = field(default_factory=list)
    counts: Counter[tuple[Weight, str]] = field(default_factory=Counter)

    def fatal(self, file: str, line: int, column: str, code: str) -> None:
        self._add(Problem(file, line, column, code, Weight.FATAL))

    def error(self, file: str, line: int, column: str, code: str) -> None:
        self._add(Problem(file, line, column, code, Weight.ERROR))

    def warning(self, file: str, line: int, column: str, code: str) -> None:
        """Nothing is missed for certain once a file cannot be read."""
        if not self.total(Weight.FATAL):
            self._add(Problem(file, line, column, code, Weight.WARNING))

    def _add(self, problem: Problem) -> None:
        self.counts[problem.weight, problem.code] += 1
        if problem.weight is Weight.FATAL and len(self.listed) >= PROBLEMS_MAX:
            self.listed.pop()  # what stops the import is never among the unlisted
        if len(self.listed) < PROBLEMS_MAX:
            self.listed.append(problem)

    def total(self, weight: Weight) -> int:
        return sum(count for (found, _), count in self.counts.items() if found is weight)

    def unlisted(self) -> int:
        return self.counts.total() - len(self.listed)
