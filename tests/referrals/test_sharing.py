"""What the family allows and where the student is, whichever log is heard first."""

from datetime import date
from typing import Any

import pytest

from libs.common.messages import Event
from libs.common.testing import folded
from services.consent import events as consent
from services.consent.events import Purpose, RecordClass
from services.referrals.decider import commands as c
from services.referrals.views.sharing import covered, covering, resting
from services.referrals.views.students import enrolments
from tests.referrals.histories import (
    AWAITING,
    COMMANDS,
    ENDED,
    FINISHED,
    GRANT,
    PATHS,
    READY,
    ROUTE,
    SENT,
    SOCIAL_WORKER,
    TRIAGED,
    Asked,
)
from tests.referrals.logs import (
    GRANTED,
    NAMES,
    TERMS,
    heard,
    interleavings,
    one,
    revoked,
    told,
)


def test_the_grant_that_lasts_longest_covers_then_the_smallest_id() -> None:
    longer = TERMS.model_copy(update={"until": date(2026, 8, 1)})
    grants = [
        consent.ConsentGranted(**{**GRANTED, "grant": name, "terms": terms})
        for name, terms in (("b", TERMS), ("z", longer), ("a", longer))
    ]
    view = one(covering, heard(*grants))

    def by(day: date, needed: RecordClass = RecordClass.REFERRAL, holder: str = "district") -> Any:
        found = covered(view, needed, Purpose.REFERRAL, day, holder)
        return found and found.grant

    assert by(date(2025, 10, 1)) == "a"
    assert by(date(2026, 8, 1)) == "a", "the last day belongs to it"
    assert by(date(2026, 8, 2)) is None
    assert by(date(2025, 9, 14)) is None
    assert by(date(2025, 10, 1), RecordClass.IEP) is None
    assert by(date(2025, 10, 1), holder="agy_two") is None
    assert covered(None, RecordClass.REFERRAL, Purpose.REFERRAL, date.min, "district") is None


def test_what_was_taken_back_covers_nothing() -> None:
    view = one(covering, heard(consent.ConsentGranted(**GRANTED), revoked()))
    assert view.grants == {}


FAMILY_SAYS = [
    (consent.ConsentGranted(**GRANTED), revoked()),
    (
        consent.ConsentGranted(**GRANTED),
        consent.ConsentNarrowed(
            **{
                **GRANTED,
                "version": 2,
                "terms": TERMS.model_copy(update={"classes": frozenset({RecordClass.CONTACT})}),
            }
        ),
    ),
    (
        consent.ConsentDeclined(
            student="stu_1", grant=GRANT, referral="ref_1", recipient="agy_one", holder="district"
        ),
        consent.ConsentGranted(**GRANTED),
    ),
]
RESTS = [AWAITING, READY, SENT, FINISHED, (*SENT, ENDED), PATHS["Withdrawn"]]


@pytest.mark.parametrize("family", FAMILY_SAYS)
@pytest.mark.parametrize("path", RESTS)
def test_what_rests_on_a_grant_does_not_depend_on_which_log_is_heard_first(
    family: tuple[Event, ...], path: tuple[Asked, ...]
) -> None:
    outcomes = [folded(resting, log) for log in interleavings(heard(*family), told(*path))]
    assert all(outcome == outcomes[0] for outcome in outcomes)


def test_a_referral_rests_on_one_grant_at_a_time() -> None:
    cover = c.Cover(grant="other", version=3)
    elsewhere = ROUTE.model_copy(update={"receiver": "agy_two", "cover": cover})
    for path in (READY, SENT, AWAITING):
        documents = folded(resting, told(*path, Asked(elsewhere, SOCIAL_WORKER)))
        holding = [key for key, doc in documents.items() if doc.resting or doc.awaiting]
        assert holding == ["other"]


def test_where_a_student_is_does_not_depend_on_which_log_is_heard_first() -> None:
    roster = heard(
        consent.StudentEnrolled(student="stu_1", school="sch_one", names=NAMES, roster_id=NAMES),
        consent.StudentMoved(student="stu_1", school="sch_two"),
        consent.StudentLeft(student="stu_1", school="sch_two", reason="moved-away"),
    )
    logs = interleavings(roster, told(*TRIAGED, COMMANDS["NoteMove"]))
    outcomes = [folded(enrolments, log) for log in logs]
    assert all(outcome == outcomes[0] for outcome in outcomes)
    assert outcomes[0]["stu_1"].gone == "student-left"
