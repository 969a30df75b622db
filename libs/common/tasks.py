"""Loops that live exactly as long as the service, and the serving itself.

The list given to `running` is the service: each line is one arrow of the flow. A loop whose store
or bus is away is started again; a loop that dies of a mistake makes the service not ready and asks
the process to stop, because a service with a dead projection would answer wrongly for days.
"""

import asyncio
import contextlib
import gc
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import uvicorn

from libs.common.errors import Conflict, Fork, StoreAway, Unavailable
from libs.common.meters import LOOP_ENDS, count
from libs.common.telemetry import log, where

PAUSE_SECONDS_MIN = 0.5
PAUSE_SECONDS_MAX = 10.0
ENDS = ("away", "died", "halted")
CALM_SECONDS = 60.0
"""A loop that ran this long starts again after the shortest pause."""
START_SECONDS_MAX = 60.0
"""So long a process that starts waits for a store that does not answer, then whoever watches it may
try elsewhere."""
DRAIN_SECONDS_MAX = 20
"""Requests under way get this long when the process is told to stop."""
LEAVE_SECONDS = 2.0
"""So long whoever sends requests here may take to learn that they go elsewhere now."""
LEAVE_LOOK_SECONDS = 0.05
CONNECTIONS_MAX = 1_000
KEEP_ALIVE_SECONDS = 75
GC_THRESHOLDS = (50_000, 20, 50)
"""Views in memory are millions of objects without cycles; looking through them all is for rare
occasions. Importing a district spent a third of its time there with Python's own thresholds."""

SWITCH_SECONDS = 0.0001
"""A thread that has written asks for the interpreter once, and gets it after so long at the latest;
with Python's own 5 ms whoever decides and whoever writes take turns instead of working at once."""

T = TypeVar("T")
Loop = Callable[[], Awaitable[None]]

AWAY = (Unavailable, OSError, Conflict)
"""What passes by itself; `OSError` includes timeouts and lost connections."""


class Died(Exception):
    """A loop ended by a mistake; its argument names it. The process must not end well."""


@dataclass(eq=False)
class Loops:
    """How the loops are. `ready` gives reasons why the service is not; none means it is."""

    names: tuple[str, ...] = ()
    _dead: dict[str, str] = field(default_factory=dict)
    _away: dict[str, str] = field(default_factory=dict)
    _fell: dict[str, float] = field(default_factory=dict)

    def dead(self) -> list[str]:
        """Loops that will not run again in this process."""
        return sorted(self._dead)

    def away(self) -> list[str]:
        """Loops that wait for their store or bus. Commands go on, so this is no reason."""
        return sorted(self._away)

    def up(self) -> dict[str, bool]:
        """Which loops run and have not fallen for a while."""
        calm = asyncio.get_running_loop().time() - CALM_SECONDS
        falling = {name for name, at in self._fell.items() if at > calm}
        return {name: name not in self._dead.keys() | falling for name in self.names}

    def ready(self) -> list[str]:
        return [f"loop {name}: {why}" for name, why in sorted(self._dead.items())]


def ask_to_stop() -> None:
    signal.raise_signal(signal.SIGTERM)


@asynccontextmanager
async def running(
    loops: Mapping[str, Loop],
    once: Mapping[str, Loop] | None = None,
    stop: Callable[[], None] = ask_to_stop,
) -> AsyncIterator[Loops]:
    """Runs `loops` for ever and `once` to their end, inside the block only. Leaving the block ends
    them, and raises Died when one of them had died."""
    state = Loops((*loops, *(once or ())))
    for name in state.names:
        for how in ENDS:
            count(LOOP_ENDS, 0, loop=name, end=how)  # so that the first one shows as a rise
    tasks = [
        asyncio.create_task(_supervised(state, name, loop, endless, stop), name=name)
        for some, endless in ((loops, True), (once or {}, False))
        for name, loop in some.items()
    ]
    try:
        yield state
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    if state.dead():
        raise Died(", ".join(state.dead()))


async def _supervised(
    state: Loops, name: str, loop: Loop, endless: bool, stop: Callable[[], None]
) -> None:
    pause = PAUSE_SECONDS_MIN
    monotonic = asyncio.get_running_loop().time
    while True:
        began, place = monotonic(), ""
        try:
            await _meant(loop)
            if not endless:
                return
            why = "ended"
        except AWAY as away:
            state._away[name], state._fell[name] = type(away).__name__, monotonic()
            count(LOOP_ENDS, loop=name, end="away")
            log("loop.away", loop=name, error=type(away).__name__)
            if monotonic() - began > CALM_SECONDS:
                pause = PAUSE_SECONDS_MIN
            await asyncio.sleep(pause)
            pause = min(PAUSE_SECONDS_MAX, 2 * pause)
            state._away.pop(name, None)
            continue
        except Fork:
            # A human must choose; starting again would only meet it again.
            state._dead[name] = "Fork"
            count(LOOP_ENDS, loop=name, end="halted")
            log("loop.halted", loop=name, error="Fork")
            return
        except Exception as mistake:
            why, place = type(mistake).__name__, where(mistake)
        state._dead[name] = why
        count(LOOP_ENDS, loop=name, end="died")
        log("loop.died", loop=name, error=why, where=place)
        stop()
        return


async def _meant(loop: Loop) -> None:
    """Runs it. Raises StoreAway where it was cancelled by nobody here: a client that passes on the
    end of a task of its own would else end a loop without a word."""
    try:
        await loop()
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise StoreAway("a client has cancelled its caller") from None


async def reached(opening: Callable[[], Awaitable[T]]) -> T:
    """What opens as soon as its store answers. Raises Unavailable when it does not in time."""
    monotonic = asyncio.get_running_loop().time
    until = monotonic() + START_SECONDS_MAX
    while True:
        try:
            return await opening()
        except Unavailable as away:
            if monotonic() >= until:
                raise
            log("start.waits", error=type(away).__name__)
            await asyncio.sleep(PAUSE_SECONDS_MIN)


@dataclass(eq=False)
class Leaving:
    """A process that was told to stop goes on answering for so long. It says that it is not ready,
    and every answer is the last on its connection: nobody finds a connection closed on which they
    have just sent something. Without a second process to go to there is no use in waiting."""

    seconds: float = 0.0
    begun: bool = False


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, leaving: Leaving) -> None:
        super().__init__(config)
        self.leaving = leaving

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.leaving.begun = True
        state, monotonic = self.server_state, asyncio.get_running_loop().time
        state.default_headers = [*state.default_headers, (b"connection", b"close")]
        until = monotonic() + self.leaving.seconds
        while monotonic() < until and not self.force_exit:  # noqa: ASYNC110 - a Ctrl-C sets it
            await asyncio.sleep(LEAVE_LOOK_SECONDS)
        await super().shutdown(sockets)


async def serve(app: Any, host: str, port: int, leaving: Leaving | None = None) -> None:
    """Serves until SIGTERM or SIGINT; requests under way are answered first."""
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        limit_concurrency=CONNECTIONS_MAX,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=DRAIN_SECONDS_MAX,
    )
    settle()
    with _signals_wait():
        await _Server(config, leaving or Leaving()).serve()


def settle() -> None:
    """A process that has started is tuned for a long life beside threads that wait for disks."""
    gc.collect()
    gc.freeze()  # what stands at the start is not looked through again and again
    gc.set_threshold(*GC_THRESHOLDS)
    sys.setswitchinterval(SWITCH_SECONDS)


@contextlib.contextmanager
def _signals_wait() -> Any:
    """The server hands a signal on when it has drained; the loops and stores still have to close,
    so that second signal must not kill the process."""
    kept = {number: signal.signal(number, _nothing) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)


def _nothing(_: int, __: object) -> None:
    pass


def run(main: Coroutine[Any, Any, None]) -> None:
    """Runs a service's main on the fast event loop."""
    import uvloop  # late: what only tests this module needs no event loop of its own

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main)
