"""One referral told by its spans and figures, and nobody's name in any of them."""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from secrets import token_hex
from types import ModuleType

import pytest

from libs.common import handle, meters, react, telemetry
from libs.common.adapters import open_store
from libs.common.commit import Commit
from libs.common.meters import INSTRUMENTS
from libs.common.ports import LOG_BATCH_MAX, SHARDS
from libs.common.serving import read_directory
from services.consent import main as consent
from services.referrals import main as referrals
from tests.canary import clean
from tests.collector import Collector, Span, collecting
from tests.common.doors import until
from tests.referrals.flows import allowed, at_work, routed
from tests.serving import DIRECTORY, SERVICES, Served
from tests.stories.people import CLOCK, OTHER_INTAKE, accepted, enrolled
from tests.tracing import place_of, reached, torn

CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
PARTS = ("api", "relay", "project")
APART = tuple(f"services.{name} {part}" for part in PARTS for name in SERVICES)
ARROWS = {"http", "decide", "append", "project", "react"}
EMBEDDED = {meters.RELAY.name, meters.FENCED.name}
"""Figures that only a service with a topic has."""


async def commits(store_url: str, prefix: str = "alliance") -> list[Commit]:
    """Both logs."""
    found: list[Commit] = []
    for name in SERVICES:
        async with open_store(store_url, name, readonly=True, prefix=prefix) as store:
            for shard in range(SHARDS):
                found += await store.log(shard, 0, LOG_BATCH_MAX)
    return found


@asynccontextmanager
async def referred(
    folder: Path, modules: Sequence[str], **more: str
) -> AsyncIterator[tuple[Collector, list[Commit]]]:
    """What a collector got and what the logs hold of one referral, all under one caller's trace;
    then every byte is looked through, the processes' own lines too."""
    with collecting() as collector:
        platform = Served(folder, modules, {**CLOCK, **collector.settings, **more})
        url = platform.more.get("STORE_URL", f"sqlite://{folder / 'data'}")
        prefix = platform.more.get("PREFIX", "alliance")
        try:
            await platform.start()
            student = await enrolled(platform)
            before = {commit.position for commit in await commits(url, prefix)}
            platform.always["traceparent"] = CALLER
            referral = await accepted(platform, student)
            no = await platform.ask(OTHER_INTAKE, "GET", f"/v1/referrals/{referral}")
            assert no.status == 404
            after: list[Commit] = []

            async def arrived() -> bool:
                """What the readers did too."""
                after[:] = [c for c in await commits(url, prefix) if c.position not in before]
                return not missing(collector.spans(), after, folder, sent="BUS_URL" in more)

            with suppress(TimeoutError):  # then the test says what is missing
                await until(arrived)
            await platform.stop()
        finally:
            await platform.close()
        yield collector, after
        collector.write(folder / "telemetry")
    clean(folder)


def missing(spans: Sequence[Span], after: Sequence[Commit], folder: Path, sent: bool) -> list[str]:
    directory = read_directory(folder / "directory.json")
    rooms = [main.rooms(directory) for main in (consent, referrals)]
    return list(torn(spans, after, rooms, CALLER, sent))


def told(collector: Collector) -> set[str]:
    """The names of all figures that arrived."""
    return {point.name for point in collector.points()}


def counted(collector: Collector) -> Counter[str]:
    """How many commits each log has got, as all processes together say in the end."""
    last = {
        (point.said["log"], point.instance): point.value
        for point in collector.points()
        if point.name == meters.COMMITS.name
    }
    found = Counter[str]()
    for (log, _), value in last.items():
        found[log] += int(value)
    return found


def assert_that_holes_are_seen(
    spans: Sequence[Span], after: Sequence[Commit], folder: Path
) -> None:
    """Of a whole trace, take one thing away after the other."""
    found = reached(spans, place_of(CALLER))

    def torn_without(name: str, which: Callable[[Span], bool] = lambda _: True) -> str:
        left = [one for one in spans if one.name != name or not which(one)]
        return "; ".join(missing(left, after, folder, sent=False))

    for name in ARROWS:
        assert torn_without(name, lambda one: one.place in found)
    memory = next(str(s.said["projection"]) for s in spans if "projection" in s.said)
    assert memory in torn_without("project", lambda one: one.said.get("projection") == memory)
    cut = [replace(one, parent=None) if one.name == "decide" else one for one in spans]
    assert "hangs in the air" in "; ".join(missing(cut, after, folder, sent=False))
    assert "has no relay" in "; ".join(missing(spans, after, folder, sent=True))


BUILDS = {
    "a policy asks without the trace of its cause": (react, "trace_of"),
    "a commit is stored without its trace": (handle, "current"),
}


@pytest.mark.parametrize(("room", "name"), BUILDS.values(), ids=BUILDS.keys())
async def test_a_build_that_drops_the_trace_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: ModuleType, name: str
) -> None:
    monkeypatch.setattr(room, name, lambda *_: None)
    with collecting() as collector:
        telemetry.start("office", collector.settings["OTLP_URL"])
        try:
            async with at_work(tmp_path) as at:
                at.client.headers["traceparent"] = CALLER
                referral = await routed(at)
                await allowed(at, referral)
        finally:
            telemetry.stop()
        after = [c for c in await commits(f"sqlite://{tmp_path}") if c.content.get("cause")]
        assert after, "a policy has asked"
        (tmp_path / "directory.json").write_bytes(DIRECTORY)
        torn = missing(collector.spans(), after, tmp_path, sent=False)
        assert f"{after[0].position} was decided outside of it" in torn


async def test_a_referral_is_one_trace_on_one_machine(tmp_path: Path) -> None:
    async with referred(tmp_path, ("services",)) as (collector, after):
        assert {commit.log for commit in after} == set(SERVICES)
        assert missing(collector.spans(), after, tmp_path, sent=False) == []
        assert_that_holes_are_seen(collector.spans(), after, tmp_path)
        found = reached(collector.spans(), place_of(CALLER)).values()
        assert {span.name for span in found} == ARROWS
        assert told(collector) == INSTRUMENTS.keys() - EMBEDDED
        assert counted(collector) == Counter(
            commit.log for commit in await commits(f"sqlite://{tmp_path / 'data'}")
        )


@pytest.mark.engines
async def test_a_referral_is_one_trace_over_every_process(
    tmp_path: Path, kafka: str, mongo: str
) -> None:
    urls = dict.fromkeys(("STORE_URL", "VIEWS_URL", "KEYS_URL"), mongo)
    more = {**urls, "BUS_URL": kafka, "PREFIX": f"traced{token_hex(4)}"}
    async with referred(tmp_path, APART, **more) as (collector, after):
        assert missing(collector.spans(), after, tmp_path, sent=True) == []
        found = reached(collector.spans(), place_of(CALLER)).values()
        assert {span.name for span in found} == ARROWS | {"relay"}
        for name in SERVICES:
            arrows = {span.name for span in found if span.service == name}
            assert {"append", "relay", "project"} <= arrows
        assert told(collector) == INSTRUMENTS.keys()
        stored = await commits(mongo, more["PREFIX"])
        assert counted(collector) == Counter(commit.log for commit in stored)
