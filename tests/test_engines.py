"""The engines that tests run on: they start, come back on their address, and end with their parent.

Started in folders of their own, not the session's: killing that one would fail its other tests.
"""

import contextlib
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.engines import engines as real
from tests import engines

GONE_SECONDS_MAX = 5.0
PARENT = """
import os, signal, sys
from pathlib import Path
from deploy.engines import engines
print(engines.start_mongo(Path(sys.argv[1])).pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.engines
@pytest.mark.parametrize("name", ["kafka", "mongo"])
def test_an_engine_comes_back_on_its_address(name: str, tmp_path: Path) -> None:
    starts: dict[str, tuple[Callable[[], bool], Callable[[Path], real.Running]]] = {
        "kafka": (real.kafka_found, real.start_kafka),
        "mongo": (real.mongo_found, real.start_mongo),
    }
    found, start = starts[name]
    if not found():
        pytest.skip(f"{name} is not on this machine")
    first = start(tmp_path)
    first.stop()
    second = start(tmp_path)
    second.stop()
    assert second.url == first.url
    assert second.process.returncode == -signal.SIGKILL


@pytest.mark.engines
def test_an_engine_dies_with_its_parent(tmp_path: Path) -> None:
    if not real.mongo_found():
        pytest.skip("the MongoDB-compatible server is not on this machine")
    parent = subprocess.run(
        [sys.executable, "-c", PARENT, str(tmp_path)], capture_output=True, text=True
    )
    assert parent.returncode == -signal.SIGKILL
    with contextlib.suppress(ProcessLookupError):  # it may be gone already
        child = os.pidfd_open(int(parent.stdout))
        gone, _, _ = select.select([child], [], [], GONE_SECONDS_MAX)
        os.close(child)
        assert gone == [child]


def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("ALLIANCE_TEST_KAFKA", "ALLIANCE_TEST_MONGO", "ALLIANCE_TEST_CONTAINERS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert engines.missing() == ["Kafka", "MongoDB"]
