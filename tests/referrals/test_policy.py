"""Whoever is heard later finds the earlier: family and roster reach every referral they touch."""

from collections.abc import Iterable
from datetime import timedelta
from itertools import chain
from typing import Any

import pytest

from libs.common.messages import Command, Event, Recorded
from libs.common.shapes import Policy, types_of
from libs.common.testing import folded
from services.consent import events as consent
from services.referrals.decider.commands import (
    NoteBreach,
    NoteConsent,
    NoteConsentEnded,
    NoteMove,
    NoteNo,
    Withdraw,
)
from services.referrals.events import WithdrawReason
from services.referrals.policy import due, follow, hold
from services.referrals.views.clocks import Row
from services.referrals.views.sharing import resting
from tests.referrals.histories import (
    AWAITING,
    COMMANDS,
    ENDED,
    GRANT,
    MONDAY,
    PATHS,
    READY,
    SENT,
    TRIAGED,
)
from tests.referrals.logs import GRANTED, NAMES, heard, interleavings, revoked, told

Asks = list[tuple[str, Command]]
REF = "referral/ref_1"
YES = (REF, NoteConsent(grant=GRANT, version=1, recipient="agy_one"))
ENDED_BY_FAMILY = (REF, NoteConsentEnded(grant=GRANT, cause="revoked"))
ENROLLED = consent.StudentEnrolled(student="stu_1", school="sch_one", names=NAMES, roster_id=NAMES)
MOVED = consent.StudentMoved(student="stu_1", school="sch_two")
LEFT = consent.StudentLeft(student="stu_1", school="sch_one", reason="moved-away")


def asked(policy: Policy[Any], entries: Iterable[Recorded[Any]]) -> Asks:
    """What a policy asks, entry after entry, its memory folded as it goes."""
    documents: dict[str, Any] = {}
    memory, asks = policy.memory, []
    assert memory is not None
    for entry in entries:
        keys = [*memory.keys(entry)] if entry.event.type in types_of(memory.hears) else []
        for key in keys:
            documents[key] = memory.fold(documents.get(key), entry, key)
        of_entry = list(chain.from_iterable(policy.asks(entry, documents[key]) for key in keys))
        streams = [stream for stream, _ in of_entry]
        assert len(streams) == len(set(streams)), "one stream is asked once for one cause"
        asks += of_entry
    return asks


@pytest.mark.parametrize("path", [READY, SENT, PATHS["InService"]])
def test_what_rests_on_a_revoked_grant_is_held_whichever_log_is_heard_first(path: Any) -> None:
    family = heard(consent.ConsentGranted(**GRANTED), revoked())
    for entries in interleavings(family, told(*path)):
        assert ENDED_BY_FAMILY in asked(hold, entries)


def test_what_was_sent_on_an_older_view_is_held_all_the_same() -> None:
    before = [*heard(consent.ConsentGranted(**GRANTED), revoked()), *told(*SENT)]
    assert asked(hold, before)[-1] == ENDED_BY_FAMILY


def test_what_is_held_already_is_not_asked_again() -> None:
    family = heard(consent.ConsentGranted(**GRANTED))
    later = heard(consent.ConsentGranted(**GRANTED), revoked())[1:]
    assert ENDED_BY_FAMILY not in asked(hold, [*family, *told(*SENT, ENDED), *later])


def test_a_grant_too_narrow_to_rest_on_has_ended_for_the_referral() -> None:
    terms = GRANTED["terms"].model_copy(
        update={"classes": frozenset({consent.RecordClass.CONTACT})}
    )
    narrowed = consent.ConsentNarrowed(**{**GRANTED, "version": 2, "terms": terms})
    granted = consent.ConsentGranted(**GRANTED)
    asks = asked(hold, [*told(*SENT), *heard(granted, narrowed)])
    assert asks[-1] == (REF, NoteConsentEnded(grant=GRANT, cause="narrowed"))


@pytest.mark.parametrize("cause", list(consent.Cause))
def test_a_grant_that_ended_by_itself_says_why(cause: consent.Cause) -> None:
    expired = consent.ConsentExpired(
        **{name: GRANTED[name] for name in ("student", "grant", "referral", "version")},
        recipient="agy_one",
        holder="district",
        cause=cause,
    )
    granted = consent.ConsentGranted(**GRANTED)
    asks = asked(hold, [*told(*SENT), *heard(granted, expired)])
    assert asks[-1] == (REF, NoteConsentEnded(grant=GRANT, cause=cause.value))


def test_a_yes_makes_what_awaits_it_ready_whichever_log_is_heard_first() -> None:
    family = heard(consent.ConsentGranted(**GRANTED))
    for entries in interleavings(family, told(*AWAITING)):
        assert YES in asked(hold, entries)


def test_a_yes_to_a_new_question_resumes_the_referral_it_names() -> None:
    again = consent.ConsentGranted(**{**GRANTED, "grant": "grant_2"})
    asks = asked(hold, [*told(*SENT, ENDED), *heard(again)])
    assert asks == [(REF, NoteConsent(grant="grant_2", version=1, recipient="agy_one"))]


@pytest.mark.parametrize(
    ("event", "cause"), [(consent.ConsentDeclined, "declined"), (consent.RequestLapsed, "lapsed")]
)
def test_a_no_or_no_answer_is_told_whichever_log_is_heard_first(
    event: type[Event], cause: Any
) -> None:
    refused = event.model_validate(
        {"student": "stu_1", "grant": GRANT, "referral": "ref_1"}
        | {"recipient": "agy_one", "holder": "district"}
    )
    for entries in interleavings(heard(refused), told(*AWAITING)):
        assert (REF, NoteNo(grant=GRANT, cause=cause)) in asked(hold, entries)


@pytest.mark.parametrize("reason", ["no-one-to-ask", "too-many", "already-over"])
def test_a_referral_whose_family_cannot_be_asked_waits_no_more_and_says_why(
    reason: consent.NotAsked,
) -> None:
    not_asked = consent.RequestUnanswerable(
        student="stu_1",
        grant=GRANT,
        referral="ref_1",
        terms=GRANTED["terms"],
        text_version="text-1",
        reason=reason,
    )
    for entries in interleavings(heard(not_asked), told(*AWAITING)):
        assert (REF, NoteNo(grant=GRANT, cause=reason)) in asked(hold, entries)


def test_the_way_back_makes_nothing_ready() -> None:
    terms = GRANTED["terms"].model_copy(
        update={
            "holder": "agy_one",
            "recipient": "district",
            "classes": frozenset({consent.RecordClass.ALERT}),
        }
    )
    back = consent.ConsentGranted(**{**GRANTED, "grant": "ref_1.1.back", "terms": terms})
    assert asked(hold, [*told(*AWAITING), *heard(back)]) == []


def test_open_referrals_move_with_the_student_whichever_log_is_heard_first() -> None:
    for entries in interleavings(heard(ENROLLED, MOVED), told(*TRIAGED)):
        asks = asked(follow, entries)
        assert (REF, NoteMove(school="sch_two")) in asks
        assert all(command == NoteMove(school="sch_two") for _, command in asks)


def test_a_referral_that_is_ahead_of_the_roster_is_not_moved_back() -> None:
    there = [
        e._replace(event=e.event.model_copy(update={"school": "sch_two"})) for e in told(*TRIAGED)
    ]
    roster = heard(ENROLLED, MOVED)
    assert asked(follow, [roster[0], *there, roster[1]]) == []


def test_open_referrals_end_when_the_student_leaves_whichever_log_is_heard_first() -> None:
    gone = (REF, Withdraw(reason=WithdrawReason.STUDENT_LEFT))
    for entries in interleavings(heard(ENROLLED, LEFT), told(*TRIAGED)):
        assert gone in asked(follow, entries)


def test_erasing_ends_referrals_and_over_ones_are_left_alone() -> None:
    ordered = consent.StudentErasureOrdered(student="stu_1", by="usr_1", approver="usr_2")
    erased = (REF, Withdraw(reason=WithdrawReason.ERASED))
    assert asked(follow, [*told(*TRIAGED), *heard(ENROLLED, ordered)])[-1] == erased
    over = told(*TRIAGED, COMMANDS["Close"])
    assert asked(follow, [*over, *heard(ENROLLED, ordered)]) == []


def test_who_comes_back_is_not_withdrawn_any_more() -> None:
    back = [*heard(ENROLLED, LEFT, ENROLLED), *told(*TRIAGED)]
    assert asked(follow, back) == []


def test_what_is_due_is_asked_as_it_stands_in_the_row() -> None:
    row = Row(
        stream=REF,
        entered=3,
        kind="awaits-answer",
        due=MONDAY + timedelta(days=1),
        referral="ref_1",
        school="sch_one",
        source="terms",
    )
    assert due(row) == NoteBreach(
        kind="awaits-answer", entered=3, due=MONDAY + timedelta(days=1), source="terms"
    )


def test_no_policy_forgets_what_was_said_before_it_was_deployed() -> None:
    assert hold.from_start
    assert follow.from_start


def test_one_commit_that_takes_back_and_asks_elsewhere_asks_no_stream_twice() -> None:
    elsewhere = COMMANDS["Route"]
    log = told(*SENT, elsewhere)
    family = heard(consent.ConsentGranted(**GRANTED), revoked())
    documents = folded(resting, [*family, *log])
    taken_back, asked_anew = log[-2:]
    asks = [
        stream
        for entry in (taken_back, asked_anew)
        for key in resting.keys(entry)
        for stream, _ in hold.asks(entry, documents[key])
    ]
    assert len(asks) == len(set(asks))
