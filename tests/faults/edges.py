"""A proxy on every edge between a deployment's processes: clients to services, services to their
store, services to Kafka, relays to Kafka.

Kafka tells its clients where it is, so each of its edges is a listener of its own that says the
proxy's port.
"""

from collections.abc import Mapping
from contextlib import AsyncExitStack
from itertools import count
from pathlib import Path
from urllib.parse import urlsplit

from deploy.engines.engines import free_port
from tests.faults.proxy import Proxy
from tests.faults.supervisor import Engine

STORE, BUS, RELAY = "edge-store", "edge-bus", "edge-relay"


async def laid(
    stack: AsyncExitStack, seed: int, apis: Mapping[str, int], store: str, kafka: Engine
) -> dict[str, Proxy]:
    """Proxies by the names of their edges: `edge-<service>` and those above. Starts Kafka anew."""
    seeds = count(seed)

    async def edge(target: int) -> Proxy:
        proxy = Proxy(target, next(seeds), free_port())
        return await stack.enter_async_context(proxy.running())

    found = {f"edge-{service}": await edge(port) for service, port in apis.items()}
    found[STORE] = await edge(urlsplit(store).port or 0)
    listens = {BUS: free_port(), RELAY: free_port()}
    for name, port in listens.items():
        found[name] = await edge(port)
    await kafka.kill()
    fronts = {name: (port, found[name].port) for name, port in listens.items()}
    listen(kafka.folder / "server.properties", fronts)
    await kafka.start()
    return found


def listen(settings: Path, fronts: Mapping[str, tuple[int, int]]) -> None:
    """Gives a broker more listeners: name -> (where it listens, where it says that it does). Of a
    setting that stands twice the last counts."""
    lines = dict(line.split("=", 1) for line in settings.read_text().splitlines() if "=" in line)
    more = {
        "listeners": [f"{label(name)}://127.0.0.1:{port}" for name, (port, _) in fronts.items()],
        "advertised.listeners": [
            f"{label(name)}://127.0.0.1:{port}" for name, (_, port) in fronts.items()
        ],
        "listener.security.protocol.map": [f"{label(name)}:PLAINTEXT" for name in fronts],
    }
    with settings.open("a") as file:
        for name, values in more.items():
            file.write(f"{name}={','.join([lines[name], *values])}\n")


def label(edge: str) -> str:
    """A listener's name, which knows capitals only."""
    return edge.rpartition("-")[2].upper()
