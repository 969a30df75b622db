"""Is this log whole? The same answer sooner: each core checks shard after shard.

Only what has no shard of its own is left to be joined: a command took effect once in the whole log.
No word of a commit travels.
"""

import asyncio
import os
import sys
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from typing import BinaryIO, NamedTuple

import orjson

from libs.common.adapters import PREFIX, open_store
from libs.common.beside import beside, ends
from libs.common.errors import StoreAway
from libs.common.messages import Position
from libs.common.ports import SHARDS, EventStore
from libs.common.verify import Broken, Survey, Verified, Wrong, broken, verify

PROCESSES_MAX = SHARDS
COMMITS_MIN = 100_000
"""One process has read a shorter log before others have begun."""
COMMAND_BYTES = 16
LOST = "a process that checked the log was lost"
CHECKER = (sys.executable, "-m", "libs.common.verify_shards")

Progress = Callable[[int], None]


class Part(NamedTuple):
    """What was found in one shard, up to the first thing that is wrong or cannot be read. `types`
    counts the events, `commands` is as long as the commits are many."""

    shard: int
    streams: int
    types: dict[str, int]
    wrong: tuple[int, str] | None
    """The seq, and what."""
    away: str | None
    commands: bytes


async def verified(
    url: str,
    log: str,
    progress: Progress | None = None,
    prefix: str = PREFIX,
    processes: int | None = None,
    checker: Sequence[str] = CHECKER,
) -> Verified:
    """As `verify` of that log, and the same outcome; raises StoreAway also when a process was lost.
    `processes`: as many, however short the log is."""
    async with open_store(url, log, readonly=True, prefix=prefix) as store:
        if processes is None:
            heads = [await store.head(shard) for shard in range(SHARDS)]
            count = sum(head.seq for head in heads if head is not None)
            processes = min(os.cpu_count() or 1, PROCESSES_MAX) if count >= COMMITS_MIN else 1
        if processes == 1:
            return await verify(store, progress, log)
    question = orjson.dumps([url, log, prefix]) + b"\n"
    waiting, parts = deque(range(SHARDS)), list[Part]()
    tasks = [
        asyncio.create_task(_ask(checker, question, waiting, parts, progress or (lambda _: None)))
        for _ in range(processes)
    ]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    finally:
        for task in tasks:  # once each: they wait for their processes to end
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()
    return joined(log, sorted(parts))


async def _ask(
    checker: Sequence[str],
    question: bytes,
    waiting: deque[int],
    parts: list[Part],
    progress: Progress,
) -> None:
    """One process, about shards as long as some wait; behind one that is not whole nobody looks."""
    async with beside(checker) as (asked, answers):
        asked.write(question)
        while waiting:
            asked.write(b"%d\n" % waiting.popleft())
            part = await _answer(answers, progress)
            parts.append(part)
            if part.wrong or part.away:
                waiting.clear()


async def _answer(answers: asyncio.StreamReader, progress: Progress) -> Part:
    try:
        while isinstance(told := orjson.loads(await answers.readuntil()), int):
            progress(told)
        shard, streams, types, wrong, away, count = told
        commands = await answers.readexactly(count * COMMAND_BYTES)
    except asyncio.IncompleteReadError:
        raise StoreAway(LOST) from None
    return Part(shard, streams, types, tuple(wrong) if wrong else None, away, commands)


def joined(log: str, parts: Iterable[Part]) -> Verified:
    """Of all shards in order, or of those up to one that is not whole. Raises as one process that
    had read them all: Broken, or StoreAway."""
    seen: set[bytes] = set()
    streams, shards, types = 0, 0, Counter[str]()
    for part in parts:
        commands = _commands(part.commands)
        again = None
        if not seen.isdisjoint(commands):
            again = next(seq for seq, command in enumerate(commands, 1) if command in seen)
        if part.wrong and _sooner(part.wrong, again):
            raise Broken(Position(log, part.shard, part.wrong[0]), part.wrong[1])
        if again is not None:
            raise Broken(Position(log, part.shard, again), Wrong.COMMAND)
        if part.away is not None:
            raise StoreAway(part.away)
        seen.update(commands)
        streams += part.streams
        types.update(part.types)
        shards += 1
    if shards < SHARDS:
        raise StoreAway(LOST)
    return Verified(len(seen), types.total(), streams, types)


def _commands(some: bytes) -> list[bytes]:
    return [some[at : at + COMMAND_BYTES] for at in range(0, len(some), COMMAND_BYTES)]


def _sooner(wrong: tuple[int, str], again: int | None) -> bool:
    """Whether this is told before a command that another shard has too; of one commit, only its
    time is judged later."""
    seq, what = wrong
    return again is None or seq < again or (seq == again and what != Wrong.TIME)


async def part_of(store: EventStore, log: str, shard: int, progress: Progress) -> Part:
    survey, wrong, away = Survey(broken, log), None, None
    try:
        await survey.read(store, shard, progress)
    except Broken as found:
        wrong = (found.position.seq, found.what)
    except StoreAway as found:
        away = str(found)
    commands = b"".join([one.to_bytes(COMMAND_BYTES, "big") for one in survey.commands])
    whole = survey.verified()
    return Part(shard, whole.streams, dict(whole.types), wrong, away, commands)


async def _work(asked: BinaryIO, answers: BinaryIO) -> None:
    def say(what: object) -> None:
        answers.write(orjson.dumps(what) + b"\n")
        answers.flush()

    url, log, prefix = orjson.loads(asked.readline())
    async with open_store(url, log, readonly=True, prefix=prefix) as store:
        for line in asked:
            part = await part_of(store, log, int(line), say)
            say([*part[:-1], len(part.commands) // COMMAND_BYTES])
            answers.write(part.commands)
            answers.flush()


if __name__ == "__main__":
    asyncio.run(_work(*ends()))
