"""One deployment under test: its processes, its places, and the waiting until all is caught up.

Embedded it is one process over a folder; on real engines each part of each service is a process of
its own. Processes come back on the ports that they had.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from time import monotonic
from urllib.parse import urlsplit

from deploy.engines import engines
from libs.common.messages import Position
from libs.common.service import RELAY, Rooms
from libs.common.serving import read_directory
from libs.common.web.client import Client
from services.consent import main as consent
from services.referrals import main as referrals
from tests.canary import clean
from tests.faults import edges
from tests.faults.balancer import Balancer, Replica
from tests.faults.evidence import Evidence, Places, behind, gathered, heads_of, read_kinds
from tests.faults.history import read
from tests.faults.proxy import Proxy
from tests.faults.supervisor import Program, Supervisor
from tests.serving import DIRECTORY, HOST, SERVICES, embedded

PARTS = ("api", "relay", "project")
APART = (("api",), ("relay",), ("project",))
"""Each part a process of its own."""
DRAIN_SECONDS_MAX = 600.0
LOOK_SECONDS = 0.25
LOOK_SECONDS_MAX = 5.0
PREFIX = "faults"
Progress = Callable[[float, str], None]
"""(share of the work that is done, 0..1; what is going on)"""


def silent(_share: float, _what: str) -> None:
    """For tests."""


@dataclass(eq=False)
class Deployment:
    """`apis` are the ports of the services, `asked` those where clients ask: the same, or those of
    proxies, which stand on edges, by name. Before several replicas stands a balancer."""

    folder: Path
    places: Places
    supervisor: Supervisor
    seed: int
    apis: dict[str, int] = field(default_factory=dict)
    proxies: dict[str, Proxy] = field(default_factory=dict)
    balancers: dict[str, Balancer] = field(default_factory=dict)
    programs: list[Program] = field(default_factory=list)
    _seeds: "count[int]" = field(init=False)

    def __post_init__(self) -> None:
        self._seeds = count(self.seed)

    @property
    def asked(self) -> dict[str, int]:
        edges = {name: self.proxies.get(f"edge-{name}") for name in self.apis}
        return {name: edge.port if edge else self.apis[name] for name, edge in edges.items()}

    @property
    def history(self) -> Path:
        return self.folder / "history.jsonl"

    def replica(self, name: str) -> Replica | None:
        """As its balancer knows it; None for what nobody asks."""
        found = (one for balancer in self.balancers.values() for one in balancer.replicas)
        return next((one for one in found if one.name == name), None)

    def rooms(self) -> list[Rooms]:
        directory = read_directory(self.folder / "directory.json")
        return [consent.rooms(directory), referrals.rooms(directory)]

    def today(self) -> str:
        zone = read_directory(self.folder / "directory.json").calendar.zone
        return datetime.now(UTC).astimezone(zone).date().isoformat()

    def program(self, name: str, module: str, port: int, parts: Sequence[str] = ()) -> Program:
        """A process of the product, wrapped by the fault point."""

        async def ready() -> bool:
            async with Client(HOST, port, 1) as client:
                reply = await client.request("GET", "/health/ready", seconds=LOOK_SECONDS_MAX)
            return reply.status == 200

        arguments = ("-m", "tests.faults.child", str(next(self._seeds)), module, *parts)
        settings = self.settings(port, parts)
        made = Program(name, arguments, settings, self.folder / f"{name}.log", ready)
        self.programs.append(made)
        self.supervisor.own(made)
        return made

    def settings(self, port: int, parts: Sequence[str] = ()) -> Mapping[str, str]:
        places = self.places
        return {
            **embedded(self.folder / "data"),
            "STORE_URL": self._through(places.store),
            "VIEWS_URL": self._through(places.views),
            "KEYS_URL": self._through(places.keys),
            "BUS_URL": self._bus(parts),
            "KEK_FILE": str(places.kek),
            "PREFIX": places.prefix,
            "DIRECTORY_FILE": str(self.folder / "directory.json"),
            "OIDC_ISSUER": f"http://{HOST}:{self.apis['consent']}/issuer",
            "ALLOW_DEV_ISSUER": "yes",
            "HOST": HOST,
            "PORT": str(port),
        }

    def _through(self, url: str) -> str:
        """Services reach the store through its proxy, where there is one; the checker never."""
        edge = self.proxies.get(edges.STORE)
        return f"mongodb://{HOST}:{edge.port}/?directConnection=true" if edge else url

    def _bus(self, parts: Sequence[str]) -> str:
        edge = self.proxies.get(edges.RELAY if RELAY in parts else edges.BUS)
        return f"kafka://{HOST}:{edge.port}" if edge else self.places.bus

    async def start(self) -> None:
        for program in self.programs:
            await program.spawn()
        for program in self.programs:
            await program.wait()
        for balancer in self.balancers.values():
            await balancer.all_ready()

    async def drained(self) -> None:
        """Until every read model and policy stands at every head, twice with equal heads. Raises
        TimeoutError naming who is late."""
        rooms, late = self.rooms(), ["nobody has looked yet"]
        before: list[Position] = []
        until = monotonic() + DRAIN_SECONDS_MAX
        while monotonic() < until:
            heads = await heads_of(self.places, rooms)
            late = []
            for one in rooms:
                late += await behind(one, await read_kinds(self.places, one.name), heads)
            if not late and heads == before:
                return
            before = heads
            await asyncio.sleep(LOOK_SECONDS)  # between two looks
        raise TimeoutError(f"not caught up: {', '.join(late)}")

    async def evidence(self) -> Evidence:
        """Ends the services, then reads what lies there."""
        await asyncio.gather(*(program.end() for program in self.programs))
        return await gathered(self.places, self.rooms(), read(self.history))


@asynccontextmanager
async def on_sqlite(folder: Path, seed: int) -> AsyncIterator[Deployment]:
    """`python -m services`, not started yet."""
    data = f"sqlite://{folder / 'data'}"
    places = Places(data, data, data, data, folder / "kek", PREFIX)
    async with _deployed(folder, places, Supervisor(), seed) as made:
        port = engines.free_port()
        made.apis = dict.fromkeys(SERVICES, port)
        made.program("services", "services", port)
        yield made


@asynccontextmanager
async def on_engines(
    folder: Path,
    seed: int,
    parts: Sequence[tuple[str, ...]] = APART,
    proxied: bool = False,
    brokers: int = 1,
    replicas: int = 1,
) -> AsyncIterator[Deployment]:
    """Kafka and the MongoDB-compatible server, started; both services, not started yet: a process
    for each entry of `parts`. Names: `kafka` (of several brokers, which have no proxies, `kafka-1`,
    …), `mongo`, `consent-api`, `referrals-relay` (of several `replicas` `consent-api-1`, …), …"""
    assert brokers == 1 or not proxied
    supervisor = Supervisor()
    folder.mkdir(parents=True, exist_ok=True)
    names = ["kafka"] if brokers == 1 else [f"kafka-{n}" for n in range(1, brokers + 1)]
    if brokers > 1 and not (folder / names[0]).exists():
        engines.lay_out_brokers([folder / name for name in names])
    kafka = [supervisor.engine(name, engines.start_kafka, folder / name) for name in names]
    mongo = supervisor.engine("mongo", engines.start_mongo, folder / "mongo")
    try:
        await asyncio.gather(*(one.start() for one in kafka))  # none answers alone
        await mongo.start()
    except BaseException:
        await supervisor.close()
        raise
    bus = "kafka://" + ",".join(urlsplit(one.url).netloc for one in kafka)
    places = Places(mongo.url, mongo.url, mongo.url, bus, folder / "kek", PREFIX)
    async with AsyncExitStack() as stack:
        made = await stack.enter_async_context(_deployed(folder, places, supervisor, seed))
        programs = {
            name: (service, some, engines.free_port())
            for service in SERVICES
            for some in parts
            for name in _names(f"{service}-{'-'.join(some)}", replicas)
        }
        for service in SERVICES:
            fronts = {
                name: port
                for name, (whose, some, port) in programs.items()
                if whose == service and PARTS[0] in some
            }
            made.apis[service] = await _fronted(stack, made, service, fronts)
        if proxied:
            made.proxies |= await edges.laid(stack, seed, made.apis, mongo.url, kafka[0])
        for name, (service, some, port) in programs.items():
            made.program(name, f"services.{service}", port, some)
        yield made


@asynccontextmanager
async def _deployed(
    folder: Path, places: Places, supervisor: Supervisor, seed: int
) -> AsyncIterator[Deployment]:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "directory.json").write_bytes(DIRECTORY)
    try:
        yield Deployment(folder, places, supervisor, seed)
    finally:
        await supervisor.close()
    clean(folder)


async def _fronted(
    stack: AsyncExitStack, made: Deployment, service: str, fronts: Mapping[str, int]
) -> int:
    """The port of the one API, or of a balancer before several."""
    if len(fronts) == 1:
        return next(iter(fronts.values()))
    balancer = Balancer([Replica(name, port) for name, port in fronts.items()])
    made.balancers[service] = await stack.enter_async_context(balancer.running())
    return balancer.port


def _names(name: str, replicas: int) -> list[str]:
    return [f"{name}-{n}" for n in range(1, replicas + 1)] if replicas > 1 else [name]
