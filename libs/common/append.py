"""Drafts become commits: queued, grouped, checked, chained, stored; once for all engines.

One appender per process and log. Drafts that arrive while a write is under way go together into the
next one; a lone caller waits for nobody. Safe to retry for ever: a command has one commit.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import NamedTuple

from libs.common.commit import NO_PREV, Commit, Draft, encode, shard_of
from libs.common.errors import Busy, Fenced, KeyReused, StoreAway, TooLarge, WrongVersion
from libs.common.messages import Dep
from libs.common.meters import APPEND, COMMITS, CONFLICTS, GROUP, count, measure
from libs.common.ports import Clock, EventStore
from libs.common.telemetry import batch_span

WAITING_MAX = 1_024
GROUP_MAX = 256
HALVED_MIN = 16
"""So many who wait together are written in two halves, where the store writes in `parallel`: those
of one go on while the other half is written, from then on by turns."""
GROUP_BYTES_MAX = 8_000_000
TRIES_MAX = 12
PAUSE_SECONDS_MIN = 0.001
PAUSE_SECONDS_MAX = 0.05
AWAY_SECONDS_MAX = 2.0
"""The pause before an unknown outcome is looked into again doubles up to this."""
UNKNOWN_SECONDS_MAX = 5.0
"""So long a store may be unable to say whether it has a commit; then the caller is told to ask
again. A store that is away takes as long once more for its last answer."""
CONFIRM_TRIES_MAX = 20
TICK = timedelta(microseconds=1)


class Appended(NamedTuple):
    """`replayed`: the command had been stored before, this is its first commit."""

    commit: Commit
    replayed: bool


@dataclass(eq=False, slots=True)
class _Waiting:
    draft: Draft
    done: asyncio.Future[Appended]
    tries: int = 0

    def answer(self, outcome: Appended | Exception) -> None:
        if self.done.done():
            return
        if isinstance(outcome, Exception):
            self.done.set_exception(outcome)
        else:
            self.done.set_result(outcome)


@dataclass(eq=False)
class Appender:
    """`append` is the only way into a log. `heard` are told of every commit stored here; shards in
    `fenced` take none."""

    store: EventStore
    log: str
    clock: Clock
    heard: list[Callable[[Sequence[Commit]], None]] = field(default_factory=list)
    fenced: Collection[int] = ()
    chance: Random = field(default_factory=Random)
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    _queue: deque[_Waiting] = field(default_factory=deque)
    _heads: dict[int, Commit | None] = field(default_factory=dict)
    _task: asyncio.Task[None] | None = None
    _under_way: int = 0

    def __post_init__(self) -> None:
        count(CONFLICTS, 0, log=self.log)  # so that the first one shows as a rise

    async def append(self, draft: Draft) -> Appended:
        """Durable on return. `draft.expected` must be the last version of a commit that was read.

        Raises WrongVersion (the stream has moved), KeyReused, TooLarge, Busy (nothing was tried),
        Fenced and StoreAway (the outcome may be unknown: ask again with the same command id).
        """
        return await self.offered(draft)

    def offered(self, draft: Draft) -> asyncio.Future[Appended]:
        """What becomes of a draft; for whoever has many and no need of a task for each."""
        waiting = _Waiting(draft, asyncio.get_running_loop().create_future())
        if len(self._queue) >= WAITING_MAX:
            waiting.answer(Busy("too many commands are waiting"))
            return waiting.done
        self._queue.append(waiting)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._drain())
        return waiting.done

    def waiting(self) -> int:
        """Commands that have no answer yet."""
        return len(self._queue) + self._under_way

    async def close(self) -> None:
        """Waits until everything that was queued has its answer."""
        if self._task is not None:
            await asyncio.wait([self._task])

    async def _drain(self) -> None:
        waiting = len(self._queue)
        halved = self.store.parallel and waiting >= HALVED_MIN
        most = min(GROUP_MAX, waiting // 2) if halved else GROUP_MAX
        while self._queue:
            group, most = self._take(most), GROUP_MAX
            if not group:
                continue  # all of it was refused
            self._under_way = len(group)
            try:
                await self._write(group)
            except (StoreAway, OSError) as away:
                self._heads.clear()
                self._fail(group, StoreAway(str(away)))
            except Exception as broken:  # a caller must never wait for an answer that cannot come
                self._heads.clear()
                self._fail(group, broken)
            self._under_way = 0

    def _fail(self, group: Sequence[_Waiting], error: Exception) -> None:
        for waiting in group:
            if waiting in self._queue:
                self._queue.remove(waiting)
            waiting.answer(error)

    def _take(self, most: int) -> list[_Waiting]:
        """The next group, of so many at most: one draft a stream, so that a refusal is about one
        draft."""
        group: list[_Waiting] = []
        later: list[_Waiting] = []
        streams: set[str] = set()
        size = 0
        while self._queue and len(group) < most and size < GROUP_BYTES_MAX:
            waiting = self._queue.popleft()
            if self.fenced and shard_of(waiting.draft.stream) in self.fenced:
                waiting.answer(Fenced("this shard stands still"))
                continue
            if waiting.draft.stream in streams:
                later.append(waiting)
                continue
            streams.add(waiting.draft.stream)
            size += sum(map(len, waiting.draft.events))
            group.append(waiting)
        self._queue.extendleft(reversed(later))
        return group

    async def _write(self, group: list[_Waiting]) -> None:
        sent, rows = await self._chain(group)
        if not rows:
            return
        traces = (waiting.draft.trace for waiting in sent)
        time = asyncio.get_running_loop().time
        began = time()
        with batch_span("append", traces, log=self.log, count=len(rows)):
            stored, error = await self.store.insert(rows)
        measure(APPEND, time() - began, log=self.log)
        measure(GROUP, len(rows), log=self.log)
        count(COMMITS, stored, log=self.log)
        self._acknowledge(sent[:stored], rows[:stored])
        if error is None:
            return
        rest = sent[stored:]
        if error == "unknown":
            await self._look_into(rest)
            return
        count(CONFLICTS, log=self.log)
        self._forget_heads(rest)
        left = await self._settle(rest)
        if left and left[0] is rest[0]:
            await self._judge_first(left, pause=stored == 0)
        else:
            self._queue.extendleft(reversed(left))

    async def _chain(self, group: list[_Waiting]) -> tuple[list[_Waiting], list[Commit]]:
        """Gives each draft its place behind the head of its shard."""
        unknown = sorted({shard_of(one.draft.stream) for one in group} - self._heads.keys())
        found = await asyncio.gather(*map(self.store.head, unknown))
        self._heads.update(zip(unknown, found, strict=True))
        heads = dict(self._heads)
        now = self.clock.now()
        sent, rows = [], []
        for waiting in group:
            shard = shard_of(waiting.draft.stream)
            head = heads[shard]
            seq, prev = (head.seq + 1, head.hash) if head else (1, NO_PREV)
            draft = waiting.draft
            at = not_before(now, head.at if head else None, draft.cause, draft.deps)
            try:
                row = encode(draft, self.log, seq, prev, at)
            except TooLarge as large:
                waiting.answer(large)
                continue
            heads[shard] = row
            sent.append(waiting)
            rows.append(row)
        return sent, rows

    def _acknowledge(self, group: Sequence[_Waiting], rows: Sequence[Commit]) -> None:
        for waiting, row in zip(group, rows, strict=True):
            self._heads[row.shard] = row
            waiting.answer(Appended(row, False))
        self._tell(rows)

    def _tell(self, rows: Sequence[Commit]) -> None:
        if rows:
            for hear in self.heard:
                hear(rows)

    def _forget_heads(self, group: Sequence[_Waiting]) -> None:
        for waiting in group:
            self._heads.pop(shard_of(waiting.draft.stream), None)

    async def _settle(self, group: list[_Waiting]) -> list[_Waiting]:
        """Answers those whose command is stored already; returns the others, in order."""
        commands = [waiting.draft.command for waiting in group]
        found = await self.store.by_commands(commands, local=True)
        for tries in range(CONFIRM_TRIES_MAX):
            if not found:
                break
            confirmed = await self.store.by_commands(list(found))
            if confirmed.keys() == found.keys():
                break
            if tries == CONFIRM_TRIES_MAX - 1:
                raise StoreAway("a stored command did not reach the majority")
            await self._pause(tries)
        self._tell(list(found.values()))
        left = []
        for waiting in group:
            prior = found.get(waiting.draft.command)
            if prior is None:
                left.append(waiting)
            elif same_request(prior, waiting.draft.request):
                waiting.answer(Appended(prior, True))
            else:
                waiting.answer(KeyReused())
        return left

    async def _judge_first(self, left: list[_Waiting], pause: bool) -> None:
        """The first draft collided, and not by its command: its stream moved, or its place went."""
        first, *others = left
        draft = first.draft
        moved = False
        async for _ in self.store.stream(draft.stream, after=draft.expected):
            moved = True
            break
        if moved:
            first.answer(WrongVersion())
            self._queue.extendleft(reversed(others))
            return
        first.tries += 1
        if first.tries >= TRIES_MAX:
            first.answer(Busy("other writers were faster, again and again"))
            self._queue.extendleft(reversed(others))
            return
        self._queue.extendleft(reversed(left))
        if pause:
            await self._pause(first.tries)

    async def _look_into(self, rest: list[_Waiting]) -> None:
        """The outcome is unknown: whatever is stored is answered, the rest is tried again."""
        self._forget_heads(rest)
        time = asyncio.get_running_loop().time
        until = time() + UNKNOWN_SECONDS_MAX
        for tries in range(TRIES_MAX):
            try:
                left = await self._settle(rest)
                break
            except StoreAway:
                if tries == TRIES_MAX - 1 or time() >= until:
                    raise
                await self.sleep(min(AWAY_SECONDS_MAX, PAUSE_SECONDS_MAX * 2**tries))
        keep = []
        for waiting in left:
            waiting.tries += 1
            if waiting.tries >= TRIES_MAX:
                waiting.answer(StoreAway("the store does not take commits"))
            else:
                keep.append(waiting)
        self._queue.extendleft(reversed(keep))
        if keep:
            await self.sleep(min(AWAY_SECONDS_MAX, PAUSE_SECONDS_MAX * 2 ** keep[0].tries))

    async def _pause(self, tries: int) -> None:
        """Full jitter: writers that collided do not meet again."""
        limit = min(PAUSE_SECONDS_MAX, PAUSE_SECONDS_MIN * 2**tries)
        await self.sleep(self.chance.uniform(PAUSE_SECONDS_MIN, limit))


def same_request(prior: Commit, request: str | None) -> bool:
    """Whether a found command was the same request. What carries none is never compared."""
    stored = prior.content.get("request")
    return stored is None or request is None or stored == request


def not_before(
    now: datetime, last: datetime | None, cause: Dep | None, deps: Sequence[Dep]
) -> datetime:
    """Monotone after `last`, and later than everything that is rested on: another process's clock
    may be ahead of ours."""
    found = now if last is None or now > last else last
    if cause is not None:
        found = max(found, cause.at + TICK)
    for dep in deps:
        found = max(found, dep.at + TICK)
    return found
