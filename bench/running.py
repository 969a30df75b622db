"""Runs contenders, each in a process of its own, with what it needs: a folder, a log, an engine."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import orjson

from bench.figures import Measured
from bench.question import Contender, Engine, Question
from bench.results import Result
from deploy.engines import engines

CHILD_SECONDS_MAX = 3_600
PEERS = "bench.peers:"
PEERS_NEEDED = ("eventsourcing", "eventsource")
FILL = "bench.raw:fill"
GIVEN = {"kafka": "ALLIANCE_TEST_KAFKA", "mongo": "ALLIANCE_TEST_MONGO"}
"""Servers that run already are named as for the tests."""
NAMES = {"kafka": "Kafka", "mongo": "MongoDB-compatible server"}

Told = Callable[[str], None]
"""Hears what has just been done."""


class Failed(Exception):
    """A contender ended badly; the argument is the last that it said."""


class Missing(Exception):
    """What a contender needs is not on this machine; the argument says what."""


@dataclass(eq=False)
class Workshop:
    """`folder` is on the disk that is measured, and emptied in the end."""

    folder: Path
    stack: ExitStack
    _urls: dict[Engine, str] = field(default_factory=dict)
    _runs: int = 0

    def run(self, contender: Contender, size: int) -> Measured:
        """Raises Failed or Missing."""
        lacking = lacks(contender)
        if lacking is not None:
            raise Missing(lacking)
        options: dict[str, int | str] = dict(contender.options)
        if contender.engine is not None:
            options["url"] = self._engine(contender.engine)
        log = self._log(size) if contender.log else None
        self._runs += 1
        return self._child(contender.call, size, self.folder / f"run{self._runs}", options, log)

    def _child(
        self,
        call: str,
        size: int,
        folder: Path,
        options: dict[str, int | str],
        log: Path | None = None,
        keep: bool = False,
    ) -> Measured:
        command = [sys.executable, "-m", "bench.child", call, "--size", str(size)]
        command += ["--folder", str(folder), "--options", orjson.dumps(options).decode()]
        command += ["--log", str(log)] if log is not None else []
        try:
            done = subprocess.run(  # noqa: S603 - our own command lines only
                command, capture_output=True, check=False, timeout=CHILD_SECONDS_MAX
            )
        except subprocess.TimeoutExpired:
            raise Failed(f"no end within {CHILD_SECONDS_MAX} s") from None
        finally:
            if not keep:
                shutil.rmtree(folder, ignore_errors=True)
        if done.returncode:
            raise Failed((done.stderr.decode(errors="replace").strip().splitlines() or ["?"])[-1])
        return Measured(**orjson.loads(done.stdout.splitlines()[-1]))

    def _log(self, size: int) -> Path:
        """Made once a run; whoever writes into it takes a copy."""
        log = self.folder / f"log{size}"
        if not log.exists():
            self._child(FILL, size, log, {}, keep=True)
        return log

    def _engine(self, engine: Engine) -> str:
        if engine not in self._urls:
            self._urls[engine] = os.environ.get(GIVEN[engine]) or self._started(engine)
        return self._urls[engine]

    def _started(self, engine: Engine) -> str:
        start = engines.start_kafka if engine == "kafka" else engines.start_mongo
        running = start(self.folder / engine)
        self.stack.callback(running.stop)
        return running.url


@contextmanager
def workshop(folder: Path) -> Iterator[Workshop]:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        yield Workshop(folder.absolute(), stack)


def lacks(contender: Contender) -> str | None:
    """What a contender needs and this machine has not, in words."""
    if contender.call.startswith(PEERS) and not all(map(find_spec, PEERS_NEEDED)):
        return "the extra [bench] is not installed"
    if contender.engine is None or os.environ.get(GIVEN[contender.engine]):
        return None
    found = engines.kafka_found() if contender.engine == "kafka" else engines.mongo_found()
    return None if found else f"no {NAMES[contender.engine]} found: `make test-engines` fetches it"


def run_round(shop: Workshop, question: Question, number: int, result: Result, told: Told) -> None:
    """Every contender once. A contender that failed or lacks something is left out from then on."""
    found: dict[str, dict[str, float]] = {}
    for contender in question.order(number, result.quick):
        if contender.name not in {*result.skipped, *result.failed}:
            try:
                measured = shop.run(contender, result.sizes[contender.name])
            except Missing as missing:
                result.skipped[contender.name] = str(missing)
            except (Failed, engines.EngineMissing) as failed:
                result.failed[contender.name] = str(failed)
            else:
                found[contender.name] = measured.figures
                if measured.series:
                    result.series[contender.name] = measured.series
        told(contender.name)
    result.rounds.append(found)
