"""Queues, stories, needs and waits stay answered, in whatever order the shards are heard."""

from collections.abc import Iterable
from datetime import date, timedelta
from typing import Any

import pytest

from libs.common.personal import Sealed
from libs.common.shapes import Projection
from libs.common.testing import folded
from services.consent import events as consent
from services.referrals.events import Urgency
from services.referrals.views.clocks import clocks
from services.referrals.views.places import place
from services.referrals.views.queues import inbox, queue
from services.referrals.views.stories import LINES_MAX, lines, needs, stories
from services.referrals.views.students import open_referrals, students
from services.referrals.views.waits import turns_in_order, waits
from tests.referrals.histories import (
    AWAITING,
    COMMANDS,
    ENDED,
    FINISHED,
    KLINE,
    MONDAY,
    PATHS,
    RAISE,
    READY,
    ROUTE,
    SENT,
    SERVING,
    SOCIAL_WORKER,
    TRIAGED,
    WAITLISTED,
    Asked,
    history,
    reached,
)
from tests.referrals.logs import (
    DIRECTORY,
    NAMES,
    heard,
    mixed,
    one,
    told,
)


@pytest.mark.parametrize("state", [name for name in PATHS if name != "Unraised"])
def test_views_and_rules_agree_about_where_a_referral_is(state: str) -> None:
    code = ""
    for event in history(*PATHS[state]):
        code = place(event, code or "awaits-triage")
    assert code == reached(*PATHS[state]).code


def test_no_row_of_inbox_queue_waits_clocks_or_stories_holds_a_personal_value() -> None:
    log = told(*FINISHED, COMMANDS["CallCrisis"])
    projections: list[Projection[Any]] = [
        inbox, queue, waits, clocks(DIRECTORY), needs, stories,
    ]  # fmt: skip
    for projection in projections:
        (document,) = folded(projection, log).values()
        assert not list(envelopes(document.model_dump(mode="json")))
    assert any(
        list(envelopes(line.model_dump(mode="json"))) for line in folded(lines, log).values()
    )


def envelopes(value: Any) -> Iterable[Sealed]:
    found = Sealed.parse(value)
    if found is not None:
        yield found
    elif isinstance(value, dict):
        for inner in value.values():
            yield from envelopes(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from envelopes(inner)


def test_an_inbox_row_does_not_say_who_the_student_is() -> None:
    row = one(inbox, told(*SENT))
    assert "stu_1" not in row.model_dump_json()
    assert (row.agency, row.situation, row.warm, row.rank) == ("agy_one", "awaits-answer", True, 1)


def test_an_agency_sees_nothing_before_it_is_sent_and_nothing_after_it_is_recalled() -> None:
    assert folded(inbox, told(*READY)) == {}
    recalled = Asked(ROUTE.model_copy(update={"receiver": "agy_two"}), SOCIAL_WORKER)
    assert folded(inbox, told(*SENT, recalled)) == {}


def test_an_agency_sees_that_sharing_ended() -> None:
    assert one(inbox, told(*SERVING, ENDED)).situation == "sharing-ended"


def test_a_queue_row_follows_a_referral_to_its_end() -> None:
    row = one(queue, told(*SERVING, COMMANDS["CallCrisis"]))
    assert (row.situation, row.helper, row.attempt, row.tier) == ("in-service", "usr_kline", 1, 3)
    assert (row.crisis, row.open, row.unread) == ("called", True, ())
    closed = one(queue, told(*FINISHED, COMMANDS["Acknowledge"]))
    assert (closed.situation, closed.open) == ("closed", False)


def test_an_onward_referral_is_not_in_the_school_s_queue() -> None:
    onward = Asked(RAISE.model_copy(update={"origin": "onward", "parent": "ref_0"}), KLINE)
    assert folded(queue, told(onward)) == {}


def test_a_story_tells_who_said_what() -> None:
    log = told(*SENT, COMMANDS["AddConcern"])
    story, found = one(stories, log), folded(lines, log)
    assert [found[key].by for key in story.lines()] == [
        *["school"] * 3, "platform", "school", "family",
    ]  # fmt: skip
    assert story.hands == ("usr_psych", "usr_social", "usr_teacher")
    assert found[story.lines()[-1]].data["words"]["$enc"]["k"] == "stu_1:record:1"


def test_of_a_very_long_story_the_newest_lines_are_told() -> None:
    story = one(stories, told(*SENT)).model_copy(update={"version": LINES_MAX + 3})
    keys = story.lines()
    assert len(keys) == LINES_MAX
    assert keys == sorted(keys)
    assert keys[0] == f"{story.referral}.000004"
    assert keys[-1] == f"{story.referral}.{LINES_MAX + 3:06}"


def test_a_need_counts_how_many_were_asked_until_somebody_helped() -> None:
    other = ROUTE.model_copy(update={"receiver": "agy_two"})
    log = told(*PATHS["Declined"], Asked(other, SOCIAL_WORKER))
    assert one(needs, log).attempts_until_served() is None
    assert one(needs, told(*SERVING)).attempts_until_served() == 1
    first = told(*PATHS["Declined"], ref="ref_1")
    later = [e._replace(at=e.at + timedelta(hours=1)) for e in told(*SERVING, ref="ref_2")]
    assert one(needs, [*first, *later]).attempts_until_served() == 2


def test_needs_and_waits_do_not_mind_the_order_of_shards() -> None:
    logs = [told(*SERVING, ref="ref_1"), told(*WAITLISTED, ref="ref_2"), told(*SENT, ref="ref_3")]
    for projection in (needs, waits, open_referrals):
        outcomes = [folded(projection, mixed(logs, seed)) for seed in range(50)]
        assert all(outcome == outcomes[0] for outcome in outcomes)


def test_whose_turn_it_is_follows_urgency_and_then_waiting() -> None:
    soon = told(*WAITLISTED, ref="ref_soon")
    earlier = [
        e._replace(event=e.event.model_copy(update={"at": MONDAY - timedelta(days=1)}))
        for e in told(*WAITLISTED, ref="ref_earlier")
    ]
    urgent = [
        e._replace(event=e.event.model_copy(update={"urgency": Urgency.CRISIS}))
        for e in told(*WAITLISTED, ref="ref_urgent")
    ]
    wait = one(waits, [*soon, *earlier, *urgent, *told(*SENT, ref="ref_unlisted")])
    assert turns_in_order([wait]) == ["ref_urgent", "ref_earlier", "ref_soon"]


def test_a_turn_ends_with_help_and_is_counted() -> None:
    wait = one(waits, told(*SERVING))
    assert (wait.turns, wait.served) == ({}, 1)
    declined = one(waits, told(*PATHS["Declined"]))
    assert (declined.turns, declined.declined) == ({}, {"at-capacity": 1})


def test_who_is_held_keeps_the_turn_but_is_not_next() -> None:
    wait = one(waits, told(*WAITLISTED, ENDED))
    assert list(wait.turns) == ["ref_1"]
    assert turns_in_order([wait]) == []


def test_a_turn_moves_with_the_student() -> None:
    documents = folded(waits, told(*WAITLISTED, COMMANDS["NoteMove"]))
    assert documents["sch_one:agy_one:counseling"].turns == {}
    there = documents["sch_two:agy_one:counseling"]
    assert there.turns["ref_1"].since == MONDAY
    assert turns_in_order([there]) == ["ref_1"]


def test_a_student_is_known_by_school_standing_and_family() -> None:
    guardian = {"student": "stu_1", "guardian": "usr_mother", "names": NAMES, "relation": NAMES}
    roster = [
        consent.StudentEnrolled(student="stu_1", school="sch_one", names=NAMES, roster_id=NAMES),
        consent.GuardianAdded(
            **guardian, authority=consent.Authority.FULL, until=date(2026, 1, 31)
        ),
    ]
    student = one(students, heard(*roster))
    assert (student.school, student.standing) == ("sch_one", "enrolled")
    assert student.kin["usr_mother"].decides_on(date(2026, 1, 31))
    assert not student.kin["usr_mother"].decides_on(date(2026, 2, 1))
    ordered = consent.StudentErasureOrdered(student="stu_1", by="usr_one", approver="usr_two")
    erased = one(students, heard(*roster, ordered))
    assert (erased.standing, erased.names, erased.kin) == ("erased", None, {})


def test_open_referrals_are_those_that_are_not_over() -> None:
    assert one(open_referrals, told(*TRIAGED)).referrals == {"ref_1": None}
    assert one(open_referrals, told(*AWAITING)).referrals == {"ref_1": "counseling"}
    assert one(open_referrals, told(*PATHS["Closed"])).referrals == {}
