"""What is promised while help is given and when it ends: refusals, alerts, limits, crises."""

from datetime import date, timedelta

from libs.common.messages import Actor, Role
from libs.common.testing import sealed
from services.referrals.decider import commands as c
from services.referrals.decider import referrals
from services.referrals.decider import states as s
from services.referrals.events import (
    ClockBreached,
    CrisisAttended,
    CrisisSettled,
    DeclineReason,
    FamilyMet,
    Met,
    Origin,
    ReferralMoved,
    ServiceFinished,
    ServiceStarted,
    Side,
    Signal,
    WithdrawReason,
)
from tests.referrals.histories import (
    ABOUT,
    ACCEPTED,
    AGREES,
    ALERT,
    AT_ONE,
    COMMANDS,
    ENDED,
    FINISH,
    FINISHED,
    INTAKE,
    KLINE,
    MONDAY,
    OTHER_INTAKE,
    PATHS,
    POLICY,
    PSYCHOLOGIST,
    RAISE,
    RAISED,
    ROUTE,
    SEND,
    SENT,
    SERVING,
    SOCIAL_WORKER,
    TAKE_ON,
    TEACHER,
    TRIAGE,
    TRIAGED,
    YES,
    Asked,
    asks,
    but,
    history,
    reached,
    refused,
)


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


def test_the_side_that_sent_reads_the_outcome_also_of_an_onward_referral() -> None:
    other = Actor("usr_lang", Role.CLINICIAN, "agy_two")
    onward = (
        Asked(but(RAISE, origin=Origin.ONWARD, parent="ref_0"), KLINE),
        Asked(TRIAGE, KLINE),
        Asked(but(ROUTE, receiver="agy_two"), KLINE),
        Asked(but(YES, recipient="agy_two"), POLICY),
        Asked(SEND, KLINE),
        Asked(c.Accept(), OTHER_INTAKE),
        Asked(c.Start(), other),
        Asked(FINISH, other),
    )
    finished = reached(*onward)
    for stranger in (TEACHER, PSYCHOLOGIST, other, OTHER_INTAKE):
        assert refused(finished, c.Acknowledge(), stranger) == "not-the-sender"
    assert refused(reached(*FINISHED), c.Acknowledge(), KLINE) == "not-the-sender"
    assert asks(finished, c.Acknowledge(), KLINE)
    closed = reached(*onward, Asked(c.Acknowledge(), KLINE))
    assert closed.code == "closed"
    assert asks(closed, c.Acknowledge(), KLINE) == []


def test_what_the_roster_withdraws_is_silent_where_nothing_is_left() -> None:
    left = c.Withdraw(reason=WithdrawReason.STUDENT_LEFT)
    for state in ("Unraised", "Finished", "Closed", "Withdrawn"):
        assert asks(reached(*PATHS[state]), left, POLICY) == []


def test_that_a_student_is_gone_is_for_the_roster_to_say() -> None:
    left = c.Withdraw(reason=WithdrawReason.STUDENT_LEFT)
    assert refused(reached(*RAISED), left, SOCIAL_WORKER) == "roster-says-so"
    assert asks(reached(*RAISED), left, POLICY)


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
