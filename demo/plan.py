"""The demo's year as a list of requests: who is referred, when, and how each referral goes.

Pure and seeded. Carl's story is not here: `carl.py` tells it among these.
"""

from collections import Counter
from collections.abc import Iterator
from itertools import groupby
from random import Random

from demo import ways
from demo.asks import Ask, crews, of_age
from demo.district import District, Household, Student
from demo.partners import school_days
from demo.phases import Journey
from libs.common.directory import Agency, Directory

REFERRED = 3_500
ADULTS_MAX = 6
COMMANDS_MAX = 25_000
SEED = 3500
UNSERVED_SHARE = 0.14
"""Students of schools without a partner among the referred."""
BUSY = ((0, 1.0), (20, 1.6), (60, 0.9), (80, 1.3), (130, 0.8), (170, 0.3))
"""From which school day on how many concerns are raised, relatively."""
LAST_RAISE_DAY = 175

AT_SCHOOL: dict[ways.Way, int] = {
    ways.support: 40,
    ways.advice: 56,
    ways.doubled: 3,
    ways.withdrawn: 4,
    ways.reopened: 2,
}
WITH_AGENCY: dict[ways.Way, int] = {
    ways.support: 26,
    ways.advice: 42,
    ways.partner: 15,
    ways.refused: 5,
    ways.lapsed: 4,
    ways.declined: 4,
    ways.revoked: 4,
    ways.narrowed: 1,
    ways.crisis: 2,
    ways.withdrawn: 2,
    ways.reopened: 1,
    ways.doubled: 2,
    ways.too_soon: 1,
    ways.moved: 1,
    ways.left: 1,
    ways.onward: 1,
}
DIFFERING = 12
"""Beside the weights above, for parents who live apart."""


def plan(district: District, directory: Directory, referred: int = REFERRED) -> tuple[Ask, ...]:
    """Every request but Carl's, by moment; those of one moment by case, in the case's order."""
    chance = Random(SEED)  # noqa: S311 - an invented year is no secret
    journeys = _journeys(district, directory, chance, referred)
    asks = [ask for journey in journeys for ask in _way(journey)(journey)]
    return tuple(sorted(asks, key=lambda ask: (ask.at, ask.case)))


def moments(asks: tuple[Ask, ...]) -> Iterator[tuple[Ask, ...]]:
    """What goes out between two steps of the clock."""
    for _, together in groupby(asks, key=lambda ask: ask.at):
        yield tuple(together)


def _journeys(
    district: District, directory: Directory, chance: Random, referred: int
) -> Iterator[Journey]:
    partners: dict[str, list[Agency]] = {}
    for terms in directory.terms:
        source = terms.school.removeprefix("sch_")
        partners.setdefault(source, []).append(directory.agency_by_ref[terms.agency])
    days, everybody = school_days(), crews(district)
    schools = [school.source for school in district.schools]
    for number, student in enumerate(_referred(district, set(partners), chance, referred), 1):
        near = partners.get(student.school, [])
        other = chance.choice([school for school in schools if school != student.school])
        yield Journey(
            case=f"case-{number:04}",
            student=student,
            crew=everybody[student.school],
            other=everybody[other],
            partners=tuple(chance.sample(near, len(near))),
            days=days,
            chance=Random(f"{SEED}:{number}"),  # noqa: S311 - as above
            day=_raise_day(chance),
        )


def _referred(district: District, served: set[str], chance: Random, count: int) -> list[Student]:
    """Some are of age and sign alone. Nobody comes of age within the year: that day would change
    who signs half way."""
    first, last = school_days()[0], school_days()[-1]
    others = district.students[1:]
    adults = [one for one in others if of_age(one, first) and one.school in served][:ADULTS_MAX]
    minors = [one for one in others if not of_age(one, last)]
    near = [student for student in minors if student.school in served]
    far = [student for student in minors if student.school not in served]
    unserved = int(count * UNSERVED_SHARE)
    chosen = chance.sample(near, count - unserved - len(adults)) + chance.sample(far, unserved)
    chance.shuffle(chosen)
    return adults + chosen


def _raise_day(chance: Random) -> int:
    starts = [start for start, _ in BUSY]
    spans = list(zip(starts, [*starts[1:], LAST_RAISE_DAY], strict=True))
    weights = [
        weight * (end - start) for (start, end), (_, weight) in zip(spans, BUSY, strict=True)
    ]
    start, end = chance.choices(spans, weights)[0]
    return chance.randrange(start, end)


def _way(journey: Journey) -> ways.Way:
    weights = dict(WITH_AGENCY if journey.next_agency() else AT_SCHOOL)
    if journey.adult:
        return ways.partner
    if journey.agency is not None and journey.student.household is Household.APART:
        weights[ways.differ] = DIFFERING
    return journey.chance.choices(tuple(weights), tuple(weights.values()))[0]


def counted(asks: tuple[Ask, ...]) -> Counter[str]:
    """How often each thing is asked."""
    return Counter(ask.act for ask in asks)
