"""Three relays of each service at once, some frozen: the small form of `make prove`; and that what
such runs look for besides would be found."""

from pathlib import Path

import pytest

from tests import engines
from tests.faults.beadwork import Build, played
from tests.faults.brokers import BROKERS, early, leader_changes, three_relays
from tests.faults.deployment import silent

SEED = 20_261_124


async def test_a_record_before_the_one_that_it_follows_is_found(tmp_path: Path) -> None:
    """Duplicates, in whatever order, are none."""
    topic = (await played(tmp_path, Build())).topics["beads"]
    shard = next(commit.shard for commit in topic if commit.seq == 3)
    first, second, third, *_ = (commit for commit in topic if commit.shard == shard)
    others = [commit for commit in topic if commit.shard != shard]
    assert list(early([*others, first, second, first, third, second, third])) == []
    assert list(early([*others, first, third, second])) == [third.position]
    assert list(early([second, *others, third])) == [second.position]


def test_a_leader_that_changed_is_counted_once_whoever_wrote_it_down(tmp_path: Path) -> None:
    assert leader_changes(tmp_path) == 0
    for broker, times in zip(BROKERS, ("0 0\n", "0 0\n1 40\n3 41\n", "0 0\n3 41\n"), strict=True):
        for shard in ("0", "1"):
            place = tmp_path / broker / "data" / f"faults.consent.commits-{shard}"
            place.mkdir(parents=True)
            told = times if shard == "0" else "0 0\n"
            text = f"0\n{told.count(chr(10))}\n{told}"
            (place / "leader-epoch-checkpoint").write_text(text)
    assert leader_changes(tmp_path) == 2


@pytest.mark.engines
async def test_a_frozen_relay_wakes_to_no_gap_and_nothing_twice(tmp_path: Path) -> None:
    if engines.missing():
        pytest.skip("an engine is not on this machine")
    report = await three_relays(tmp_path, SEED, silent, seconds=5.0)
    assert report.good, report
