"""Two tiny services for worlds under faults: strings of beads, and boxes that hear of each bead.

A doubled effect must show, so nothing here forgives one: each drop and each knot is news whatever
was there before. Whose effect it is stands in the event.
"""

from collections.abc import Iterator, Sequence
from typing import Any, cast

from libs.common.errors import Refused
from libs.common.messages import Command, Event, Record, Recorded, State, View
from libs.common.personal import KeyClass
from libs.common.service import Rooms
from libs.common.shapes import Decider, Policy, Projection
from libs.common.timers import ClockRow
from tests.common import beads
from tests.common.beads import Add, BeadStrung, String, Tally, tallies
from tests.common.world import later

KNOT_SECONDS = 1.0
BOX_MAX = 6
BEADS, BOXES = "beads", "boxes"
COLOURS = ("red", "blue", "green", "black", "white", "pink", "grey", "none")
"""No string takes the last one."""


class BeadKnotted(Event):
    entered: int


class BeadDropped(Event):
    colour: str
    student: str
    seen: int
    note: Record[str | None] = None


class Knot(Command):
    entered: int


class Drop(Command):
    colour: str
    student: str = "stu_1"
    seen: int = 0
    note: Record[str | None] = None


class Box(State):
    count: int = 0


def decide(string: String, command: Add | Knot) -> Sequence[BeadStrung | BeadKnotted]:
    match command:
        case Add():
            return beads.decide(string, command)
        case Knot():
            return [BeadKnotted(entered=command.entered)]


def evolve(string: String, event: BeadStrung | BeadKnotted) -> String:
    match event:
        case BeadStrung():
            return beads.evolve(string, event)
        case BeadKnotted():
            return string


def _subject(_string: String, command: Add | Knot) -> str | None:
    return command.student if isinstance(command, Add) else None


strings = Decider[String, Add | Knot, BeadStrung | BeadKnotted](
    "string", decide, evolve, String(), _subject
)


def decide_box(box: Box, command: Drop) -> list[BeadDropped]:
    if box.count >= BOX_MAX:
        raise Refused("full", "The box is full.")
    dropped = BeadDropped(
        colour=command.colour, student=command.student, seen=command.seen, note=command.note
    )
    return [dropped]


boxes = Decider[Box, Drop, BeadDropped](
    "box",
    decide_box,
    lambda box, _dropped: Box(count=box.count + 1),
    Box(),
    lambda _box, command: command.student,
)


def _due(entry: Recorded[Any]) -> Iterator[str]:
    event = entry.event
    if isinstance(event, BeadStrung):
        yield f"{entry.stream}|{entry.version}|knot"
    elif isinstance(event, BeadKnotted):
        yield f"{entry.stream}|{event.entered}|knot"


def _clock(view: ClockRow | None, entry: Recorded[Any], _key: str) -> ClockRow | None:
    if isinstance(entry.event, BeadKnotted):
        return None
    due = later(entry.at, KNOT_SECONDS)
    return ClockRow(stream=entry.stream, entered=entry.version, kind="knot", due=due)


clocks = Projection[ClockRow](
    name="clocks",
    version=1,
    logs=(BEADS,),
    view=ClockRow,
    keys=_due,
    fold=_clock,
    indexes=(("due",),),
)
no_clocks = Projection[ClockRow](
    name="no_clocks",
    version=1,
    logs=(BOXES,),
    view=ClockRow,
    keys=lambda _: (),
    fold=lambda _view, _entry, _key: None,
    indexes=(("due",),),
)


class Balance(View):
    """How often a colour was strung, and how often it was dropped into a box."""

    strung: int = 0
    dropped: int = 0


def _balance(view: Balance | None, entry: Recorded[Any], _key: str) -> Balance:
    view = view or Balance()
    if isinstance(entry.event, BeadStrung):
        return Balance(strung=view.strung + 1, dropped=view.dropped)
    return Balance(strung=view.strung, dropped=view.dropped + 1)


balances = Projection[Balance](
    name="balances",
    version=1,
    logs=(BEADS, BOXES),
    view=Balance,
    keys=lambda e: [e.event.colour] if isinstance(e.event, BeadStrung | BeadDropped) else [],
    fold=_balance,
    indexes=(("strung",),),
)


class Notes(View):
    """What was noted about a string, open."""

    texts: tuple[str, ...] = ()


def _noted(view: Notes | None, entry: Recorded[Any], _key: str) -> Notes:
    texts = view.texts if view else ()
    return Notes(texts=(*texts, str(entry.event.note)))


notes = Projection[Notes](
    name="notes",
    version=1,
    logs=(BEADS,),
    view=Notes,
    keys=lambda entry: [entry.stream] if isinstance(entry.event, BeadStrung) else [],
    fold=_noted,
    opens=frozenset({KeyClass.RECORD}),
)

seen = Projection[Tally](
    name="seen",
    version=1,
    logs=(BEADS,),
    view=Tally,
    keys=lambda entry: [entry.stream] if isinstance(entry.event, BeadStrung) else [],
    fold=cast("Any", tallies.fold),
)
"""How many beads a string has: what the policy remembers."""


def box_of(colour: str) -> str:
    return f"box/{colour}"


def _box(entry: Recorded[Any], view: Tally | None) -> Iterator[tuple[str, Command]]:
    event = entry.event
    if isinstance(event, BeadStrung):
        drop = Drop(colour=event.colour, student=event.student, seen=view.count if view else 0)
        yield box_of(event.colour), drop


boxing = Policy[Tally](name="boxing", logs=(BEADS,), react=_box, from_start=True)
remembering = Policy[Tally](name="boxing", logs=(BEADS,), react=_box, memory=seen, from_start=True)


def rooms(policy: Policy[Tally]) -> dict[str, Rooms]:
    """Both services, by name."""
    return {
        BEADS: Rooms(
            BEADS, (strings,), (tallies,), (notes,), (), clocks,
            lambda row: Knot(entered=row.entered),
        ),
        BOXES: Rooms(
            BOXES, (boxes,), (balances,), (), (policy,), no_clocks, lambda _: Knot(entered=0)
        ),
    }  # fmt: skip
