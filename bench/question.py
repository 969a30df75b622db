"""What the bench is asked: who does which work, how often, and which goals the figures have."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

ROUNDS = 5
QUICK_ROUNDS = 2

Engine = Literal["kafka", "mongo"]


@dataclass(frozen=True)
class Contender:
    """`call` is `module:function`, an async `(folder, size, **options)` that gives Figures or
    Measured. With `log` it is also given the folder of a log of `size` commits, not to be changed;
    with `engine` the `url` of that server. `rounds`: in no more than so many. A `quick` of 0 keeps
    it out of quick runs."""

    name: str
    call: str
    size: int
    quick: int
    options: Mapping[str, int] = field(default_factory=dict)
    log: bool = False
    engine: Engine | None = None
    rounds: int | None = None

    def sized(self, quick: bool) -> int:
        return self.quick if quick else self.size


@dataclass(frozen=True)
class Row:
    """A goal: `figure` of `ours`, divided by the same of `over` when there is one."""

    name: str
    what: str
    ours: str
    goal: float
    over: str | None = None
    figure: str = "per_second"
    at_most: bool = False

    def reached(self, found: float) -> bool:
        return found <= self.goal if self.at_most else found >= self.goal


@dataclass(frozen=True)
class Curve:
    """A plot: series -> x -> contender; `figure` is what is drawn."""

    name: str
    title: str
    x: str
    y: str
    series: Mapping[str, Mapping[int, str]]
    figure: str = "per_second"


@dataclass(frozen=True)
class Timeline:
    """A plot of what a contender's `series` say over its own `seconds`."""

    name: str
    title: str
    y: str
    contender: str
    lines: Mapping[str, str]
    """Name in the series -> label."""


@dataclass(frozen=True)
class Question:
    """Rounds are interleaved: each runs every contender once, each time in another order."""

    name: str
    what: str
    contenders: tuple[Contender, ...]
    rows: tuple[Row, ...] = ()
    curves: tuple[Curve, ...] = ()
    timelines: tuple[Timeline, ...] = ()
    rounds: int = ROUNDS
    quick_rounds: int = QUICK_ROUNDS

    def rounds_of(self, contender: Contender, quick: bool) -> int:
        if not contender.sized(quick):
            return 0
        rounds = min(self.rounds, self.quick_rounds) if quick else self.rounds
        return min(rounds, contender.rounds or rounds)

    def order(self, number: int, quick: bool) -> list[Contender]:
        """Who runs in this round, in which order."""
        start = number % len(self.contenders)
        turned = self.contenders[start:] + self.contenders[:start]
        return [one for one in turned if number < self.rounds_of(one, quick)]
