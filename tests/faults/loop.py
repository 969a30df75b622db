"""An event loop in which time is a number and chance decides who goes first.

Nothing waits: when nobody is ready, time jumps to the next timer. Among all that is ready one is
taken at random, by a seed, so that every seed is another interleaving and the same seed the same.

A process is a mark on a context, and every task that it starts inherits the mark. What belongs to a
process that was killed is never run again, as after kill -9: no `finally`, no last word. What
belongs to a frozen one is set aside until it is thawed (SIGSTOP, SIGCONT).
"""

import asyncio
import heapq
import sys
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from contextvars import Context, ContextVar, copy_context
from dataclasses import dataclass, field
from random import Random
from typing import Any, TypeVar, TypeVarTuple, cast

T = TypeVar("T")
Ts = TypeVarTuple("Ts")
STEPS_MAX = 300_000
"""A hundred times what a world takes: whoever needs more runs in circles."""
LAST_STEPS_MAX = 100_000
"""Steps for everything that is left at the end to be cancelled."""


class Stuck(Exception):
    """Everybody waits and nothing will happen, or somebody runs in circles."""


@dataclass(eq=False)
class Process:
    """What can be killed or frozen as one."""

    name: str
    dead: bool = False
    frozen: bool = False
    since: float = 0.0
    """When it was last killed, frozen or thawed."""
    held: "list[Due]" = field(default_factory=list)

    def __repr__(self) -> str:
        return self.name


HERE: ContextVar[Process | None] = ContextVar("process", default=None)
"""The process whose work is being done; None is the world itself."""


def inside(process: Process | None) -> Context:
    """A context for tasks of this process."""
    context = copy_context()
    context.run(HERE.set, process)
    return context


class Due(asyncio.TimerHandle):
    """Something to be done, now or at its time, and the process whose work it is."""

    __slots__ = ("process",)

    def __init__(  # as lean as it can be: a world makes thousands
        self, when: float, callback: Callable[..., Any], args: tuple[Any, ...], context: Context
    ) -> None:
        self._when, self._callback, self._args = when, callback, args
        self._context, self._cancelled = context, False
        self._source_traceback = None
        self.process = context.get(HERE)

    def cancel(self) -> None:
        self._cancelled = True
        self._args = ()

    def __repr__(self) -> str:
        return f"<{self._callback} at {self._when}>"


class Loop(asyncio.AbstractEventLoop):
    """No sockets, no files, no threads, no signals: what the machinery waits for are ports."""

    def __init__(self, chance: Random) -> None:
        self.chance = chance
        self.now = 0.0
        self.steps = 0
        self.mistakes: list[BaseException] = []
        """What callbacks raised, and tasks that nobody asked."""
        self._ready: list[Due] = []
        self._timers: list[tuple[float, int, Due]] = []
        self._count = 0
        self._tasks: list[asyncio.Task[Any]] = []
        self._stopped: list[Process] = []
        self._closed = False
        self._ending = False

    # what asyncio asks of a loop
    def time(self) -> float:
        return self.now

    def call_soon(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> Due:
        handle = Due(self.now, callback, args, copy_context() if context is None else context)
        self._ready.append(handle)
        return handle

    def call_later(
        self,
        delay: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> Due:
        return self.call_at(self.now + delay, callback, *args, context=context)

    def call_at(
        self,
        when: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> Due:
        handle = Due(when, callback, args, copy_context() if context is None else context)
        self._count += 1
        heapq.heappush(self._timers, (when, self._count, handle))
        return handle

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(
        self,
        coro: Generator[Any, None, T] | Coroutine[Any, Any, T],
        *,
        name: str | None = None,
        context: Context | None = None,
    ) -> asyncio.Task[T]:
        """Kept to the end: what was killed must not be tidied up by Python in the meantime."""
        made = asyncio.Task(
            cast("Coroutine[Any, Any, T]", coro), loop=self, name=name, context=context
        )
        self._tasks.append(made)
        return made

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return not self._closed

    def is_closed(self) -> bool:
        return self._closed

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        mistake = context.get("exception")
        if mistake is not None and not self._ending:
            self.mistakes.append(mistake)

    # the world
    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """Runs it to its end, then ends all else. Raises Stuck when nobody can go on."""
        hooks = sys.get_asyncgen_hooks()
        asyncio._set_running_loop(self)
        sys.set_asyncgen_hooks(firstiter=None, finalizer=self._finalize)
        try:
            task = self.create_task(main)
            while not task.done():
                self._step()
                if self.steps > STEPS_MAX:
                    raise Stuck("somebody runs in circles")
            return task.result()
        finally:
            try:
                self._end()
            finally:
                sys.set_asyncgen_hooks(*hooks)
                asyncio._set_running_loop(None)
                self._closed = True

    def kill(self, process: Process) -> None:
        process.dead, process.since = True, self.now
        self._stopped.append(process)

    def freeze(self, process: Process) -> None:
        process.frozen, process.since = True, self.now
        self._stopped.append(process)

    def thaw(self, process: Process) -> None:
        process.frozen, process.since = False, self.now
        if not process.dead:
            self._ready += process.held
            process.held.clear()

    def _step(self) -> None:
        timers, ready = self._timers, self._ready
        while timers and (not ready or timers[0][0] <= self.now):
            when, _, handle = heapq.heappop(timers)
            if not handle._cancelled:
                self.now = max(self.now, when)
                ready.append(handle)
        if not ready:
            raise Stuck("everybody waits and nothing will happen")
        place = int(self.chance.random() * len(ready))
        handle = ready[place]
        last = ready.pop()
        if last is not handle:
            ready[place] = last
        if handle._cancelled:
            return
        process = handle.process if not self._ending else None
        if process is not None and (process.dead or process.frozen):
            process.held.append(handle)
            return
        self.steps += 1
        try:
            handle._context.run(handle._callback, *handle._args)
        except Exception as mistake:
            self.mistakes.append(mistake)

    def _finalize(self, generator: AsyncGenerator[Any, Any]) -> None:
        if not self._closed:
            self.create_task(_closed(generator))

    def _end(self) -> None:
        """The dead are woken once more, to be told that it is over: nothing is left for Python's
        collector to end at a moment of its own choosing."""
        self._ending = True
        for process in self._stopped:
            self._ready += process.held
            process.held.clear()
        for task in self._tasks:
            task.cancel()
        for _ in range(LAST_STEPS_MAX):
            if not self._ready:
                left = [task for task in self._tasks if not task.done()]
                if not left:
                    break
                for task in left:
                    task.cancel()
            self._step()
        for task in self._tasks:
            if task.done() and not task.cancelled():
                task.exception()  # it was asked
        self._tasks.clear()


async def _closed(generator: AsyncGenerator[Any, Any]) -> None:
    await generator.aclose()


def loop_of(chance: Random) -> Loop:
    return Loop(chance)  # type: ignore[abstract]  # what it lacks is of sockets, files and threads


def run_virtually(main: Coroutine[Any, Any, T], seed: int = 0) -> T:
    """Runs it in virtual time. A mistake in a callback is raised, as nobody else would hear it."""
    loop = loop_of(Random(seed))
    found = loop.run(main)
    if loop.mistakes:
        raise loop.mistakes[0]
    return found
