"""The documents say what is so: targets, files, settings exist, and the README's story runs."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from demo import partners
from demo.schools import schools
from libs.common.settings import SAYS, documented
from tests.documented import DOCUMENTS, rewritten

ROOT = Path(__file__).parent.parent
DOCS = ("README.md", "ARCHITECTURE.md", "DECISIONS.md", "CHANGELOG.md", "docs/operate.md")
READY_SECONDS_MAX = 60
STORY_SECONDS_MAX = 120
POLL_SECONDS = 0.1
IN_SPRING = datetime(2026, 3, 4, 15, tzinfo=UTC)
"""Within the demo's school year, when its agreements are in force."""
OVERCLAIMS = re.compile(r"immutabl|HIPAA[- ](?:certified|compliant)|unhackable|100 ?% secure", re.I)
SHELL_ONLY = {"BASE", "CLERK", "TEACHER", "PSYCHOLOGIST", "WORKER", "MOTHER", "INTAKE"}
OTHERS = {"ALLIANCE_ENGINES", "ALLIANCE_TEST_KAFKA", "ALLIANCE_TEST_MONGO"}
"""Read by tests, not by services."""


def text(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text("README.md"), re.M | re.S)


@pytest.mark.parametrize("doc", DOCS)
def test_every_target_that_is_named_exists(doc: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):.*##", text("Makefile"), re.M))
    named = set(re.findall(r"(?:`|^)make ([a-z][a-z-]*)", text(doc), re.M))
    assert named - targets == set()


def test_help_lists_every_target() -> None:
    phony = re.findall(r"^\.PHONY: (.*)$", text("Makefile"), re.M)[0].split()
    assert set(re.findall(r"^([a-z-]+):.*##", text("Makefile"), re.M)) == set(phony)


@pytest.mark.parametrize("doc", DOCS)
def test_every_file_that_is_linked_exists(doc: str) -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", text(doc))
    assert [link for link in links if not ((ROOT / doc).parent / link).exists()] == []


@pytest.mark.parametrize("doc", DOCS)
def test_every_file_that_is_named_exists(doc: str) -> None:
    roots = r"(?:libs|services|demo|tests|deploy)/"
    named = set(re.findall(rf"`({roots}[\w/.]+\.\w+)`", text(doc)))
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("doc", DOCS)
def test_every_setting_that_is_named_exists(doc: str) -> None:
    known = {name.upper() for name in SAYS} | OTHERS | SHELL_ONLY
    known |= set(re.findall(r"\$\{(\w+)", text("docker-compose.yml")))
    named = set(re.findall(r"`([A-Z][A-Z0-9]+(?:_[A-Z0-9]+)+)`", text(doc)))
    assert named - known == set()


@pytest.mark.parametrize("doc", DOCUMENTS)
def test_the_settings_are_told_as_they_are(doc: str) -> None:
    assert documented() in text(doc), "run `make settings`"


def test_a_table_of_settings_that_has_aged_is_written_anew() -> None:
    aged = text("README.md").replace("Port to listen on.", "A port.")
    assert aged != text("README.md")
    assert rewritten(aged) == text("README.md")


@pytest.mark.parametrize("doc", DOCS)
def test_nothing_is_claimed_that_nobody_can_show(doc: str) -> None:
    assert OVERCLAIMS.findall(text(doc)) == []


def test_decisions_are_numbered_dated_and_whole() -> None:
    entries = re.split(r"^## ", text("DECISIONS.md"), flags=re.M)[1:]
    assert [int(entry.split(".")[0]) for entry in entries] == list(range(1, len(entries) + 1))
    for entry in entries:
        assert re.search(r"\d{4}-\d{2}-\d{2}$", entry.splitlines()[0]), entry
        for part in ("Context:", "Decision:", "Consequence:", "Instead of:"):
            assert f"\n{part} " in entry, entry


@pytest.mark.parametrize("number", range(len(blocks("sh"))))
def test_what_the_readme_shows_is_good_shell(number: int) -> None:
    done = subprocess.run(["bash", "-n"], input=blocks("sh")[number], text=True, check=False)
    assert done.returncode == 0


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[str]:
    """The platform on an empty log, as `make run` serves it; its port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    partners.write(partners.directory(schools()), tmp_path / "directory.json")
    settings = {
        "PORT": port,
        "CLOCK": "shifted",
        "CLOCK_OFFSET": str(int((IN_SPRING - datetime.now(UTC)).total_seconds())),
        "DATA_DIR": str(tmp_path / "data"),
        "KEK_FILE": str(tmp_path / "kek"),
        "DIRECTORY_FILE": str(tmp_path / "directory.json"),
    }
    with (tmp_path / "served.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "services"], cwd=ROOT, env={**os.environ, **settings},
            stdout=log, stderr=log,
        )  # fmt: skip
    try:
        deadline = time.monotonic() + READY_SECONDS_MAX
        while not ready(port):
            assert process.poll() is None, (tmp_path / "served.log").read_text()
            assert time.monotonic() < deadline, (tmp_path / "served.log").read_text()
            time.sleep(POLL_SECONDS)
        yield port
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def ready(port: str) -> bool:
    try:
        with urlopen(f"http://127.0.0.1:{port}/health/ready") as reply:
            return bool(reply.status == 200)
    except (URLError, ConnectionError):
        return False


@pytest.mark.skipif(shutil.which("curl") is None, reason="the story is told with curl")
def test_the_story_of_the_readme_runs_as_it_is_written(platform: str) -> None:
    story = "\n".join(block for block in blocks("sh") if not block.startswith("make "))
    told = "set -eu\n" + re.sub(
        r"^(get \$INTAKE referrals/\$REFERRAL/packet)$", r"\1 | sed 's/^/packet /'; echo", story,
        flags=re.M,
    )  # fmt: skip
    done = subprocess.run(
        ["bash", "-c", told], env={**os.environ, "PORT": platform}, text=True,
        capture_output=True, timeout=STORY_SECONDS_MAX, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    first, second = re.findall(r"packet (\{.*\})", done.stdout)
    opened = json.loads(first)
    assert opened["contact"]["names"] == {"given": "Ana", "family": "Lopez"}
    assert opened["version"] == 1
    assert json.loads(second)["code"] == "not-found"
    codes = re.findall(r'"code":"([a-z-]+)"', done.stdout)
    assert codes == ["not-found"]
