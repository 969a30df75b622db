"""Owns the processes of a run by their ids: starts, kills, freezes, thaws and reaps them.

Each child leads a process group of its own and dies with this process. What a kill is for is the
caller's business; that nothing is left behind is this page's.
"""

import asyncio
import ctypes
import os
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Protocol

from deploy.engines.engines import Running

READY_SECONDS_MAX = 120.0
LOOK_SECONDS = 0.02
END_SECONDS_MAX = 30.0
LOG_CHARS_SHOWN = 2_000
DIE_WITH_PARENT = 1
HANDS = 4
"""So many engines may be started side by side."""


class Child(Protocol):
    """Whatever can be killed and started again on the same port."""

    name: str

    async def start(self) -> None:
        """Ready when this returns."""

    async def kill(self) -> None:
        """kill -9 of its process group; reaped when this returns."""

    def freeze(self) -> None:
        """SIGSTOP: it holds its connections and answers nothing."""

    def thaw(self) -> None: ...


@dataclass(eq=False)
class Program:
    """A Python process of ours. `ready` asks it whether it may be asked."""

    name: str
    arguments: Sequence[str]
    environ: Mapping[str, str]
    log: Path
    ready: Callable[[], Awaitable[bool]]
    process: Process | None = None

    async def start(self) -> None:
        await self.spawn()
        await self.wait()

    async def spawn(self) -> None:
        words = [f"{name}={value}" for name, value in self.environ.items()]
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                "env",
                *words,
                sys.executable,
                *self.arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=die_with_parent,
            )

    async def wait(self) -> None:
        """Until it is ready. Raises AssertionError with the end of its log."""
        until = monotonic() + READY_SECONDS_MAX
        while monotonic() < until:
            assert self.process is not None
            assert self.process.returncode is None, f"{self.name} ended: {self._said()}"
            with suppress(OSError):
                if await self.ready():
                    return
            await asyncio.sleep(LOOK_SECONDS)  # between two looks
        raise AssertionError(f"{self.name} is not ready: {self._said()}")

    async def kill(self) -> None:
        await self._end(signal.SIGKILL)

    async def end(self) -> None:
        """SIGTERM, and a kill when that takes too long."""
        try:
            async with asyncio.timeout(END_SECONDS_MAX):
                await self._end(signal.SIGTERM)
        except TimeoutError:
            await self.kill()

    def terminate(self) -> None:
        self.send(signal.SIGTERM)

    def freeze(self) -> None:
        self.send(signal.SIGSTOP)

    def thaw(self) -> None:
        self.send(signal.SIGCONT)

    def send(self, how: signal.Signals) -> None:
        if self.process is not None and self.process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, how)

    async def _end(self, how: signal.Signals) -> None:
        self.send(how)
        await self.reap()

    async def reap(self) -> None:
        """Until it has ended, however it was told to."""
        if self.process is not None:
            await self.process.wait()

    def _said(self) -> str:
        return self.log.read_text(errors="replace")[-LOG_CHARS_SHOWN:]


@dataclass(eq=False)
class Engine:
    """Kafka or the MongoDB-compatible server: `begin` starts it in its folder, on its port."""

    name: str
    begin: Callable[[Path], Running]
    folder: Path
    hand: ThreadPoolExecutor
    """Its threads outlive the engine: that dies with the thread that started it."""
    running: Running | None = None

    @property
    def url(self) -> str:
        assert self.running is not None
        return self.running.url

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        self.running = await loop.run_in_executor(self.hand, self.begin, self.folder)

    async def kill(self) -> None:
        if self.running is not None:
            await asyncio.to_thread(self.running.stop)

    def freeze(self) -> None:
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, how: signal.Signals) -> None:
        if self.running is not None and self.running.process.poll() is None:
            self.running.process.send_signal(how)


@dataclass(eq=False)
class Supervisor:
    """All children of one run, by name."""

    children: dict[str, Child] = field(default_factory=dict)
    hand: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(HANDS))

    def own(self, child: Child) -> None:
        assert child.name not in self.children, child.name
        self.children[child.name] = child

    def engine(self, name: str, begin: Callable[[Path], Running], folder: Path) -> Engine:
        made = Engine(name, begin, folder, self.hand)
        self.own(made)
        return made

    async def close(self) -> None:
        """Kills and reaps all; programs before the engines they talk to."""
        for child in reversed(self.children.values()):
            child.thaw()
            await child.kill()
        self.hand.shutdown()


def die_with_parent() -> None:
    """Runs in the child, before it becomes the program."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(DIE_WITH_PARENT, signal.SIGKILL)
