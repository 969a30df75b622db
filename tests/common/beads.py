"""A tiny domain for the plumbing's tests: strings of beads, a box that hears of them."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

from libs.common.errors import Refused
from libs.common.handle import Ask
from libs.common.messages import Actor, Command, Event, Record, Recorded, Stamp, State, View
from libs.common.shapes import Decider, Policy, Projection
from tests.common.world import START

SOMEBODY = Actor("usr_a", "teacher", "sch_a")
STAMP = Stamp(START, SOMEBODY)


class BeadStrung(Event):
    colour: str
    student: str
    note: Record[str | None] = None


class BeadBoxed(Event):
    colour: str


class String(State):
    colours: tuple[str, ...] = ()


class Add(Command):
    colour: str
    student: str = "stu_1"
    note: Record[str | None] = None


class Put(Command):
    colour: str


def decide(string: String, command: Add) -> list[BeadStrung]:
    if command.colour == "none":
        raise Refused("no-bead", "That is no bead.")
    if command.colour in string.colours:
        return []
    return [BeadStrung(colour=command.colour, student=command.student, note=command.note)]


def evolve(string: String, event: BeadStrung) -> String:
    return String(colours=(*string.colours, event.colour))


def _subject(_string: String, command: Add) -> str:
    return command.student


string = Decider[String, Add, BeadStrung]("string", decide, evolve, String(), _subject)


def decide_box(box: String, command: Put) -> list[BeadBoxed]:
    return [] if command.colour in box.colours else [BeadBoxed(colour=command.colour)]


def evolve_box(box: String, event: BeadBoxed) -> String:
    return String(colours=(*box.colours, event.colour))


box = Decider[String, Put, BeadBoxed]("box", decide_box, evolve_box, String(), lambda _b, _c: None)


class Tally(View):
    """How often a colour was strung, over all strings; counts commute between shards."""

    colour: str
    count: int = 0


def _tally(view: Tally | None, entry: Recorded[Any], key: str) -> Tally:
    return Tally(colour=key, count=(view.count if view else 0) + 1)


tallies = Projection[Tally](
    name="tallies",
    version=1,
    logs=("beads",),
    view=Tally,
    keys=lambda entry: [entry.event.colour] if isinstance(entry.event, BeadStrung) else [],
    fold=_tally,
    indexes=(("count",),),
)


def _box(entry: Recorded[Any], _view: Tally | None) -> Iterator[tuple[str, Command]]:
    if isinstance(entry.event, BeadStrung):
        yield f"box/{entry.event.colour}", Put(colour=entry.event.colour)


boxing = Policy[Tally](name="boxing", logs=("beads",), react=_box, from_start=True)


def add(name: int, colour: str, stream: str = "string/a", note: str | None = None) -> Ask[Add]:
    command = Add(colour=colour, note=note).stamped(STAMP)
    return Ask(stream, command, UUID(int=name), path="POST /v1/beads")
