"""Which fault happens when, to whom, for how long: a pure function of a seed.

The same seed gives the same list for ever, so that a run can be repeated by its number alone.
"""

from collections.abc import Mapping, Sequence
from random import Random
from typing import NamedTuple

QUIET_EVERY = 10
"""After so many faults comes a longer gap, in which everything may catch up."""
QUIET_TIMES = 3.0
HEAL = "heal"


class Fault(NamedTuple):
    """`calm_seconds` after everything was well again, `what` happens to `whom` for `seconds`."""

    calm_seconds: float
    what: str
    whom: str
    seconds: float


class Kind(NamedTuple):
    """What may happen to whom, how long it lasts, and how often in the whole schedule."""

    what: str
    whom: Sequence[str]
    seconds: tuple[float, float]
    times: int


def schedule(seed: int, kinds: Sequence[Kind], calm_seconds: tuple[float, float]) -> list[Fault]:
    """Every kind as often as it says, in an order of chance; the last entry heals everything."""
    chance = Random(seed)
    order = [kind for kind in kinds for _ in range(kind.times)]
    chance.shuffle(order)
    found = []
    for number, kind in enumerate(order, 1):
        calm = chance.uniform(*calm_seconds)
        if number % QUIET_EVERY == 0:
            calm *= QUIET_TIMES
        found.append(
            Fault(calm, kind.what, chance.choice(kind.whom), chance.uniform(*kind.seconds))
        )
    return [*found, Fault(0.0, HEAL, "", 0.0)]


def counted(faults: Sequence[Fault]) -> Mapping[str, int]:
    """`kill api` -> how often."""
    found: dict[str, int] = {}
    for fault in faults:
        if fault.what != HEAL:
            label = f"{fault.what} {fault.whom}"
            found[label] = found.get(label, 0) + 1
    return found
