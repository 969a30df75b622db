"""What referrals promise: each refusal of a command's own, and what events carry."""

from datetime import date, timedelta
from typing import Any

import pytest

from libs.common.errors import Refused
from libs.common.messages import Actor, Command, Role, Stamp
from libs.common.testing import sealed
from services.referrals.decider import commands as c
from services.referrals.decider import referrals
from services.referrals.decider import states as s
from services.referrals.decider.states import Situation
from services.referrals.events import (
    ClockBreached,
    ConcernRaised,
    ConsentIs,
    CrisisAttended,
    CrisisCalled,
    CrisisSettled,
    DeclineReason,
    FamilyMet,
    Met,
    Origin,
    Override,
    ReferralAccepted,
    ReferralEvent,
    ReferralHeld,
    ReferralMoved,
    ReferralPacketOpened,
    ReferralRecalled,
    ReferralRouted,
    ReferralSent,
    ServiceFinished,
    ServiceStarted,
    Side,
    Signal,
    Urgency,
    WithdrawReason,
)
from tests.referrals.histories import (
    ACCEPTED,
    ALERT,
    AWAITING,
    COMMANDS,
    COVER,
    ENDED,
    FINISHED,
    GRANT,
    INTAKE,
    KLINE,
    MONDAY,
    OTHER_INTAKE,
    PATHS,
    POLICY,
    PSYCHOLOGIST,
    RAISE,
    RAISED,
    READY,
    ROUTE,
    SENT,
    SERVING,
    SOCIAL_WORKER,
    TEACHER,
    TRIAGE,
    TRIAGED,
    YEAR_END,
    YES,
    Asked,
    history,
    reached,
)

ABOUT: dict[str, Any] = {
    "at": MONDAY,
    "referral": "ref_1",
    "need": "need_1",
    "student": "stu_1",
    "school": "sch_one",
    "sender": "school",
    "urgency": Urgency.SOON,
}
AT_ONE = {**ABOUT, "attempt": 1, "receiver": "agy_one", "service": "counseling", "rested": GRANT}
EVIDENCE = sealed("record", "evidence")
AGREES = Asked(c.RecordMeeting(met=Met.GUARDIAN, agrees=True), PSYCHOLOGIST)
TAKE_ON = Asked(c.TakeOn(service="individual", year_end=YEAR_END), PSYCHOLOGIST)


def asks(state: Situation, command: Any, by: Actor, at: Any = MONDAY) -> list[ReferralEvent]:
    asked: Command = command.stamped(Stamp(at, by))
    return list(referrals.decide(state, asked))  # type: ignore[arg-type]  # any of the union


def refused(state: Situation, command: Any, by: Actor) -> str:
    with pytest.raises(Refused) as refusal:
        asks(state, command, by)
    assert refusal.value.sentence.endswith(".")
    return refusal.value.code


def but(command: Command, **changes: Any) -> Any:
    return command.model_copy(update=changes)


def test_a_concern_is_told_by_whoever_saw_it() -> None:
    assert asks(s.Unraised(), RAISE, TEACHER) == [
        ConcernRaised(
            **ABOUT,
            origin=Origin.CONCERN,
            raiser="usr_teacher",
            domains=RAISE.domains,
            setting=RAISE.setting,
            words=RAISE.words,
        )
    ]


def test_an_open_referral_makes_a_second_one_explain_itself() -> None:
    twice = but(RAISE, duplicates=("ref_0",))
    assert refused(s.Unraised(), twice, TEACHER) == "maybe-duplicate"
    assert asks(s.Unraised(), but(twice, override=Override.OTHER_HELP), TEACHER)


def test_nobody_having_looked_for_duplicates_is_not_none_found() -> None:
    assert refused(s.Unraised(), but(RAISE, duplicates=None), TEACHER) == "maybe-duplicate"


def test_a_crisis_waits_for_no_duplicate_and_no_enrolment() -> None:
    crisis = but(RAISE, urgency=Urgency.CRISIS, duplicates=None, standing="left")
    raised, called = asks(s.Unraised(), crisis, TEACHER)
    assert isinstance(raised, ConcernRaised)
    assert called == CrisisCalled(**{**ABOUT, "urgency": Urgency.CRISIS}, signal=Signal.CONCERN)


@pytest.mark.parametrize(
    ("standing", "code"),
    [("unknown", "unknown-student"), ("left", "student-left"), ("erased", "erased")],
)
def test_a_concern_is_about_an_enrolled_student(standing: str, code: str) -> None:
    assert refused(s.Unraised(), but(RAISE, standing=standing), TEACHER) == code


def test_a_reference_that_is_taken_is_not_taken_twice() -> None:
    other = but(RAISE, words=sealed("record", "words", "another story"))
    assert refused(reached(*RAISED), other, TEACHER) == "id-used"


def test_a_psychologist_sees_every_concern_first() -> None:
    assert refused(reached(*RAISED), TRIAGE, SOCIAL_WORKER) == "not-a-psychologist"


def test_the_sending_clinician_decides_first_on_an_onward_referral() -> None:
    onward = (Asked(but(RAISE, origin=Origin.ONWARD, parent="ref_0"), KLINE),)
    assert refused(reached(*onward), TRIAGE, PSYCHOLOGIST) == "not-a-psychologist"
    assert asks(reached(*onward), TRIAGE, KLINE)
    routed = asks(reached(*onward, Asked(TRIAGE, KLINE)), but(ROUTE, receiver="agy_two"), KLINE)[0]
    assert isinstance(routed, ReferralRouted)
    assert (routed.sender, routed.holder) == ("agy_one", "agy_one")


def test_a_program_of_the_school_stays_at_the_school() -> None:
    kept = (*RAISED, Asked(but(TRIAGE, school_only=True), PSYCHOLOGIST))
    assert refused(reached(*kept), ROUTE, SOCIAL_WORKER) == "stays-at-school"


def test_partners_give_tier_three_and_wraparound_only() -> None:
    second = (*RAISED, Asked(but(TRIAGE, tier=2), PSYCHOLOGIST))
    assert refused(reached(*second), ROUTE, SOCIAL_WORKER) == "tier-stays-at-school"
    around = (*RAISED, Asked(but(TRIAGE, tier=2, wraparound=True), PSYCHOLOGIST))
    assert asks(reached(*around), ROUTE, SOCIAL_WORKER)


def test_what_became_a_lower_tier_is_not_sent_out_any_more() -> None:
    lower = (*READY, Asked(c.ChangeTier(tier=2, evidence=EVIDENCE), PSYCHOLOGIST))
    send = COMMANDS["Send"].command
    assert refused(reached(*lower), send, SOCIAL_WORKER) == "tier-stays-at-school"


def test_a_tier_is_changed_to_another_one() -> None:
    again = c.ChangeTier(tier=3, evidence=sealed("record", "evidence", "other"))
    assert refused(reached(*TRIAGED), again, PSYCHOLOGIST) == "same-tier"


def test_only_an_agreement_in_force_lets_a_partner_be_asked() -> None:
    assert refused(reached(*TRIAGED), but(ROUTE, agreed=False), SOCIAL_WORKER) == "no-agreement"
    lapsed = but(COMMANDS["Send"].command, agreed=False)
    assert refused(reached(*READY), lapsed, SOCIAL_WORKER) == "no-agreement"


def test_help_supplements_and_does_not_duplicate() -> None:
    twice = but(ROUTE, duplicates=("ref_0",))
    assert refused(reached(*TRIAGED), twice, SOCIAL_WORKER) == "duplicate-service"
    assert refused(reached(*TRIAGED), but(ROUTE, duplicates=None), SOCIAL_WORKER) == (
        "duplicate-service"
    )
    assert asks(reached(*TRIAGED), but(twice, override=Override.OTHER_TROUBLE), SOCIAL_WORKER)


def test_who_said_no_is_not_asked_again_without_a_reason() -> None:
    declined = reached(*PATHS["Declined"])
    assert refused(declined, ROUTE, SOCIAL_WORKER) == "already-tried"
    routed = asks(declined, but(ROUTE, override=Override.CHANGED_SINCE), SOCIAL_WORKER)[0]
    assert (routed.attempt, routed.receiver) == (2, "agy_one")


def test_whom_the_family_refused_was_never_asked() -> None:
    refusal = Asked(c.NoteNo(grant=GRANT, cause="declined"), POLICY)
    assert asks(reached(*AWAITING, refusal), ROUTE, SOCIAL_WORKER)


def test_a_route_out_of_the_school_asks_the_family_under_a_name_both_derive() -> None:
    assert asks(reached(*TRIAGED), ROUTE, SOCIAL_WORKER) == [
        ReferralRouted(
            **{**AT_ONE, "rested": None},
            consent=ConsentIs.AWAITED,
            grant="ref_1.1.out",
            until=YEAR_END,
        )
    ]


def test_a_grant_that_covers_already_need_not_be_asked_for() -> None:
    routed = asks(reached(*TRIAGED), but(ROUTE, cover=COVER), SOCIAL_WORKER)[0]
    assert isinstance(routed, ReferralRouted)
    assert (routed.consent, routed.grant, routed.version) == (ConsentIs.IN_PLACE, GRANT, 1)


def test_the_school_is_asked_without_consent_and_at_once() -> None:
    events = asks(reached(*TRIAGED), but(ROUTE, receiver="school"), SOCIAL_WORKER)
    assert [type(event) for event in events] == [ReferralRouted, ReferralSent]
    assert isinstance(referrals.fold(events, reached(*TRIAGED)), s.Sent)


def test_who_asks_somebody_else_takes_it_back_from_the_first() -> None:
    events = asks(reached(*SENT), but(ROUTE, receiver="agy_two"), SOCIAL_WORKER)
    assert events[0] == ReferralRecalled(**AT_ONE)
    assert isinstance(events[1], ReferralRouted)
    assert (events[1].attempt, events[1].receiver, events[1].rested) == (2, "agy_two", None)


def test_a_former_receiver_learns_that_it_moved_on_and_nothing_else() -> None:
    moved = (*SENT, Asked(but(ROUTE, receiver="agy_two"), SOCIAL_WORKER))
    assert refused(reached(*moved), c.Accept(), INTAKE) == "moved-on"
    assert refused(reached(*SENT), c.Accept(), OTHER_INTAKE) == "moved-on"
    assert refused(reached(*SENT), c.Accept(), PSYCHOLOGIST) == "moved-on"


def test_nothing_is_sent_before_the_family_says_yes() -> None:
    send = but(COMMANDS["Send"].command, cover=None)
    assert refused(reached(*READY), send, SOCIAL_WORKER) == "no-consent"


def test_a_student_who_left_is_not_sent_anywhere() -> None:
    assert refused(reached(*TRIAGED), but(ROUTE, standing="left"), SOCIAL_WORKER) == "student-left"
    gone = but(COMMANDS["Send"].command, standing="erased")
    assert refused(reached(*READY), gone, SOCIAL_WORKER) == "erased"


def test_consent_for_somebody_else_makes_nothing_ready() -> None:
    assert asks(reached(*AWAITING), but(YES, recipient="district"), POLICY) == []


def test_a_no_to_an_older_question_changes_nothing() -> None:
    assert asks(reached(*AWAITING), c.NoteNo(grant="ref_1.0.out", cause="lapsed"), POLICY) == []


def test_only_the_grant_it_rests_on_holds_a_referral() -> None:
    other = c.NoteConsentEnded(grant="another", cause="revoked")
    assert asks(reached(*SENT), other, POLICY) == []
    assert asks(reached(*SENT), ENDED.command, POLICY) == [
        ReferralHeld(**AT_ONE, grant=GRANT, cause="revoked", was="awaits-answer")
    ]


@pytest.mark.parametrize(
    "was", ["Ready", "Sent", "Waitlisted", "Accepted", "InService", "SteppingDown"]
)
def test_a_new_permission_takes_it_back_to_where_it_was(was: str) -> None:
    held = (*PATHS[was], ENDED)
    again = c.NoteConsent(grant="grant_2", version=1, recipient="agy_one")
    state = reached(*held, Asked(again, POLICY))
    assert type(state).__name__ == was
    assert not isinstance(state, s.Unraised)
    assert state.referral.about.rested == "grant_2"


def test_a_permission_that_was_taken_back_never_resumes_anything() -> None:
    assert asks(reached(*SENT, ENDED), YES, POLICY) == []


def test_help_that_is_held_is_closed_and_not_rerouted() -> None:
    held = reached(*SERVING, ENDED)
    other = but(ROUTE, receiver="agy_two")
    assert refused(held, other, SOCIAL_WORKER) == "sharing-ended"


def test_each_opening_of_a_packet_is_an_event_of_its_own() -> None:
    once = (*SENT, Asked(c.OpenPacket(opening="one", cover=COVER), INTAKE))
    again = c.OpenPacket(opening="two", cover=COVER)
    assert asks(reached(*once), again, INTAKE) == [
        ReferralPacketOpened(
            **AT_ONE,
            grant=GRANT,
            version=1,
            classes=("contact", "referral"),
            by="usr_intake",
            opening="two",
        )
    ]


def test_no_packet_is_opened_without_a_grant() -> None:
    assert refused(reached(*SENT), c.OpenPacket(opening="one"), INTAKE) == "no-consent"


def test_whoever_takes_it_on_helps_at_school() -> None:
    events = asks(reached(*TRIAGED), TAKE_ON.command, PSYCHOLOGIST)
    assert isinstance(events[0], ReferralRouted)
    assert events[0].consent == ConsentIs.NOT_NEEDED
    assert isinstance(events[1], ReferralAccepted)
    assert (events[1].person, events[1].receiver) == ("usr_psych", "school")


def test_a_guardian_agrees_before_a_school_gives_more_than_everybody_gets() -> None:
    taken = (*TRIAGED, TAKE_ON)
    assert refused(reached(*taken), c.Start(), PSYCHOLOGIST) == "family-not-asked"
    assert asks(reached(*taken, AGREES), c.Start(), PSYCHOLOGIST)
    no = Asked(c.RecordMeeting(met=Met.GUARDIAN, agrees=False), PSYCHOLOGIST)
    assert refused(reached(*taken, AGREES, no), c.Start(), PSYCHOLOGIST) == "family-not-asked"
    child = Asked(c.RecordMeeting(met=Met.STUDENT, agrees=True), PSYCHOLOGIST)
    assert refused(reached(*taken, child), c.Start(), PSYCHOLOGIST) == "family-not-asked"


def test_help_for_everybody_and_help_in_a_crisis_begin_without_a_meeting() -> None:
    first = (*RAISED, Asked(but(TRIAGE, tier=1), PSYCHOLOGIST), TAKE_ON)
    assert asks(reached(*first), c.Start(), PSYCHOLOGIST)
    called = (*TRIAGED, TAKE_ON, COMMANDS["CallCrisis"])
    assert asks(reached(*called), c.Start(), PSYCHOLOGIST)


def test_a_partner_starts_under_the_family_s_grant() -> None:
    assert asks(reached(*ACCEPTED), c.Start(), KLINE) == [
        ServiceStarted(**AT_ONE, helper="usr_kline")
    ]


def test_what_is_recorded_has_happened() -> None:
    late = c.RecordMeeting(met=Met.BOTH, agrees=True, on=date(2025, 9, 16), today=date(2025, 9, 15))
    assert refused(reached(*RAISED), late, PSYCHOLOGIST) == "in-future"
    review = but(COMMANDS["Review"].command, on=date(2025, 9, 16), today=date(2025, 9, 15))
    assert refused(reached(*SERVING), review, KLINE) == "in-future"
    assert asks(reached(*RAISED), but(late, on=date(2025, 9, 15)), PSYCHOLOGIST) == [
        FamilyMet(**ABOUT, met=Met.BOTH, agrees=True, on=date(2025, 9, 15))
    ]


def test_an_alert_crosses_only_as_far_as_the_family_allows() -> None:
    assert refused(reached(*SERVING), but(ALERT, cover=None), SOCIAL_WORKER) == "not-shared"
    assert refused(reached(*SERVING, ENDED), ALERT, SOCIAL_WORKER) == "sharing-ended"


def test_within_the_school_an_alert_crosses_nothing() -> None:
    inside = c.Alert(to=Side.SCHOOL, words=sealed("notes", "words"))
    assert asks(reached(*TRIAGED, TAKE_ON), inside, PSYCHOLOGIST)
    assert refused(reached(*TRIAGED, TAKE_ON), ALERT, PSYCHOLOGIST) == "not-shared"


def test_the_same_alert_is_news_again_once_it_was_read() -> None:
    read = Asked(c.ReadAlert(alert=1), KLINE)
    assert asks(reached(*SERVING), ALERT, SOCIAL_WORKER) == []
    (again,) = asks(reached(*SERVING, read), ALERT, SOCIAL_WORKER)
    assert again.model_dump()["alert"] == 2


def test_an_alert_is_read_by_the_side_it_was_for() -> None:
    assert refused(reached(*SERVING), c.ReadAlert(alert=1), PSYCHOLOGIST) == "unknown-alert"
    assert refused(reached(*SERVING), c.ReadAlert(alert=7), KLINE) == "unknown-alert"


def test_the_outcome_is_read_by_somebody_else_than_the_helper() -> None:
    helper = Actor("usr_kline", Role.SOCIAL_WORKER, "sch_one")
    assert refused(reached(*FINISHED), c.Acknowledge(), helper) == "not-your-own"
    last = history(*FINISHED)[-1]
    assert isinstance(last, ServiceFinished)
    assert last.helper == "usr_kline"


def test_what_the_roster_withdraws_is_silent_where_nothing_is_left() -> None:
    left = c.Withdraw(reason=WithdrawReason.STUDENT_LEFT)
    for state in ("Unraised", "Finished", "Closed", "Withdrawn"):
        assert asks(reached(*PATHS[state]), left, POLICY) == []


def test_what_is_reopened_before_anybody_saw_it_is_seen_first() -> None:
    closed = (*RAISED, COMMANDS["Close"], COMMANDS["Reopen"])
    assert isinstance(reached(*closed), s.Raised)


def test_a_move_takes_the_turn_along() -> None:
    moved = asks(reached(*PATHS["Waitlisted"]), c.NoteMove(school="sch_two"), POLICY)
    assert moved == [
        ReferralMoved(
            **{**AT_ONE, "school": "sch_two"}, left="sch_one", waiting_since=MONDAY, listed=True
        )
    ]
    assert asks(reached(*SENT), c.NoteMove(school="sch_one"), POLICY) == []


def test_a_limit_that_passed_is_noted_once() -> None:
    breach = c.NoteBreach(kind="awaits-triage", entered=1, due=MONDAY + timedelta(days=3))
    state = reached(*RAISED)
    assert asks(state, breach, POLICY, MONDAY + timedelta(days=2)) == []
    events = asks(state, breach, POLICY, MONDAY + timedelta(days=3))
    assert events == [
        ClockBreached(
            **{**ABOUT, "at": MONDAY + timedelta(days=3)},
            kind="awaits-triage",
            entered=1,
            due=MONDAY + timedelta(days=3),
            source="default",
        )
    ]
    noted = referrals.fold(events, state)
    assert asks(noted, breach, POLICY, MONDAY + timedelta(days=4)) == []


def test_a_late_answer_does_not_erase_a_breach() -> None:
    breach = c.NoteBreach(kind="awaits-triage", entered=1, due=MONDAY - timedelta(hours=1))
    late, state = reached(*TRIAGED), reached(*TRIAGED)
    (event,) = asks(late, breach, POLICY)
    assert asks(referrals.fold([event], state), breach, POLICY) == []
    in_time = but(breach, due=MONDAY)
    assert asks(late, in_time, POLICY) == [], "left at the very limit is in time"


def test_a_review_starts_its_clock_anew() -> None:
    state = reached(*SERVING, COMMANDS["Review"])
    assert not isinstance(state, s.Unraised)
    running = [stay for stay in state.referral.stays if stay.left is None]
    assert [(stay.kind, stay.entered) for stay in running] == [
        ("in-service", state.referral.version)
    ]


def test_a_crisis_is_attended_and_settled_whatever_the_situation() -> None:
    called = (*PATHS["Closed"], COMMANDS["CallCrisis"])
    settle = COMMANDS["SettleCrisis"]
    assert refused(reached(*called), settle.command, PSYCHOLOGIST) == "crisis-unattended"
    attended = (*called, COMMANDS["AttendCrisis"])
    assert isinstance(history(*attended)[-1], CrisisAttended)
    settled = (*attended, settle)
    assert isinstance(history(*settled)[-1], CrisisSettled)
    assert isinstance(reached(*settled), s.Closed)
    assert refused(reached(*settled), c.AttendCrisis(), PSYCHOLOGIST) == "no-crisis"


def test_a_crisis_that_was_attended_may_be_called_again() -> None:
    attended = (*RAISED, COMMANDS["CallCrisis"], COMMANDS["AttendCrisis"])
    assert asks(reached(*attended), COMMANDS["CallCrisis"].command, TEACHER)


def test_a_crisis_breach_is_that_of_the_first_call() -> None:
    twice = (*RAISED, COMMANDS["CallCrisis"], Asked(c.CallCrisis(signal=Signal.SEEN), TEACHER))
    breach = c.NoteBreach(kind="crisis", entered=2, due=MONDAY + timedelta(minutes=15))
    assert asks(reached(*twice), breach, POLICY, MONDAY + timedelta(minutes=15))


def test_a_reason_for_no_is_a_code_of_ours() -> None:
    declined = asks(reached(*SENT), c.Decline(reason=DeclineReason.AT_CAPACITY), INTAKE)[0]
    assert declined.model_dump()["reason"] == "at-capacity"
