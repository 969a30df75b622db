"""Starts the platform, one process a service, and stops it again.

Embedded, everything lies in one folder that the demo empties; with two URLs the same services run
on Kafka and MongoDB under a prefix of their own.
"""

import asyncio
import ctypes
import shutil
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from socket import AF_INET, SOCK_STREAM, socket
from time import monotonic, time_ns

from demo.callers import Callers, Gone, Place
from demo.stepping import Steps
from libs.common.service import PARTS
from libs.common.settings import Settings
from libs.common.web.client import Client

HOST = "127.0.0.1"
CONNECTIONS = 96
READY_SECONDS_MAX = 60.0
READY_PAUSE_SECONDS = 0.05
STOP_SECONDS_MAX = 40.0
LOG_LINES_SHOWN = 15
MARKER = ".alliance-demo"
SERVICES = ("consent", "referrals")
PREFIX = "alliance"
"""Every service's own default."""
DIE_WITH_PARENT = 1
"""Linux: PR_SET_PDEATHSIG."""


class NotOurs(Exception):
    """The folder holds something that the demo did not put there."""


@dataclass(frozen=True)
class Engines:
    """Where logs, views and keys lie, and what carries the news; `prefix` begins every name. With
    `apart` each part of a service runs in so many processes of its own."""

    store_url: str
    bus_url: str
    prefix: str
    apart: int = 0

    @property
    def embedded(self) -> bool:
        return self.store_url.startswith("sqlite:")


@dataclass(frozen=True)
class Files:
    """`data` is emptied at the start; what must not lie beside it is in `beside`."""

    data: Path = Path("data/demo")
    beside: Path = Path("build/demo")

    @property
    def directory(self) -> Path:
        return self.data / "directory.json"

    @property
    def roster(self) -> Path:
        return self.beside / "roster.zip"

    @property
    def kek(self) -> Path:
        return self.beside / "kek"

    @property
    def log(self) -> Path:
        return self.beside / "platform.log"


@dataclass(frozen=True)
class Platform:
    engines: Engines
    callers: Callers
    steps: Steps
    processes: list[Process] = field(default_factory=list)


def engines_of(files: Files, apart: int = 0) -> Engines:
    """STORE_URL and BUS_URL, when both name a server, under PREFIX or a new one; else everything in
    `files.data`."""
    found = Settings.of("demo")
    if found.store_url.startswith("sqlite:") and found.bus_url.startswith("sqlite:"):
        if apart:
            raise NotOurs("parts run apart on servers only: set STORE_URL and BUS_URL")
        folder = f"sqlite://{files.data}"
        return Engines(folder, folder, PREFIX)
    if found.store_url.startswith("sqlite:") or found.bus_url.startswith("sqlite:"):
        raise NotOurs("set both STORE_URL and BUS_URL, or neither")
    prefix = found.prefix if found.prefix != PREFIX else f"demo{time_ns() // 1_000_000}"
    return Engines(found.store_url, found.bus_url, prefix, apart)


def emptied(files: Files) -> None:
    """Raises NotOurs for a folder that has no mark of an earlier demo."""
    if files.data.exists() and any(files.data.iterdir()):
        if not (files.data / MARKER).exists():
            raise NotOurs(f"{files.data} holds something else; the demo does not touch it")
        shutil.rmtree(files.data)
    files.data.mkdir(parents=True, exist_ok=True)
    (files.data / MARKER).write_text("Made by python -m demo, which empties this folder.\n")
    files.beside.mkdir(parents=True, exist_ok=True)


@asynccontextmanager
async def started(engines: Engines, files: Files, start: str) -> AsyncIterator[Platform]:
    """The platform, ready; `start` is where its clock begins. It ends with the block. Every service
    is one process, or `engines.apart` of each of its parts."""
    wanted = _programs(engines.apart)
    ports = dict(zip(wanted, _free_ports(len(wanted)), strict=True))
    issuer = f"http://{HOST}:{next(iter(ports.values()))}/issuer"
    async with AsyncExitStack() as stack:
        log = stack.enter_context(files.log.open("wb"))
        clients = {
            name: await stack.enter_async_context(Client(HOST, port, CONNECTIONS))
            for name, port in ports.items()
        }
        processes = {}
        for name, words in wanted.items():
            settings = _settings(engines, files, start, ports[name], issuer)
            processes[name] = await _spawned(words, settings, log.fileno())
            stack.push_async_callback(_stopped, processes[name])
            if not engines.apart:
                await _ready(clients[name], processes[name], files.log)
        for name, process in processes.items():
            await _ready(clients[name], process, files.log)
        asked = {
            service: Place([clients[name] for name in wanted if name.startswith(f"{service}-api")])
            for service in SERVICES
        }
        by_process = {name: Place([client]) for name, client in clients.items()}
        callers = Callers(asked, Place([next(iter(clients.values()))], "/issuer"))
        yield Platform(engines, callers, Steps(by_process), list(processes.values()))


def _programs(apart: int) -> dict[str, tuple[str, ...]]:
    """Name -> a module and the parts that it is to run; who answers is called `<service>-api`."""
    if not apart:
        return {f"{service}-api": (f"services.{service}",) for service in SERVICES}
    return {
        f"{service}-{part}-{number}": (f"services.{service}", part)
        for service in SERVICES
        for part in PARTS
        for number in range(1, apart + 1)
    }


def _settings(
    engines: Engines, files: Files, start: str, port: int, issuer: str
) -> Mapping[str, str]:
    return {
        "DATA_DIR": str(files.data),
        "STORE_URL": engines.store_url,
        "VIEWS_URL": engines.store_url,
        "KEYS_URL": engines.store_url,
        "BUS_URL": engines.bus_url,
        "PREFIX": engines.prefix,
        "KEK_FILE": str(files.kek),
        "DIRECTORY_FILE": str(files.directory),
        "OIDC_ISSUER": issuer,
        "ALLOW_DEV_ISSUER": "yes",
        "CLOCK": "stepped",
        "CLOCK_START": start,
        "HOST": HOST,
        "PORT": str(port),
    }


async def _spawned(words: Sequence[str], settings: Mapping[str, str], log: int) -> Process:
    """`env` adds to what this process was started with."""
    said = [f"{name}={value}" for name, value in settings.items()]
    return await asyncio.create_subprocess_exec(
        "env",
        *said,
        sys.executable,
        "-m",
        *words,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        start_new_session=True,
        preexec_fn=_die_with_parent,
    )


def _die_with_parent() -> None:
    """A demo that is killed leaves no platform behind (on Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(DIE_WITH_PARENT, signal.SIGTERM)


async def _ready(client: Client, process: Process, log: Path) -> None:
    until = monotonic() + READY_SECONDS_MAX
    while monotonic() < until:
        if process.returncode is not None:
            raise Gone(f"the platform ended at its start:\n{_tail(log)}")
        try:
            if (await client.request("GET", "/health/ready")).status == 200:
                return
        except OSError:
            pass
        await asyncio.sleep(READY_PAUSE_SECONDS)
    raise Gone(f"the platform is not ready:\n{_tail(log)}")


async def _stopped(process: Process) -> None:
    """SIGTERM lets it drain; SIGKILL if it does not end."""
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(STOP_SECONDS_MAX):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-LOG_LINES_SHOWN:])


def _free_ports(count: int) -> list[int]:
    """Free now; nobody else is expected to take them within the next second."""
    held = [socket(AF_INET, SOCK_STREAM) for _ in range(count)]
    for each in held:
        each.bind((HOST, 0))
    ports = [int(each.getsockname()[1]) for each in held]
    for each in held:
        each.close()
    return ports
