"""Arithmetic over rounds: medians with spread, ratios within a round, verdicts on goals."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal, NamedTuple

from bench.question import Row

Round = Mapping[str, Mapping[str, float]]
"""Contender -> figure -> value, all measured one after the other."""
Word = Literal["reached", "missed", "not measured"]


class Spread(NamedTuple):
    median: float
    low: float
    high: float
    rounds: int


@dataclass(frozen=True)
class Verdict:
    """`ours` is the figure itself, `found` what the goal is about: a ratio, or the figure."""

    row: Row
    ours: Spread | None
    found: Spread | None

    @property
    def word(self) -> Word:
        """The median decides."""
        if self.found is None:
            return "not measured"
        return "reached" if self.row.reached(self.found.median) else "missed"


def spread(values: Iterable[float]) -> Spread | None:
    found = list(values)
    return Spread(median(found), min(found), max(found), len(found)) if found else None


def figures(rounds: Sequence[Round], contender: str, figure: str) -> list[float]:
    return [one[contender][figure] for one in rounds if figure in one.get(contender, {})]


def ratios(rounds: Sequence[Round], ours: str, over: str, figure: str) -> list[float]:
    """Ours / the other, of rounds in which both were measured: never across rounds."""
    return [
        one[ours][figure] / one[over][figure]
        for one in rounds
        if figure in one.get(ours, {}) and one.get(over, {}).get(figure)
    ]


def judge(row: Row, rounds: Sequence[Round]) -> Verdict:
    ours = figures(rounds, row.ours, row.figure)
    found = ratios(rounds, row.ours, row.over, row.figure) if row.over else ours
    return Verdict(row, spread(ours), spread(found))
