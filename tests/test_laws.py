"""What every decider obeys, whatever is asked of it and in whatever order.

Deciding is not luck; what was asked and led somewhere is answered with silence when it is asked
again there; a no is always a typed refusal; what happened is never up for debate. A new service is
covered by one more entry in `laws.py`. Draws are the same in every run: a failure can be repeated.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import chain
from random import Random
from typing import NamedTuple, TypeVar

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from libs.common.commit import decode_event, encode_event
from libs.common.errors import Refused
from libs.common.messages import REGISTRY, Command, Event, Stamp, State
from libs.common.words import asked, canonical
from tests.drawing import Draw
from tests.laws import LAWS, STUDENT, Law, names

T = TypeVar("T")
START = datetime(2025, 9, 15, 16, 0, tzinfo=UTC)
STEPS = 30
WALKS = 120
TRIES, ACTORS = 14, 4
"""For one step, some commands are drawn, and asked by some actors each; one of them is taken."""
ANY_PERCENT = 15
"""Steps at which the first command that was drawn is asked, whatever it leads to."""
LATE_STEP = 22
SPECIMENS = 2
"""Of each situation and each event, for trying everything on everything."""
DRAWS = 4
PAUSES = (timedelta(minutes=7), timedelta(hours=5), timedelta(days=1), timedelta(days=40))


class Step(NamedTuple):
    """A command in a situation, and what followed: events, or a refusal's code."""

    state: State
    command: Command
    events: list[Event]
    refusal: str | None


@dataclass
class Seen:
    """What the walks came by, so that no law holds for want of cases."""

    asked: int = 0
    led: Counter[str] = field(default_factory=Counter)
    situations: set[str] = field(default_factory=set)
    refusals: set[str] = field(default_factory=set)


def ask(law: Law, state: State, command: Command) -> Step:
    """Anything but events or a refusal with a code and a sentence fails the test by itself."""
    try:
        return Step(state, command, list(law.decider.decide(state, command)), None)
    except Refused as no:
        assert no.code
        assert no.sentence[0].isupper()
        assert no.sentence[-1] in ".?"
        return Step(state, command, [], no.code)


def walk(law: Law, chance: Random) -> Iterator[Step]:
    """A life of one stream under random commands; where it can, a step leads somewhere new."""
    state, at = law.decider.initial, START
    fresh = set(law.commands)
    for number in range(STEPS):
        at += chance.choice(PAUSES)
        draw = Draw(chance, at, STUDENT, law.pools)
        kinds = [k for k in law.commands if number >= LATE_STEP or k.__name__ not in law.late]
        found: list[Step] = []
        for _ in range(1 if chance.randint(1, 100) <= ANY_PERCENT else TRIES):
            command = draw.message(chance.choice(kinds))
            for actor in chance.sample(law.actors, ACTORS):
                found.append(ask(law, state, command.stamped(Stamp(at, actor))))
        led = [step for step in found if step.events] or found[:1]
        new = [step for step in led if type(step.command) in fresh] or led
        onward = [step for step in led if moves(law, step)] or led
        step = chance.choice(chance.choice([new, onward]))
        yield step
        if step.events:
            fresh.discard(type(step.command))
        state = law.decider.fold(step.events, state)


def moves(law: Law, step: Step) -> bool:
    after = law.decider.fold(step.events, step.state)
    return law.situation(after) != law.situation(step.state)


@pytest.mark.parametrize("law", LAWS)
def test_the_laws_hold_whatever_is_asked(law: Law) -> None:
    seen = Seen()

    @settings(max_examples=WALKS, derandomize=True, database=None, deadline=None,
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(st.randoms(use_true_random=True))
    def live(chance: Random) -> None:
        for step in walk(law, chance):
            obeys(law, step)
            seen.asked += 1
            seen.led[type(step.command).__name__] += bool(step.events)
            seen.situations |= law.situation(law.decider.fold(step.events, step.state))
            seen.refusals |= {step.refusal or ""}

    live()
    assert seen.led.total() * 100 >= law.success_percent_min * seen.asked
    never_led = names(*law.commands) - {name for name, count in seen.led.items() if count}
    never_seen = law.situations - seen.situations - names(type(law.decider.initial))
    assert (sorted(never_led), sorted(never_seen)) == ([], [])


def obeys(law: Law, step: Step) -> None:
    decider = law.decider
    assert asked(step.command) == canonical(step.command.asked()), "one form of what was asked"
    assert ask(law, step.state, step.command) == step, "deciding is not luck"
    for event in step.events:
        stored = orjson.loads(encode_event(event))
        assert decode_event(stored["type"], stored["v"], stored["data"]) == event
    if step.events:
        again = ask(law, decider.fold(step.events, step.state), step.command)
        assert (again.events, again.refusal) == ([], None), f"{step.command!r} asked again"


class Zoo(NamedTuple):
    """States of every situation and events of every type, as plain random walks meet them."""

    states: dict[str, list[State]]
    events: dict[str, list[Event]]


@cache
def zoo(law: Law) -> Zoo:
    found = Zoo({"": [law.decider.initial]}, {})
    for seed in range(WALKS):
        for step in walk(law, Random(seed)):
            for name in law.situation(step.state):
                keep(found.states, name, step.state)
            for event in step.events:
                keep(found.events, event.type, event)
    return found


def keep(shelf: dict[str, list[T]], name: str, one: T) -> None:
    if len(shelf.setdefault(name, [])) < SPECIMENS:
        shelf[name].append(one)


@pytest.mark.parametrize("law", LAWS)
def test_every_command_in_every_situation_gives_events_or_a_typed_no(law: Law) -> None:
    assert zoo(law).states.keys() >= law.situations
    draw = Draw(Random(1), START + timedelta(days=90), STUDENT, law.pools)
    for state in chain.from_iterable(zoo(law).states.values()):
        for kind in law.commands:
            for actor in draw.chance.sample(law.actors, DRAWS):
                command = draw.message(kind).stamped(Stamp(draw.at, actor))
                step = ask(law, state, command)
                assert all(event.type in REGISTRY for event in step.events)


@pytest.mark.parametrize("law", LAWS)
def test_what_happened_is_never_refused(law: Law) -> None:
    """Also where it could not have happened: a history of an older release is still a history."""
    for state in chain.from_iterable(zoo(law).states.values()):
        for event in chain.from_iterable(zoo(law).events.values()):
            assert isinstance(law.decider.evolve(state, event), State)


@pytest.mark.parametrize("law", LAWS)
def test_every_event_that_is_declared_can_happen(law: Law) -> None:
    assert sorted({event.type for event in law.events} - zoo(law).events.keys()) == []
