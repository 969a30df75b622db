"""The real engines without containers: fetch them once, start them in a folder, stop them.

`python deploy/engines/engines.py fetch` gets what is missing and is silent when all is there;
`python deploy/engines/engines.py run FOLDER` serves both until Ctrl-C and prints their addresses.

Apache Kafka comes as its jars. The server that speaks MongoDB's protocol is SecantusDB
(`secantus-mdb`, GPL-2.0-only): a separate process that tests talk to over the network, never
linked, shipped or named as a dependency. Only the standard library is used here.
"""

import argparse
import contextlib
import fcntl
import hashlib
import os
import random
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
SERVER = "secantus-mdb"
SERVER_VERSION = "0.5.3-beta.193"
PORTS = range(20_000, 32_000)
"""Below the ephemeral range: else a client's own retry can take a port while its server is down."""
READY_SECONDS_MAX = 180.0
"""A killed broker comes back in seconds, but not where ten times too much is going on."""
ASK_SECONDS_MAX = 2.0
POLL_SECONDS = 0.05
LIVELY_SECONDS = 1.0
PLAIN_SECONDS = 15.0
OUTPUT_BYTES_KEPT = 100_000
LINES_KEPT = 40
CLUSTER = "# cluster "
"""What the first line of a broker's settings says before the name of its cluster."""


class EngineMissing(Exception):
    """An engine could not be fetched, built or started; the message says why."""


@dataclass
class Running:
    """A started engine. `stop` is kill -9 and a wait: what it acknowledged must outlive that."""

    url: str
    process: "subprocess.Popen[bytes]"

    @property
    def pid(self) -> int:
        return self.process.pid

    def stop(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


def cache() -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(home) / "alliance" / "engines"


def kafka_jars() -> Path:
    """Where this pom's jars are, or will be."""
    return cache() / f"kafka-{hashlib.sha256((HERE / 'pom.xml').read_bytes()).hexdigest()[:16]}"


def mongo_server() -> Path:
    return cache() / f"{SERVER}-{SERVER_VERSION}" / "bin" / "secantusd-rs"


def kafka_found() -> bool:
    return kafka_jars().is_dir() and shutil.which("java") is not None


def mongo_found() -> bool:
    return mongo_server().is_file()


# --- fetching ------------------------------------------------------------------------------------


def fetch() -> None:
    """Gets what is missing; a second caller on this machine waits for the first."""
    cache().mkdir(parents=True, exist_ok=True)
    with (cache() / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not kafka_found():
            _fetch_kafka()
        if not mongo_found():
            _build_mongo()


def _fetch_kafka() -> None:
    for tool in ("java", "mvn"):
        if shutil.which(tool) is None:
            raise EngineMissing(f"Apache Kafka needs {tool}: install Java 17 and Maven")
    with _built(kafka_jars()) as folder:
        _run(
            "Apache Kafka",
            ["mvn", "-B", "-f", str(HERE / "pom.xml"), "dependency:copy-dependencies",
             "-DincludeScope=runtime", f"-DoutputDirectory={folder}"],
        )  # fmt: skip


def _build_mongo() -> None:
    for tool in ("cargo", "cmake", "g++"):
        if shutil.which(tool) is None:
            raise EngineMissing(f"the MongoDB-compatible server is built with {tool}: install it")
    with _built(mongo_server().parent.parent) as folder:
        _run(
            "the MongoDB-compatible server (about 6 minutes, once)",
            ["cargo", "install", SERVER, "--version", SERVER_VERSION, "--locked",
             "--ignore-rust-version", "--root", str(folder)],
        )  # fmt: skip


@contextlib.contextmanager
def _built(place: Path) -> Iterator[Path]:
    """A folder to build in that takes its place only when the build has ended well."""
    with tempfile.TemporaryDirectory(dir=cache(), prefix="building-") as building:
        folder = Path(building) / "result"
        folder.mkdir()
        yield folder
        shutil.rmtree(place, ignore_errors=True)
        folder.rename(place)


def _run(what: str, command: Sequence[str]) -> None:
    """Runs a build; the last line that it said is the progress line."""
    print(f"fetching {what}", file=sys.stderr, flush=True)
    output = b""
    with (
        subprocess.Popen(  # noqa: S603 our own command lines only
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as process,
        _progress() as show,
    ):
        assert process.stdout is not None
        while True:
            if select.select([process.stdout], [], [], LIVELY_SECONDS)[0]:
                said = os.read(process.stdout.fileno(), 65_536)
                if not said:
                    break
                output = (output + said)[-OUTPUT_BYTES_KEPT:]
            show(output.decode(errors="replace").rstrip().rpartition("\n")[2])
    if process.returncode:
        tail = output.decode(errors="replace").splitlines()[-LINES_KEPT:]
        raise EngineMissing("\n".join([f"{command[0]} failed to get {what}:", *tail]))


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    """One line that changes; where there is no terminal, a line every now and then."""
    started = told = time.monotonic()
    lively = sys.stderr.isatty()

    def show(said: str) -> None:
        nonlocal told
        seconds = int(time.monotonic() - started)
        text = f"  {seconds // 60}:{seconds % 60:02}  {said.strip()}"[:78]
        if lively:
            print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
        elif time.monotonic() - told > PLAIN_SECONDS:
            told = time.monotonic()
            print(text, file=sys.stderr, flush=True)

    yield show
    if lively:
        print("\r\x1b[K", end="", file=sys.stderr)


# --- starting ------------------------------------------------------------------------------------


def start_kafka(folder: Path) -> Running:
    """One broker whose data are in `folder`; started there again, it comes back on its port.

    It dies with the thread that started it: start it from the main one.
    """
    settings = folder / "server.properties"
    java = [
        "java", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto",
        f"-Dlog4j2.configurationFile={HERE / 'log4j2.properties'}",
        f"-Dalliance.log={folder / 'kafka.log'}",
        "-cp", f"{kafka_jars()}/*",
    ]  # fmt: skip
    if not settings.exists():
        _lay_out_broker(folder, free_port(), free_port(), _label())
    if not (folder / "data" / "meta.properties").exists():
        cluster = settings.read_text().partition(CLUSTER)[2].partition("\n")[0]
        subprocess.run(  # noqa: S603 our own command lines only
            [*java, "kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(settings)],
            check=True,
            capture_output=True,
        )
    port = _port_of(settings, "advertised.listeners=PLAINTEXT://127.0.0.1:")
    process = _start(folder, [*java, "kafka.Kafka", str(settings)])
    _wait_ready("Apache Kafka", process, lambda: _kafka_answers(port), folder / "kafka.log")
    return Running(f"kafka://127.0.0.1:{port}", process)


def lay_out_brokers(folders: Sequence[Path]) -> None:
    """Settings for the brokers of one cluster, a folder each. `start_kafka` starts each; the first
    answers only when most of them are there, so start them side by side."""
    ports, controllers = ([free_port() for _ in folders] for _ in range(2))
    voters = ",".join(f"{node}@127.0.0.1:{port}" for node, port in enumerate(controllers, 1))
    cluster = _label()
    for node, folder in enumerate(folders, 1):
        _lay_out_broker(folder, ports[node - 1], controllers[node - 1], cluster)
        more = _filled("cluster.properties", {"node": str(node), "voters": voters})
        with (folder / "server.properties").open("a") as settings:
            settings.write(more)  # of a setting that stands twice the last counts


def _lay_out_broker(folder: Path, port: int, controller_port: int, cluster: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    values = {
        "port": str(port),
        "controller_port": str(controller_port),
        "data": str(folder / "data"),
    }
    text = f"{CLUSTER}{cluster}\n" + _filled("server.properties", values)
    (folder / "server.properties").write_text(text)


def _label() -> str:
    return "A" * 21 + random.choice("AQgw")  # noqa: S311 a label, no secret


def _filled(name: str, values: Mapping[str, str]) -> str:
    text = (HERE / name).read_text()
    for key, value in values.items():
        text = text.replace(f"{{{key}}}", value)
    return text


def start_mongo(folder: Path) -> Running:
    """The MongoDB-compatible server, every acknowledged write synced; started there again, it
    comes back on its port. It dies with the thread that started it."""
    settings = folder / "port"
    if not settings.exists():
        (folder / "data").mkdir(parents=True, exist_ok=True)
        settings.write_text(f"port={free_port()}\n")
    port = _port_of(settings, "port=")
    process = _start(
        folder,
        [str(mongo_server()), "--host", "127.0.0.1", "--port", str(port),
         "--storage-path", str(folder / "data"), "--log-level", "WARNING", "--cache-size", "256M",
         "--log-file-max", "8MB", "--sync-on-commit"],
    )  # fmt: skip
    _wait_ready("the MongoDB server", process, lambda: _mongo_answers(port), folder / "output")
    return Running(f"mongodb://127.0.0.1:{port}/?replicaSet=secantus", process)


def free_port() -> int:
    while True:
        port = random.choice(PORTS)  # noqa: S311 chance, no secret
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def _port_of(settings: Path, label: str) -> int:
    lines = settings.read_text().splitlines()
    return int(next(line for line in lines if line.startswith(label)).removeprefix(label))


def _start(folder: Path, command: list[str]) -> "subprocess.Popen[bytes]":
    if shutil.which("setpriv"):
        command = ["setpriv", "--pdeathsig", "KILL", *command]
    with (folder / "output").open("ab") as output:
        return subprocess.Popen(  # noqa: S603 our own command lines only
            command, cwd=folder, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )


def _wait_ready(
    name: str, process: "subprocess.Popen[bytes]", answers: Callable[[], bool], log: Path
) -> None:
    deadline = time.monotonic() + READY_SECONDS_MAX
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            if answers():
                return
        time.sleep(POLL_SECONDS)
    process.kill()
    process.wait()
    said = log.read_text(errors="replace").splitlines()[-LINES_KEPT:] if log.exists() else []
    raise EngineMissing("\n".join([f"{name} did not start:", *said]))


def _kafka_answers(port: int) -> bool:
    """Whether the broker names a broker: Metadata, version 1, about no topic."""
    question = struct.pack(">hhih1si", 3, 1, 1, 1, b"a", 0)
    reply = _ask(port, struct.pack(">i", len(question)) + question, ">i")
    correlation, brokers = struct.unpack(">ii", reply[:8])
    return bool(correlation == 1 and brokers > 0)


def _mongo_answers(port: int) -> bool:
    """Whether it answers `ping` (one OP_MSG of one BSON document)."""
    items = b"\x10ping\x00" + struct.pack("<i", 1) + b"\x02$db\x00\x06\x00\x00\x00admin\x00\x00"
    body = struct.pack("<i", 0) + b"\x00" + struct.pack("<i", len(items) + 4) + items
    reply = _ask(port, struct.pack("<iiii", len(body) + 16, 1, 0, 2013) + body, "<i", counted=4)
    return b"\x01ok\x00" + struct.pack("<d", 1) in reply


def _ask(port: int, question: bytes, size: str, counted: int = 0) -> bytes:
    """One question, one answer; an answer starts with its length (`counted`: of which itself)."""
    with socket.create_connection(("127.0.0.1", port), ASK_SECONDS_MAX) as server:
        server.sendall(question)
        with server.makefile("rb") as answer:
            head = answer.read(4)
            if len(head) < 4:
                raise ConnectionError("no answer")
            return answer.read(struct.unpack(size, head)[0] - counted)


# --- the command line ----------------------------------------------------------------------------


def main() -> int:
    parser = argparse.ArgumentParser(description="Real engines for tests, without containers.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("fetch", help="get or build what is missing")
    serve = commands.add_parser("run", help="serve both until Ctrl-C")
    serve.add_argument("folder", type=Path)
    asked = parser.parse_args()
    try:
        fetch()
        if asked.command == "run":
            _serve(asked.folder.absolute())
    except EngineMissing as missing:
        print(missing, file=sys.stderr)
        return 1
    return 0


def _serve(folder: Path) -> None:
    engines = [start_kafka(folder / "kafka"), start_mongo(folder / "mongo")]
    try:
        for engine in engines:
            print(engine.url, flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            signal.pause()
    finally:
        for engine in engines:
            engine.stop()


if __name__ == "__main__":
    sys.exit(main())
