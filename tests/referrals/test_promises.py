"""What is promised before help begins: refusals of a command's own, and what events carry."""

import pytest

from libs.common.testing import sealed
from services.referrals.decider import commands as c
from services.referrals.decider import referrals
from services.referrals.decider import states as s
from services.referrals.events import (
    ConcernRaised,
    ConsentIs,
    CrisisCalled,
    Origin,
    Override,
    ReferralAccepted,
    ReferralHeld,
    ReferralPacketOpened,
    ReferralRecalled,
    ReferralRouted,
    ReferralSent,
    Signal,
    Urgency,
)
from tests.referrals.histories import (
    ABOUT,
    AT_ONE,
    AWAITING,
    COMMANDS,
    COVER,
    ENDED,
    EVIDENCE,
    GRANT,
    INTAKE,
    KLINE,
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
    TAKE_ON,
    TEACHER,
    TRIAGE,
    TRIAGED,
    YEAR_END,
    YES,
    Asked,
    asks,
    but,
    reached,
    refused,
)


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
