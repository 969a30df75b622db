"""A day is over when nothing follows any more, and whoever is behind is named."""

from typing import Any

from demo.stepping import behind

NOW = "2025-09-15T14:00:00.000000Z"
HEADS = {"consent:3": 7, "referrals:0": 2}


def told(**changes: Any) -> dict[str, dict[str, Any]]:
    status = {
        "now": NOW,
        "sweeps": True,
        "swept": NOW,
        "waiting": 0,
        "cursors": {"consent.family_v1_g1": {"consent:3": 7}, "referrals.hold": dict(HEADS)},
        "logs": {
            "consent.family_v1_g1": ["consent"],
            "referrals.hold": ["consent", "referrals"],
        },
    }
    return {"services": status | changes}


def test_at_rest_nobody_is_behind() -> None:
    assert behind(told(), HEADS, NOW) == ""


def test_a_clock_that_has_not_moved_is_named() -> None:
    assert behind(told(now="2025-09-14T14:00:00.000000Z"), HEADS, NOW) == "services: its clock"


def test_timers_that_have_not_swept_are_named() -> None:
    assert behind(told(swept=None), HEADS, NOW) == "services: its timers"
    assert behind(told(sweeps=False, swept=None), HEADS, NOW) == ""


def test_commands_under_way_are_waited_for() -> None:
    assert behind(told(waiting=1), HEADS, NOW) == "services: commands under way"


def test_a_reader_short_of_a_log_it_hears_is_named() -> None:
    heads = HEADS | {"consent:4": 1}
    assert behind(told(), heads, NOW) == "services: consent.family_v1_g1 at consent:4"


def test_a_reader_need_not_hear_every_log() -> None:
    heads = HEADS | {"referrals:0": 3}
    assert behind(told(), heads, NOW) == "services: referrals.hold at referrals:0"


def test_two_processes_that_share_their_reading_are_where_the_further_one_is() -> None:
    one = told(cursors={"consent.family_v1_g1": {"consent:3": 7}, "referrals.hold": {}})
    other = told(cursors={"consent.family_v1_g1": {}, "referrals.hold": dict(HEADS)})
    assert behind({"one": one["services"], "other": other["services"]}, HEADS, NOW) == ""
    short = other["services"] | {"sweeps": False}
    found = behind({"one": one["services"], "other": short}, HEADS, NOW)
    assert found == "one: referrals.hold at consent:3"
