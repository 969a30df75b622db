"""A process beside the service seals and decides for new students: the same commits, each student
once, whatever becomes of that process."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from libs.common.commit import Draft
from libs.common.errors import Unavailable
from libs.common.ports import Keys
from libs.common.sealing import Keyring
from services.consent.decider.commands import Enroll
from services.consent.events import GuardianAdded, Names, StudentChanged, StudentEnrolled
from services.consent.imports import ahead, asking, taking
from services.consent.imports.asking import Job
from services.consent.imports.plan import Step
from tests.common.doors import until
from tests.consent import desk as desks
from tests.consent.desk import Desk, desk
from tests.consent.test_imports import TWENTY, changed, counts, interrupted_and_sent_again
from tests.consent.zips import district, newer

DIES = """
import os, sys
from services.consent.imports.drafting import work

class Answers:
    left = 2
    def write(self, words):
        self.left -= 1
        sys.stdout.buffer.write(words if self.left >= 0 else words[:100])
        self.flush()
        if self.left < 0:
            os._exit(1)
    def flush(self):
        sys.stdout.buffer.flush()

work(sys.stdin.buffer, Answers())
"""
"""Answers about two parts, and dies within its third answer."""


@pytest.fixture
def many(monkeypatch: pytest.MonkeyPatch) -> None:
    """However few students there are, they are many, and there is a core for them."""
    monkeypatch.setattr(ahead, "NEW_MIN", 1)
    monkeypatch.setattr(ahead, "TOGETHER", 4)
    monkeypatch.setattr("os.cpu_count", lambda: 2)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Whom this process is asked about in the ordinary way."""
    found: list[str] = []

    async def ask(running: Any, job: Job, step: Step) -> str:
        found.append(step.ref)
        return await asking.ask(running, job, step)

    monkeypatch.setattr(taking, "ask", ask)
    return found


@pytest.fixture
async def at(tmp_path: Path, many: None) -> AsyncIterator[Desk]:
    async with desk(tmp_path) as opened:
        yield opened


async def commits_of(folder: Path) -> dict[str, dict[str, Any]]:
    """By stream, of one import of an awkward file; without what a place in the log is."""
    made = newer(changed(changed(TWENTY, 1, givenName="Jose\u0301"), 2, middleName="M", grades="K"))
    async with desk(folder) as opened:
        page = await opened.send(made)
        assert (page.phase, page.counts) == ("finished", counts(added=20))
        return {
            commit.stream: {
                name: value
                for name, value in commit.content.items()
                if name not in ("at", "prev", "seq")
            }
            for commit in await opened.stored()
            if commit.stream.startswith("student/")
        }


async def test_the_commits_are_those_of_the_ordinary_way(
    tmp_path: Path, many: None, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def ring(keys: Keys, kek: bytes) -> Keyring:
        number = count()
        return Keyring(keys, kek, random_bytes=lambda n: next(number).to_bytes(n))

    monkeypatch.setattr(desks, "Keyring", ring)
    beside = await commits_of(tmp_path / "beside")
    assert asked == []
    monkeypatch.setattr(ahead, "NEW_MIN", 21)
    ordinary = await commits_of(tmp_path / "ordinary")
    assert len(asked) == 20
    assert beside == ordinary


async def test_fewer_start_no_process(at: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "NEW_MIN", 21)
    monkeypatch.setattr(ahead, "beside", None)
    assert (await at.send(TWENTY)).counts == counts(added=20)


async def test_a_dry_run_starts_none_either(at: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "beside", None)
    assert (await at.send(TWENTY, dry_run=True)).counts == counts(added=20)
    assert await at.stored() == []


@pytest.mark.parametrize(
    ("command", "left"),
    [((sys.executable, "-c", DIES), 12), (("/nowhere/at/all",), 20), (("false",), 20)],
    ids=["half way", "never begun", "at once"],
)
async def test_a_process_that_dies_loses_nobody_and_doubles_nobody(
    at: Desk,
    asked: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: tuple[str, ...],
    left: int,
) -> None:
    monkeypatch.setattr(ahead, "DRAFTER", command)
    page = await at.send(TWENTY)
    assert (page.phase, page.counts) == ("finished", counts(added=20))
    assert len(asked) == left, "the rest, in the ordinary way"
    logged = [line for line in capsys.readouterr().err.splitlines() if "drafting.lost" in line]
    assert [json.loads(line)["count"] for line in logged] == [left]
    assert len(await at.stored()) == 22


async def test_who_is_known_or_erased_is_asked_about_in_the_ordinary_way(
    at: Desk, asked: list[str]
) -> None:
    await at.send(district(3))
    ring = at.running.keyring
    await ring.sealed(Enroll(**ENROLL, student=at.student("s5")), at.student("s5"))
    await ring.forget(at.student("s5"), ())
    page = await at.send(changed(TWENTY, 1, grades="06"), "second")
    assert page.counts == counts(added=16, changed=1, unchanged=2, erased=1)
    assert asked == [at.student(source) for source in ("s0", "s1", "s2", "s5")]
    assert page.report is not None
    assert [(row.line, row.code) for row in page.report.problems] == [(12, "erased")]
    assert await at.story("s5") == []


ENROLL: dict[str, Any] = {
    "school": "sch_one",
    "names": Names(given="By", family="Hand"),
    "roster_id": "s0",
}


async def test_who_was_enrolled_meanwhile_is_decided_anew(
    at: Desk, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    read: Callable[[Any], Any] = ahead._read

    async def read_late(answers: Any) -> list[Draft | None]:
        drafts: list[Draft | None] = await read(answers)
        if not await at.story("s0"):
            await at.asked(Enroll(**ENROLL, student=at.student("s0")))
        return drafts

    monkeypatch.setattr(ahead, "_read", read_late)
    page = await at.send(TWENTY)
    assert page.counts == counts(added=20)
    assert asked == [at.student("s0")]
    kinds = [type(entry.event) for entry in await at.story("s0")]
    assert kinds == [StudentEnrolled, StudentChanged, GuardianAdded]


async def test_an_interrupted_import_goes_on_under_the_same_key(
    at: Desk, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    await interrupted_and_sent_again(at, monkeypatch)


async def test_without_its_keys_it_stops(at: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*_: Any) -> set[str]:
        raise Unavailable

    with monkeypatch.context() as now:
        now.setattr(at.running.keyring, "prepare", away)
        assert (await at.send(TWENTY)).phase == "stopped"
    assert (await at.send(TWENTY)).counts == counts(added=20)


async def test_a_service_that_stops_takes_it_along_and_the_next_goes_on(
    tmp_path: Path, many: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    began: list[asyncio.subprocess.Process] = []
    begin, read, numbers = asyncio.create_subprocess_exec, ahead._read, count()

    async def beginning(*command: str, **how: Any) -> asyncio.subprocess.Process:
        began.append(await begin(*command, **how))
        return began[-1]

    async def stuck(answers: asyncio.StreamReader) -> list[Draft | None]:
        if next(numbers) == 2:
            await asyncio.Event().wait()
        return await read(answers)

    with monkeypatch.context() as now:
        now.setattr(asyncio, "create_subprocess_exec", beginning)
        now.setattr(ahead, "_read", stuck)
        async with desk(tmp_path) as first:
            reference = (await first.offer(TWENTY)).reference

            async def is_stuck() -> bool:
                return (await first.imports.page(reference)).done == 8

            await until(is_stuck)
    assert [process.returncode is not None for process in began] == [True]
    async with desk(tmp_path) as second:
        page = await second.send(TWENTY)
        assert (page.phase, page.counts) == ("finished", counts(again=8, added=12))
        assert len(await second.stored()) == 22
