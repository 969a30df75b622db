"""The work that all contenders do: notes about students, about 650 bytes an event."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid5

from libs.common.handle import Ask
from libs.common.messages import Actor, Command, Event, Record, Recorded, Stamp, State, View
from libs.common.shapes import Decider, Projection

STREAMS = 5_000
"""Whose commands are measured; each is a student's."""
STUDENTS = 57_000
"""A whole district: as many documents as a large log is about."""
LOG = "bench"
SOMEBODY = Actor("usr_bench", "teacher", "sch_bench")
STAMP = Stamp(datetime(2026, 1, 5, 9, tzinfo=UTC), SOMEBODY)
NAMES = UUID("0d9a8a4e-5a0f-5d2e-9a54-1a2f5f0c7b11")
TITLE = "Three weeks of support in class"
TEXT = "Reading aloud goes better than writing; two observations in class point the same way. " * 2


class NoteWritten(Event):
    student: str
    number: int
    setting: str
    title: Record[str]
    text: Record[str]


class Write(Command):
    student: str
    number: int
    setting: str = "classroom"
    title: Record[str] = TITLE
    text: Record[str] = TEXT


class Notes(State):
    count: int = 0


def decide(notes: Notes, command: Write) -> list[NoteWritten]:
    if command.number <= notes.count:
        return []
    return [
        NoteWritten.model_construct(
            student=command.student,
            number=command.number,
            setting=command.setting,
            title=command.title,
            text=command.text,
        )
    ]


def evolve(_: Notes, event: NoteWritten) -> Notes:
    return Notes.model_construct(count=event.number)


notes = Decider[Notes, Write, NoteWritten](
    "notes", decide, evolve, Notes(), lambda _, command: command.student
)


class Latest(View):
    student: str
    count: int
    title: Record[str]


def _fold(latest: Latest | None, entry: Recorded[Any], key: str) -> Latest:
    count = latest.count + 1 if latest else 1
    return Latest.model_construct(student=key, count=count, title=entry.event.title)


latest = Projection[Latest](
    name="latest",
    version=1,
    logs=(LOG,),
    view=Latest,
    keys=lambda entry: (entry.event.student,),
    fold=_fold,
    hears=NoteWritten,
)


def ask_of(number: int, streams: int = STREAMS) -> Ask[Write]:
    """The number-th note: all streams in turn. Of many streams, several belong to one student."""
    stream = number % streams
    command = Write.model_construct(
        student=student_of(stream), number=number // streams + 1, stamp=STAMP
    )
    return Ask(
        f"notes/{stream}",
        command,
        uuid5(NAMES, str(number)),
        path="POST /v1/notes",
        new=number < streams,
    )


def student_of(stream: int) -> str:
    return f"stu_{stream % STUDENTS}"


def asks(count: int, streams: int = STREAMS, first: int = 0) -> Iterator[Ask[Write]]:
    return (ask_of(number, streams) for number in range(first, first + count))
