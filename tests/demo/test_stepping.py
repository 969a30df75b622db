"""A day is over when nothing follows any more, and whoever is behind is named."""

from datetime import UTC, datetime, timedelta
from typing import Any, cast

from demo.callers import Place
from demo.stepping import Steps, behind, furthest, next_due
from libs.common.messages import instant
from libs.common.web.client import Client, Reply

NOW = "2025-09-15T14:00:00.000000Z"
LATER = "2025-09-16T04:00:00.000001Z"
AFTER = datetime(2025, 9, 16, 4, 0, 1, tzinfo=UTC)
HEADS = {"consent:3": 7, "referrals:0": 2}


def told(**changes: Any) -> dict[str, dict[str, Any]]:
    status = {
        "now": NOW,
        "sweeps": True,
        "swept": NOW,
        "due": LATER,
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


def test_a_timer_that_the_last_sweep_made_due_is_waited_for() -> None:
    assert behind(told(due=NOW), HEADS, NOW) == "services: a timer that is due"
    assert behind(told(due=None), HEADS, NOW) == ""


def test_the_next_timer_is_the_earliest_of_all_to_the_second_that_follows() -> None:
    assert next_due(told() | {"other": told(due=None)["services"]}) == AFTER
    assert next_due(told(due=None)) is None


def test_a_log_ends_where_the_latest_look_says() -> None:
    earlier = told(heads={"consent:3": 6, "referrals:0": 2})["services"]
    assert furthest({"one": told(heads=HEADS)["services"], "other": earlier}) == HEADS


class Ticking:
    """A process whose only timer is due again after it was asked for, until it has been often
    enough."""

    def __init__(self, *due: datetime) -> None:
        self.due = list(due)
        self.steps: list[datetime] = []

    async def request(self, method: str, _: str, body: Any, __: object) -> Reply:
        if method == "POST":
            self.steps.append(datetime.fromisoformat(body["now"]))
            self.due = [due for due in self.due if due > self.steps[-1]]
        status = told(
            now=instant(self.steps[-1]),
            swept=instant(self.steps[-1]),
            due=instant(self.due[0]) if self.due else None,
            heads=HEADS,
        )
        return Reply(200, {}, status["services"])


async def test_time_stands_still_wherever_a_timer_is_due() -> None:
    start = datetime.fromisoformat(NOW)
    third, sixth, last = (start + timedelta(days=days) for days in (3, 6, 20))
    service = Ticking(third, sixth, last)
    steps = Steps({"services": Place([cast(Client, service)])})
    await steps.to(start)
    await steps.to(start + timedelta(days=10))
    assert service.steps == [start, third, sixth, start + timedelta(days=10)]


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
