"""Erasing is destroying keys: whenever it was ordered, forget, then say so in the record.
`forget` does it again where an older copy of the keys was put back.

It starts from the beginning of the log, so what was left half done by a process that died is
finished by the next one; forgetting twice destroys nothing twice.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

from libs.common.adapters import open_keys, open_store
from libs.common.commit import Commit
from libs.common.directory import Directory
from libs.common.handle import Answer, Ask
from libs.common.messages import Command, Recorded, View
from libs.common.operators.console import WELL, Operator
from libs.common.personal import KeyClass
from libs.common.ports import SHARDS
from libs.common.react import Handle
from libs.common.service import Running
from libs.common.shapes import Policy
from services.consent.decider.commands import NoteErased
from services.consent.events import StudentErasureOrdered

BACKUP_DAYS = 42
"""Backups are kept for 35 days and begun every 7; after that none holds a forgotten key."""
CLASSES = tuple(sorted(key_class.value for key_class in KeyClass))


def erasing(directory: Directory) -> Policy[View]:
    def react(entry: Recorded[Any], _: View | None) -> Iterable[tuple[str, Command]]:
        today = directory.calendar.local(entry.at)
        command = NoteErased(
            student=entry.event.student,
            zone=directory.calendar.timezone,
            classes=CLASSES,
            keys=0,
            horizon=today + timedelta(days=BACKUP_DAYS),
        )
        yield f"student/{entry.event.student}", command

    return Policy(
        name="erase",
        logs=("consent",),
        react=react,
        from_start=True,
        hears=StudentErasureOrdered,
    )


async def forget(operator: Operator) -> int:
    """Destroys the keys of all whom the log says were to be erased; before anybody may read. It may
    be asked again. Raises StoreAway."""
    settings, destroyed = operator.settings, 0
    students: set[str] = set()
    async with (
        open_store(settings.store_url, "consent", readonly=True, prefix=settings.prefix) as store,
        open_keys(settings.keys_url, settings.prefix) as keys,
    ):
        for shard in range(SHARDS):
            seq = 0
            while batch := await store.log(shard, seq):
                students |= {student for commit in batch for student in _ordered(commit)}
                seq = batch[-1].seq
        for student in sorted(students):
            destroyed += await keys.forget(student, ())
    operator.say(f"consent: {len(students):,} students erased, {destroyed:,} of their keys now")
    return WELL


def _ordered(commit: Commit) -> Iterator[str]:
    if StudentErasureOrdered.type in commit.types:
        for entry in commit.recorded:
            if isinstance(entry.event, StudentErasureOrdered):
                yield entry.event.student


def forgetting(running: Running, handle: Handle) -> Handle:
    """The record says `erased` only after the keys are gone."""

    async def ask(asked: Ask[Any]) -> Answer:
        if isinstance(asked.command, NoteErased):
            keys = await running.keyring.forget(asked.command.student, ())
            asked = replace(asked, command=asked.command.model_copy(update={"keys": keys}))
        return await handle(asked)

    return ask
