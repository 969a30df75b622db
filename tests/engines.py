"""Where tests find real engines: given by address, started here, or in containers; or not at all.

`ALLIANCE_ENGINES=1` runs the tests marked `engines` against what is found and `=required` fails
when something is missing. `ALLIANCE_TEST_KAFKA` and `ALLIANCE_TEST_MONGO` name servers that run
already, `ALLIANCE_TEST_CONTAINERS=1` starts containers. An engine is started once a session, when
it is first asked for, and killed at its end.
"""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.engines import engines

if TYPE_CHECKING:
    from testcontainers.core.container import DockerContainer

KAFKA_IMAGE = "apache/kafka:4.3.1"
MONGO_IMAGE = "mongo:8.0.17"
CONTAINER_SECONDS_MAX = 120

_closing = contextlib.ExitStack()


def asked() -> bool:
    return os.environ.get("ALLIANCE_ENGINES", "") not in ("", "0")


def required() -> bool:
    return os.environ.get("ALLIANCE_ENGINES") == "required"


@cache
def kafka_url() -> str | None:
    """`kafka://host:port` of a broker, or None when there is none to be had."""
    given = os.environ.get("ALLIANCE_TEST_KAFKA")
    if given:
        return given
    if _containers():
        return _kafka_container()
    return _started(engines.start_kafka) if engines.kafka_found() else None


@cache
def mongo_url() -> str | None:
    """`mongodb://…` of a replica set, or None when there is none to be had."""
    given = os.environ.get("ALLIANCE_TEST_MONGO")
    if given:
        return given
    if _containers():
        return _mongo_container()
    return _started(engines.start_mongo) if engines.mongo_found() else None


def missing() -> list[str]:
    """The engines that this session would not find, in words; nothing is started to know."""
    kafka = os.environ.get("ALLIANCE_TEST_KAFKA") or _containers() or engines.kafka_found()
    mongo = os.environ.get("ALLIANCE_TEST_MONGO") or _containers() or engines.mongo_found()
    return [name for name, found in (("Kafka", kafka), ("MongoDB", mongo)) if not found]


def stop() -> None:
    """Kills what this session started, and takes its data away."""
    _closing.close()
    kafka_url.cache_clear()
    mongo_url.cache_clear()


def _started(start: Callable[[Path], engines.Running]) -> str:
    folder = Path(tempfile.mkdtemp(prefix="alliance-engine-"))
    _closing.callback(shutil.rmtree, folder, ignore_errors=True)
    running = start(folder)
    _closing.callback(running.stop)
    return running.url


def _containers() -> bool:
    return os.environ.get("ALLIANCE_TEST_CONTAINERS") == "1"


# Containers are for machines with Docker. Neither function below has ever run where this was
# written, for want of a Docker engine; the images' own documentation says that they should.


def _kafka_container() -> str:
    from testcontainers.core.container import DockerContainer  # slow to import, and seldom wanted

    port = engines.free_port()  # a broker must tell its clients the port they reach it by
    container = DockerContainer(KAFKA_IMAGE).with_bind_ports(9094, port)
    for name, value in {
        "KAFKA_NODE_ID": "1",
        "KAFKA_PROCESS_ROLES": "broker,controller",
        "KAFKA_CONTROLLER_QUORUM_VOTERS": "1@localhost:9093",
        "KAFKA_LISTENERS": "INSIDE://:9092,CONTROLLER://:9093,OUTSIDE://:9094",
        "KAFKA_ADVERTISED_LISTENERS": f"INSIDE://localhost:9092,OUTSIDE://localhost:{port}",
        "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": (
            "INSIDE:PLAINTEXT,CONTROLLER:PLAINTEXT,OUTSIDE:PLAINTEXT"
        ),
        "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
        "KAFKA_INTER_BROKER_LISTENER_NAME": "INSIDE",
        "KAFKA_AUTO_CREATE_TOPICS_ENABLE": "false",
        "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
        "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
    }.items():
        container = container.with_env(name, value)
    _closing.enter_context(container)
    _until(container, "Kafka Server started")
    return f"kafka://localhost:{port}"


def _mongo_container() -> str:
    from testcontainers.core.container import DockerContainer  # slow to import, and seldom wanted

    container = DockerContainer(MONGO_IMAGE).with_exposed_ports(27017)
    container = container.with_command("--replSet alliance --bind_ip_all")
    _closing.enter_context(container)
    _until(container, "Waiting for connections")
    done = container.exec(["mongosh", "--quiet", "--eval", "rs.initiate()"])
    assert done.exit_code == 0, done.output
    _until(container, "Transition to primary complete")
    port = container.get_exposed_port(27017)
    return f"mongodb://localhost:{port}/?directConnection=true"


def _until(container: "DockerContainer", said: str) -> None:
    """Until its log says so; a container that ends before is an error at once."""
    from testcontainers.core.wait_strategies import LogMessageWaitStrategy

    strategy = LogMessageWaitStrategy(said).with_startup_timeout(CONTAINER_SECONDS_MAX)
    strategy.wait_until_ready(container)
