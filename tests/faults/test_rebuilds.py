"""Every read model can be thrown away and built again; whoever could not would be found."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from libs.common.messages import Recorded, View
from libs.common.project import Slot
from libs.common.shapes import Projection
from tests import engines
from tests.faults.rebuilds import SMALL, from_kafka, on_sqlite

SEED = 20_261_124
TINY = SMALL._replace(streams=24, lives=2, killed=0)


async def test_rebuilds_say_what_the_live_read_models_say(tmp_path: Path) -> None:
    report = await on_sqlite(tmp_path, SEED, size=SMALL)
    assert report.findings == []
    assert report.faults["calls that failed"] >= SMALL.failing, "of twice as many"
    assert report.figures["commits"] > 10 * SMALL.streams


class Counted(View):
    count: int = 0
    latest: str = ""


def _keys(_: Recorded[Any]) -> tuple[str, ...]:
    return ("everything",)


def _counted(view: Counted | None, _entry: Recorded[Any], _key: str) -> Counted:
    return Counted(count=(view.count if view else 0) + 1)


def _latest(view: Counted | None, entry: Recorded[Any], _key: str) -> Counted:
    return Counted(latest=entry.stream)


counts = Projection[Counted]("counts", 1, ("consent", "referrals"), Counted, _keys, _counted)


async def test_a_fold_by_arrival_is_found(tmp_path: Path) -> None:
    """The last to arrive wins: shards have no common order."""
    services = {"consent": [replace(counts, fold=_latest)]}
    report = await on_sqlite(tmp_path, SEED, size=TINY, services=services)
    assert report.findings


async def test_a_projection_without_the_position_guard_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    services = {"consent": [counts]}
    assert not (await on_sqlite(tmp_path / "sound", SEED, size=TINY, services=services)).findings
    monkeypatch.setattr(Slot, "doc", property(_forgetful))
    report = await on_sqlite(tmp_path / "broken", SEED, size=TINY, services=services)
    assert {finding.rule for finding in report.findings} == {"rebuilt under kills"}


def _forgetful(slot: Slot[Any]) -> dict[str, Any]:
    return {**slot.view.model_dump(mode="json"), "_pos": {}, "_at": slot.at} if slot.view else {}


@pytest.mark.engines
async def test_a_rebuild_from_kafka_alone_says_the_same(tmp_path: Path) -> None:
    url = engines.kafka_url()
    assert url is not None
    report = await from_kafka(tmp_path, SEED, size=SMALL, url=url)
    assert report.findings == []
