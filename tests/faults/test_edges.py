"""A broker's further listeners, as they stand in its settings."""

from pathlib import Path

from deploy.engines import engines
from tests.faults.edges import BUS, RELAY, listen


def test_each_edge_to_kafka_is_a_listener_that_says_the_proxys_port(tmp_path: Path) -> None:
    settings = tmp_path / "server.properties"
    settings.write_text((engines.HERE / "server.properties").read_text())
    before = _read(settings)
    listen(settings, {BUS: (1, 11), RELAY: (2, 22)})
    after = _read(settings)
    for name, more in {
        "listeners": "BUS://127.0.0.1:1,RELAY://127.0.0.1:2",
        "advertised.listeners": "BUS://127.0.0.1:11,RELAY://127.0.0.1:22",
        "listener.security.protocol.map": "BUS:PLAINTEXT,RELAY:PLAINTEXT",
    }.items():
        assert after.pop(name) == f"{before.pop(name)},{more}"
    assert after == before, "the rest as it was"


def _read(settings: Path) -> dict[str, str]:
    """The last of two counts, as for the broker."""
    return dict(line.split("=", 1) for line in settings.read_text().splitlines() if "=" in line)
