"""`parked list`, `park`, `retry`, `evict`: what one read model cannot fold, set aside and mended.

`park` sets aside each stream at which a read model stands still; everything else flows, and the
service is ready again. After a fix `retry` folds what waits, in order, and stops at the first that
fails again; `evict` gives up the first that waits (or all), with a reason. A rebuild starts with
nothing parked. Each step is an event in `projection/<name>` of the service's log.
"""

import argparse
import re
from collections.abc import Callable, Sequence
from typing import Any

from libs.common import parking
from libs.common.adapters import open_documents
from libs.common.operators.console import MISUSED, NOT_WELL, WELL, Operator
from libs.common.operators.retrying import evict, retry
from libs.common.operators.tending import (
    Misused,
    Tended,
    found,
    generations,
    halts,
    stored_by,
    tending,
)
from libs.common.operators.upkeep import REASON, EndRetry, Evict, OrderRetry, Park
from libs.common.parking import Parked, commit_of
from libs.common.project import Generation
from libs.common.shapes import Projection

FORK = "fork"


async def parked(operator: Operator) -> int:
    """Exit code 0: done, or nothing to do; 1: something stands still or failed again."""
    asked = read(operator.words)
    try:
        if asked.verb == "list":
            return await _list(operator)
        rooms, projection = found(operator.rooms, asked.projection)
        if asked.verb == "park" and projection.gates:
            raise Misused(
                f"{projection.name} says who may see something, so that none of its streams may be"
                " left behind: mend the fold and rebuild it"
            )
        async with tending(operator, rooms) as tended:
            done = {"park": _park, "retry": _retry, "evict": _evict}[asked.verb]
            return await done(operator, tended, projection, asked)
    except Misused as misused:
        operator.say(f"parked {asked.verb}: {misused}")
        return MISUSED


def read(words: Sequence[str]) -> argparse.Namespace:
    """What is asked for. Ends the process with a sentence when the words make no sense."""
    parser = argparse.ArgumentParser(prog="parked", description=__doc__.splitlines()[0])
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("list", help="where read models stand still, and what is set aside")
    for verb, what in (
        ("park", "set aside the streams at which it stands still"),
        ("retry", "fold what waits, in order"),
        ("evict", "give up the first that waits"),
    ):
        parsed = verbs.add_parser(verb, help=what)
        parsed.add_argument("projection")
        if verb != "park":
            parsed.add_argument("stream", nargs=None if verb == "evict" else "?")
        if verb == "evict":
            parsed.add_argument("--reason", required=True, type=_reason, help="without any name")
            parsed.add_argument("--all", action="store_true", help="all that waits of the stream")
    return parser.parse_args(words)


def _reason(text: str) -> str:
    if not re.fullmatch(REASON, text):
        raise argparse.ArgumentTypeError(
            "3 to 200 small letters, digits, spaces and .,:;#()/_- (it stays for ever: no names)"
        )
    return text


async def _list(operator: Operator) -> int:
    settings, lines, still = operator.settings, [], 0
    for rooms in operator.rooms:
        async with open_documents(
            settings.views_url, rooms.name, settings.prefix, readonly=True
        ) as documents:
            for projection in stored_by(rooms):
                for one in await generations(documents, projection):
                    for halt in await halts(documents, one):
                        still += 1
                        words = f"stands still at {halt.position} ({halt.reason})"
                        lines.append(f"{rooms.name}.{one.kind}  {halt.stream}  {words}")
                    for row in one.parking.open():
                        waits = await parking.count(documents, one.parking, row)
                        words = f"parked since {row.first} ({row.reason}), {waits:,} waiting"
                        lines.append(f"{rooms.name}.{one.kind}  {row.stream}  {words}")
    for line in lines or ["Nothing is parked, and nothing stands still."]:
        operator.say(line)
    return NOT_WELL if still else WELL


async def _park(
    operator: Operator, tended: Tended, projection: Projection[Any], _: argparse.Namespace
) -> int:
    count = 0
    for one in await generations(tended.documents, projection):
        for halt in await halts(tended.documents, one):
            if halt.reason == FORK:
                raise Misused(f"two histories at {halt.position}: a person decides, see fsck")
            await tended.tell(
                projection,
                Park(
                    generation=one.kind,
                    log=halt.position.log,
                    stream=halt.stream,
                    first=str(halt.position),
                    error=halt.reason,
                ),
            )
            await parking.park(tended.documents, one.parking, halt)
            operator.say(f"{one.kind}: {halt.stream} is parked from {halt.position} on")
            count += 1
    if not count:
        operator.say(f"{projection.name} stands still nowhere")
    return WELL


async def _retry(
    operator: Operator, tended: Tended, projection: Projection[Any], asked: argparse.Namespace
) -> int:
    outcome, many = WELL, await _parked(tended, projection, asked.stream)
    for one, row in many:
        place = {"generation": one.kind, "log": row.first.log, "stream": row.stream}
        waits = await parking.count(tended.documents, one.parking, row)
        await tended.tell(projection, OrderRetry(**place, waiting=waits))
        with operator.bars() as bars:
            bar = bars.add_task(row.stream, total=waits)
            done = await retry(tended.documents, one, row, _advancing(bars, bar))
        failed = str(done.failed) if done.failed else None
        ended = EndRetry(**place, applied=done.applied, failed=failed, error=done.reason or None)
        await tended.tell(projection, ended)
        if failed is None:
            operator.say(f"{one.kind}: {row.stream} flows again, {done.applied:,} folded")
        else:
            words = f"{done.applied:,} folded, then {failed} failed ({done.reason})"
            operator.say(f"{one.kind}: {row.stream} stays parked: {words}")
            outcome = NOT_WELL
    return outcome


def _advancing(bars: Any, bar: Any) -> Callable[[int], None]:
    return lambda applied: bars.update(bar, completed=applied)


async def _evict(
    operator: Operator, tended: Tended, projection: Projection[Any], asked: argparse.Namespace
) -> int:
    for one, row in await _parked(tended, projection, asked.stream):
        while docs := (await parking.waiting(tended.documents, one.parking, row)).docs:
            position = commit_of(docs[0]).position
            await tended.tell(
                projection,
                Evict(
                    generation=one.kind,
                    log=row.first.log,
                    stream=row.stream,
                    position=str(position),
                    reason=asked.reason,
                ),
            )
            await evict(tended.documents, one, row, position)
            operator.say(f"{one.kind}: {position} of {row.stream} is given up")
            if not asked.all:
                break
        if row.stream not in {left.stream for left in one.parking.open()}:
            operator.say(f"{one.kind}: {row.stream} flows again")
    return WELL


async def _parked(
    tended: Tended, projection: Projection[Any], stream: str | None
) -> list[tuple[Generation[Any], Parked]]:
    """What is parked of a read model, in each of its copies. Raises Misused when nothing is."""
    many = [
        (one, row)
        for one in await generations(tended.documents, projection)
        for row in one.parking.open()
        if stream in (None, row.stream)
    ]
    if not many:
        raise Misused(f"nothing is parked of {stream or projection.name}")
    return many
