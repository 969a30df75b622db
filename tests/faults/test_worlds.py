"""500 worlds keep every promise; the same seed tells the same story; a broken build is noticed."""

import os
import subprocess
import sys

import pytest

from tests.faults.broken_builds import BUILDS
from tests.faults.worlds import play, run

WORLDS = 500
FIRST_SEED = 0
TOLD_AGAIN = (1, 11, 94)
CAUGHT_BY = {
    "acknowledges_before_the_insert": 0,
    "keeps_its_heads_after_a_duplicate": 3,
    "goes_on_behind_a_duplicate": 0,
    "tells_what_the_majority_has_not_got": 56,
    "relays_by_its_own_counter": 0,
    "reads_on_after_a_gap": 0,
    "writes_over_what_others_wrote": 1,
    "folds_what_it_has_seen": 0,
    "stores_the_cursor_before_its_commands": 0,
    "numbers_its_commands": 1,
    "numbers_what_its_timers_ask": 0,
    "stays_ahead_after_a_lost_race": 2,
    "shows_what_is_not_there_yet": 9,
}
"""The first of the worlds that notices a broken build; it is asked first, then all the others."""


def test_every_promise_is_kept_in_every_world() -> None:
    total = run(range(FIRST_SEED, FIRST_SEED + WORLDS))
    assert not total.findings, "\n".join(map(str, total.findings))
    assert total.worlds == WORLDS
    assert total.unknown > WORLDS, "the worlds were too kind to show anything"
    assert total.commits > 10 * WORLDS
    for kind in ("kill", "freeze", "fail-over", "insert late", "insert no reply", "gap", "again"):
        assert total.faults[kind] > WORLDS / 20, f"{kind} hardly ever happened"


@pytest.mark.parametrize("seed", TOLD_AGAIN)
def test_a_seed_is_a_world(seed: int) -> None:
    """Also in another process, whose sets have another order."""
    here = play(seed).digest
    assert play(seed).digest == here
    assert play(seed + 1).digest != here
    words = f"from tests.faults.worlds import play; print(play({seed}).digest)"
    other = {**os.environ, "PYTHONHASHSEED": "4711"}
    told = subprocess.run(
        [sys.executable, "-c", words], env=other, capture_output=True, text=True, check=True
    )
    assert told.stdout.strip() == here


@pytest.mark.parametrize("name", sorted(BUILDS))
def test_a_broken_build_is_noticed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    BUILDS[name](monkeypatch)
    first = CAUGHT_BY[name]
    seeds = [first, *(seed for seed in range(WORLDS) if seed != first)]
    assert any(play(seed).findings for seed in seeds), f"no world noticed that it {name}"
