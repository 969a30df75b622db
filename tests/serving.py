"""The platform as a process of its own, to be asked over HTTP, killed and started again."""

import asyncio
import ctypes
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from socket import AF_INET, SOCK_STREAM, socket
from time import monotonic
from typing import Any

from libs.common.adapters import open_store
from libs.common.client import Client, NoReply, Reply
from libs.common.ports import EventStore

HOST = "127.0.0.1"
READY_SECONDS_MAX = 120.0
LOOK_SECONDS = 0.05
TRIES_MAX = 600
DIE_WITH_PARENT = 1
DIRECTORY = b"""{"schools": [{"ref": "sch_1", "name": "One"}, {"ref": "sch_2", "name": "Two"}],
 "agencies": [{"ref": "agy_a", "name": "A", "services": ["counseling"]},
              {"ref": "agy_b", "name": "B", "services": ["counseling"]}],
 "terms": [{"school": "sch_1", "agency": "agy_a", "services": ["counseling"]},
           {"school": "sch_1", "agency": "agy_b", "services": ["counseling"]}],
 "calendar": {"first": "2025-09-04", "last": "2026-06-30"}}"""
SERVICES = ("consent", "referrals")


def free_port() -> int:
    with socket(AF_INET, SOCK_STREAM) as held:
        held.bind((HOST, 0))
        return int(held.getsockname()[1])


@dataclass(eq=False)
class Served:
    """`folder` holds all of it; `more` are settings that differ from the embedded ones."""

    folder: Path
    modules: Sequence[str] = ("services",)
    more: Mapping[str, str] = field(default_factory=dict)
    ports: list[int] = field(default_factory=list)
    processes: list[Process] = field(default_factory=list)
    _tokens: dict[tuple[str, str, str], str] = field(default_factory=dict)
    _clients: list[Client] = field(default_factory=list)

    async def start(self) -> None:
        """Ready when this returns. The ports stay the same from start to start."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "directory.json").write_bytes(DIRECTORY)
        if not self.ports:
            self.ports = [free_port() for _ in self.modules]
            self._clients = [Client(HOST, port, 16) for port in self.ports]
        for module, port in zip(self.modules, self.ports, strict=True):
            self.processes.append(await self._spawned(module, port))
        for client, process in zip(self._clients, self.processes, strict=True):
            await _ready(client, process, self.folder / "log")

    async def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        for process in self.processes:
            if process.returncode is None:
                process.send_signal(how)
        for process in self.processes:
            await process.wait()
        self.processes.clear()

    async def close(self) -> None:
        await self.stop(signal.SIGKILL)
        for client in self._clients:
            await client.__aexit__(None, None, None)

    async def ask(
        self,
        who: tuple[str, str, str],
        method: str,
        path: str,
        body: Any = None,
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Once. `who` = subject, role, organisation."""
        sent = {"Authorization": f"Bearer {await self.token(who)}", **(headers or {})}
        if key is not None:
            sent["Idempotency-Key"] = key
        client = self._clients[self._place(path)]
        return await client.request(method, path, body, sent)

    async def surely(
        self,
        who: tuple[str, str, str],
        method: str,
        path: str,
        body: Any = None,
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Again, with the same key, until there is an answer."""
        for _ in range(TRIES_MAX):
            try:
                reply = await self.ask(who, method, path, body, key, headers)
            except (NoReply, OSError):
                await asyncio.sleep(LOOK_SECONDS)  # as a client that lost its reply does
                continue
            if reply.status != 503:
                return reply
            await asyncio.sleep(LOOK_SECONDS)  # as it is told to
        raise AssertionError(f"no answer to {method}")

    async def token(self, who: tuple[str, str, str]) -> str:
        if who not in self._tokens:
            asked = {"sub": who[0], "role": who[1], "org": who[2], "seconds": 3_600}
            for _ in range(TRIES_MAX):
                try:
                    reply = await self._clients[0].request("POST", "/issuer/token", asked)
                except (NoReply, OSError):
                    await asyncio.sleep(LOOK_SECONDS)  # it is being started
                    continue
                self._tokens[who] = reply.body["access_token"]
                break
        return self._tokens[who]

    def _place(self, path: str) -> int:
        """Which process answers: referrals' own paths, else consent's."""
        if len(self.modules) == 1:
            return 0
        ours = ("/v1/referrals", "/v1/needs", "/v1/agencies", "/v1/concerns", "/v1/waits")
        queues = path.endswith(("/queue", "/waits"))
        return self.modules.index("services.referrals") if path.startswith(ours) or queues else 0

    async def _spawned(self, module: str, port: int) -> Process:
        data = self.folder / "data"
        settings = {
            "DATA_DIR": str(data),
            "STORE_URL": f"sqlite://{data}",
            "VIEWS_URL": f"sqlite://{data}",
            "KEYS_URL": f"sqlite://{data}",
            "BUS_URL": f"sqlite://{data}",
            "KEK_FILE": str(self.folder / "kek"),
            "DIRECTORY_FILE": str(self.folder / "directory.json"),
            "OIDC_ISSUER": f"http://{HOST}:{self.ports[0]}/issuer",
            "ALLOW_DEV_ISSUER": "yes",
            "HOST": HOST,
            "PORT": str(port),
            **self.more,
        }
        with (self.folder / "log").open("ab") as log:
            return await asyncio.create_subprocess_exec(
                "env",
                *(f"{name}={value}" for name, value in settings.items()),
                sys.executable,
                "-m",
                module,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=_die_with_parent,
            )


def _die_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(DIE_WITH_PARENT, signal.SIGKILL)


async def _ready(client: Client, process: Process, log: Path) -> None:
    until = monotonic() + READY_SECONDS_MAX
    while monotonic() < until:
        assert process.returncode is None, log.read_text()[-2_000:]
        try:
            if (await client.request("GET", "/health/ready")).status == 200:
                return
        except OSError:
            pass
        await asyncio.sleep(LOOK_SECONDS)  # between two looks
    raise AssertionError(log.read_text()[-2_000:])


@asynccontextmanager
async def served(folder: Path, **more: str) -> AsyncIterator[Served]:
    """The embedded platform, ready, for the length of the block."""
    platform = Served(folder, more=more)
    try:
        await platform.start()
        yield platform
    finally:
        await platform.close()


@asynccontextmanager
async def logs(folder: Path) -> AsyncIterator[dict[str, EventStore]]:
    """Both logs of an embedded platform, to read."""
    async with AsyncExitStack() as stack:
        yield {
            name: await stack.enter_async_context(
                open_store(f"sqlite://{folder / 'data'}", name, readonly=True)
            )
            for name in SERVICES
        }
