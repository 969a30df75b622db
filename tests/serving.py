"""The platform as a process of its own, to be asked over HTTP, killed and started again."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from deploy.engines.engines import free_port
from libs.common.adapters import open_store
from libs.common.ports import EventStore
from libs.common.web.client import Client, NoReply, Reply
from tests.canary import clean
from tests.faults.supervisor import Program

HOST = "127.0.0.1"
LOOK_SECONDS = 0.05
TRIES_MAX = 600
OPERATION_SECONDS_MAX = 120.0
DIRECTORY = b"""{"schools": [{"ref": "sch_1", "name": "One"}, {"ref": "sch_2", "name": "Two"}],
 "agencies": [{"ref": "agy_a", "name": "A", "services": ["counseling"]},
              {"ref": "agy_b", "name": "B", "services": ["counseling"]}],
 "terms": [{"school": "sch_1", "agency": "agy_a", "services": ["counseling"]},
           {"school": "sch_1", "agency": "agy_b", "services": ["counseling"]}],
 "calendar": {"first": "2025-09-04", "last": "2026-06-30"}}"""
SERVICES = ("consent", "referrals")


@dataclass(eq=False)
class Served:
    """`folder` holds all of it; `modules` are its processes, each with the parts that it is to run;
    `more` are settings that differ from the embedded ones, `always` headers of every
    request. They have started when `started_path` is answered with 200."""

    folder: Path
    modules: Sequence[str] = ("services",)
    more: Mapping[str, str] = field(default_factory=dict)
    always: dict[str, str] = field(default_factory=dict)
    ports: list[int] = field(default_factory=list)
    programs: list[Program] = field(default_factory=list)
    release: str = ""
    started_path: str = "/health/ready"
    _tokens: dict[tuple[str, str, str], str] = field(default_factory=dict)
    _clients: list[Client] = field(default_factory=list)
    _turns: Iterator[int] = field(default_factory=count)
    _seen: dict[str, dict[str, int]] = field(default_factory=dict)

    async def start(self) -> None:
        """Ready when this returns. The ports stay the same from start to start."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "directory.json").write_bytes(DIRECTORY)
        if not self.ports:
            self.ports = [free_port() for _ in self.modules]
            self._clients = [Client(HOST, port, 16) for port in self.ports]
            self.programs = [self._program(place) for place in range(len(self.modules))]
        for program, module in zip(self.programs, self.modules, strict=True):
            program.arguments = run_as(self.release, module)
            await program.spawn()
        for program in self.programs:
            await program.wait()

    async def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        for program in self.programs:
            program.send(how)
        for program in self.programs:
            await program.reap()

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
        """Once. `who` = subject, role, organisation. What is read has all that was said before to
        the same service, as its own page would ask."""
        sent = {"Authorization": f"Bearer {await self.token(who)}", **self.always}
        sent |= headers or {}
        if key is not None:
            sent["Idempotency-Key"] = key
        service = self._service(path)
        seen = self._seen.setdefault(service, {})
        if method == "GET" and seen:
            sent["Min-Position"] = ",".join(f"{shard}:{seq}" for shard, seq in seen.items())
        client = self._clients[self._place(service)]
        reply = await client.request(method, path, body, sent)
        if "position" in reply.headers:
            shard, _, seq = reply.headers["position"].rpartition(":")
            seen[shard] = max(int(seq), seen.get(shard, 0))
        return reply

    @property
    def urls(self) -> list[str]:
        """Where its processes answer."""
        return [f"http://{HOST}:{port}" for port in self.ports]

    async def plainly(self, path: str, place: int = 0) -> Any:
        """The body of an answer that needs no token."""
        return (await self._clients[place].request("GET", path)).body

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

    def _service(self, path: str) -> str:
        """Which service answers: referrals on its own paths, else consent."""
        ours = ("/v1/referrals", "/v1/needs", "/v1/agencies", "/v1/concerns", "/v1/waits")
        queues = path.endswith(("/queue", "/waits"))
        return "referrals" if path.startswith(ours) or queues else "consent"

    def _place(self, service: str) -> int:
        """Which process answers for that service: those that do take turns."""
        if len(self.modules) == 1:
            return 0
        words = [module.split() for module in self.modules]
        answering = [
            place
            for place, (module, *parts) in enumerate(words)
            if module == f"services.{service}" and (not parts or "api" in parts)
        ]
        return answering[next(self._turns) % len(answering)]

    def _program(self, place: int) -> Program:
        data, client = self.folder / "data", self._clients[place]
        settings = {
            **embedded(data),
            "KEK_FILE": str(self.folder / "kek"),
            "DIRECTORY_FILE": str(self.folder / "directory.json"),
            "OIDC_ISSUER": f"http://{HOST}:{self.ports[0]}/issuer",
            "ALLOW_DEV_ISSUER": "yes",
            "HOST": HOST,
            "PORT": str(self.ports[place]),
            **self.more,
        }

        async def ready() -> bool:
            return (await client.request("GET", self.started_path)).status == 200

        return Program(self.modules[place], (), settings, self.folder / "log", ready)


def run_as(release: str, module: str) -> tuple[str, ...]:
    """Python's arguments for a module and its own, of this build or of a later release."""
    later = ("-m", "tests.faults.releases", release)
    return (*later, *module.split()) if release else ("-m", *module.split())


async def operated(platform: Served, module: str, *words: str, code: int | None = 0) -> str:
    """What an operator's command said. Fails unless it ends with `code`, None being any."""
    settings = platform.programs[0].environ
    process = await asyncio.create_subprocess_exec(
        "env",
        *(f"{name}={value}" for name, value in settings.items()),
        sys.executable,
        *run_as(platform.release, module),
        *words,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(OPERATION_SECONDS_MAX):
        told, _ = await process.communicate()
    assert code is None or process.returncode == code, told.decode()
    return told.decode()


def embedded(data: Path) -> dict[str, str]:
    """Settings of a deployment whose things are all in one folder."""
    url = f"sqlite://{data}"
    urls = ("STORE_URL", "VIEWS_URL", "KEYS_URL", "BUS_URL")
    return {"DATA_DIR": str(data), **dict.fromkeys(urls, url)}


@asynccontextmanager
async def served(folder: Path, **more: str) -> AsyncIterator[Served]:
    """The embedded platform, ready, for the length of the block."""
    platform = Served(folder, more=more)
    try:
        await platform.start()
        yield platform
    finally:
        await platform.close()
    clean(folder)


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
