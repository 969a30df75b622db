"""One student of an import: asked about for good, or rehearsed with nothing stored."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from libs.common.errors import Conflict, Forgotten, Refused, TooLarge, Unavailable
from libs.common.handle import Answer, Ask
from libs.common.messages import Actor, Command
from libs.common.personal import KeyClass
from libs.common.service import Running
from services.consent.decider import consent
from services.consent.decider.commands import RecordLeaving, TakeChanges
from services.consent.decider.states import Erased, Unknown
from services.consent.events import StudentEnrolled, StudentMoved
from services.consent.imports.delta import Delta
from services.consent.imports.plan import Plan, Step, command_id
from services.consent.imports.progress import Progress
from services.consent.roster.guard import Enrolled
from services.consent.roster.people import USERS

TRIES_MAX = 8
PAUSE_SECONDS_MIN = 0.05
PAUSE_SECONDS_MAX = 2.0


class Wish(NamedTuple):
    """What the sender asked for. `id` is the command id of the request, `path` method and path."""

    id: UUID
    path: str
    actor: Actor
    dry_run: bool = False
    skip_bad_rows: bool = False
    allow_removals: int = 0


class Job(NamedTuple):
    """A file that was read and judged."""

    wish: Wish
    plan: Plan | Delta
    enrolled: dict[str, Enrolled]
    progress: Progress


Way = Callable[[Running, Job, Step], Awaitable[str]]
"""What came of a student, as `progress.OUTCOMES` names it."""


async def prepare(running: Running, steps: Sequence[Step]) -> None:
    """Makes the keys of many students in one go."""
    try:
        await running.keyring.prepare([step.ref for step in steps], {KeyClass.IDENTITY})
    except Forgotten:
        return  # one was erased this very moment; asking about each of them alone will tell


async def ask(running: Running, job: Job, step: Step) -> str:
    try:
        stream, new = f"{consent.category}/{step.ref}", step.ref not in job.enrolled
        answer = await answered(running, job.wish, stream, step.command, new)
    except Refused as refused:
        return _said_no(job, step, refused.code)
    except TooLarge:
        return _said_no(job, step, "too-large")
    job.progress.reached(answer.position)
    if answer.replayed:
        return "again"
    return "unchanged" if answer.silent else _news(job, step)


async def rehearse(running: Running, job: Job, step: Step) -> str:
    """Decides as `ask` would and appends nothing, not even a key."""
    if isinstance(step.command, RecordLeaving):
        return "left"
    handler = running.handlers[consent.category]
    known = await handler.known(f"{consent.category}/{step.ref}")
    if isinstance(known.state, Unknown) and not isinstance(step.command, TakeChanges):
        return "added"
    if isinstance(known.state, Erased):
        return _said_no(job, step, "erased")
    try:
        sealed, _ = await running.keyring.sealed(step.command, step.ref)
        kinds = {type(event) for event in consent.decide(known.state, sealed)}
    except Forgotten:
        return _said_no(job, step, "erased")
    except Refused as refused:
        return _said_no(job, step, refused.code)
    if StudentEnrolled in kinds:
        return "added"
    if StudentMoved in kinds:
        return "moved"
    return "changed" if kinds else "unchanged"


async def answered(
    running: Running, wish: Wish, stream: str, command: Command, new: bool = False
) -> Answer:
    """Asks until there is an answer; raises what stood in the way of the last try."""
    ident = command_id(wish.id, stream.partition("/")[2])
    asked: Ask[Any] = Ask(stream, command, ident, correlation=wish.id, new=new)
    for tries in range(TRIES_MAX - 1):
        try:
            return await running.handle(asked)
        except (Unavailable, Conflict):
            await asyncio.sleep(min(PAUSE_SECONDS_MAX, PAUSE_SECONDS_MIN * 2**tries))
    return await running.handle(asked)


def _news(job: Job, step: Step) -> str:
    if isinstance(step.command, RecordLeaving):
        return "left"
    before, school = job.enrolled.get(step.ref), step.command.school
    if school is None:
        return "changed"
    if before is None:
        return "added"
    return "changed" if before.school == school else "moved"


def _said_no(job: Job, step: Step, code: str) -> str:
    job.plan.roster.findings.warning(USERS, step.line, "", code)
    return "erased" if code == "erased" else "refused"
