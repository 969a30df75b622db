"""Whenever a referral needs a family's word it is asked for; whenever it ends, that ends too."""

from collections.abc import Iterable
from datetime import date
from typing import Any

import pytest

from libs.common.directory import Calendar, Directory
from libs.common.messages import Command, Event
from libs.common.testing import NOON, folded, recorded, streamed
from services.consent.decider.commands import (
    Expire,
    Lapse,
    Remind,
    RequestConsent,
    WithdrawRequest,
)
from services.consent.events import FamilyReminded, UntilEvent
from services.consent.policy import (
    BACK_CLASSES,
    BACK_PURPOSES,
    OUT_CLASSES,
    OUT_PURPOSES,
    TEXT_VERSION,
    due,
    policies,
)
from services.consent.views.clocks import clocks
from services.referrals.events import (
    ConsentIs,
    OutcomeAcknowledged,
    ReferralClosed,
    ReferralRecalled,
    ReferralRouted,
    ReferralWithdrawn,
    Resolution,
    Urgency,
    WithdrawReason,
)
from tests.consent import family as f

ZONE = "America/New_York"
CALENDAR = Calendar(first=date(2025, 9, 4), last=date(2026, 6, 18), timezone=ZONE)
DIRECTORY = Directory(schools=(), agencies=(), calendar=CALENDAR)
YEAR_END = date(2026, 6, 18)
about: dict[str, Any] = {
    "at": NOON,
    "referral": "ref_1",
    "need": "need_1",
    "student": "stu_1",
    "school": "sch_one",
    "sender": "school",
    "urgency": Urgency.SOON,
    "attempt": 2,
    "receiver": "agy_one",
}
facts: dict[str, Any] = {"student": "stu_1", "zone": ZONE}


def routed(consent: ConsentIs, holder: str = "district") -> ReferralRouted:
    return ReferralRouted(**about, consent=consent, until=YEAR_END, holder=holder)


def asked(event: Event) -> dict[str, list[tuple[str, Command]]]:
    """What each policy asks when it hears this."""
    entry = recorded(event, "referral/ref_1", log="referrals")
    found = {policy.name: list(policy.asks(entry, None)) for policy in policies(DIRECTORY)}
    return {name: asks for name, asks in found.items() if asks}


def request(way: str, holder: str, recipient: str) -> tuple[str, Command]:
    terms = f.terms(
        *(OUT_CLASSES if way == "out" else BACK_CLASSES),
        purposes=OUT_PURPOSES if way == "out" else BACK_PURPOSES,
        holder=holder,
        recipient=recipient,
        until=YEAR_END,
        until_event=UntilEvent.REFERRAL_CLOSED,
    )
    command = RequestConsent(
        grant=f"ref_1.2.{way}",
        referral="ref_1",
        terms=terms,
        text_version=TEXT_VERSION,
        **facts,
    )
    return "student/stu_1", command


def test_a_family_is_asked_both_ways_when_a_referral_waits_for_its_word() -> None:
    assert asked(routed(ConsentIs.AWAITED)) == {
        "ask-out": [request("out", "district", "agy_one")],
        "ask-back": [request("back", "agy_one", "district")],
    }


def test_an_agency_that_refers_onward_hears_back_itself() -> None:
    assert asked(routed(ConsentIs.AWAITED, "agy_two")) == {
        "ask-out": [request("out", "agy_two", "agy_one")],
        "ask-back": [request("back", "agy_one", "agy_two")],
    }


@pytest.mark.parametrize("consent", [ConsentIs.IN_PLACE, ConsentIs.NOT_NEEDED])
def test_nobody_is_asked_for_what_is_not_needed(consent: ConsentIs) -> None:
    assert asked(routed(consent)) == {}


OVER = [
    OutcomeAcknowledged(**about),
    ReferralClosed(**about, resolution=Resolution.ADVICE_ENOUGH),
    ReferralWithdrawn(**about, reason=WithdrawReason.FAMILY_ASKS),
]


@pytest.mark.parametrize("event", OVER, ids=lambda event: type(event).__name__)
def test_what_was_asked_and_given_ends_with_the_referral(event: Event) -> None:
    assert asked(event) == {
        "drop-request": [("student/stu_1", WithdrawRequest(referral="ref_1", **facts))],
        "end-grant": [("student/stu_1", Expire(referral="ref_1", **facts))],
    }


def test_only_the_recalled_attempt_ends() -> None:
    assert asked(ReferralRecalled(**about)) == {
        "drop-recalled": [("student/stu_1", WithdrawRequest(referral="ref_1", attempt=2, **facts))],
        "end-recalled": [("student/stu_1", Expire(referral="ref_1", attempt=2, **facts))],
    }


def test_a_policy_asks_a_stream_once_for_one_commit() -> None:
    commit = (ReferralRecalled(**about), routed(ConsentIs.AWAITED))
    for policy in policies(DIRECTORY):
        entries = (recorded(event, "referral/ref_1", log="referrals") for event in commit)
        streams = [stream for entry in entries for stream, _ in policy.asks(entry, None)]
        assert len(streams) == len(set(streams)), policy.name


def rung(*events: Event) -> Command:
    history: Iterable[Any] = streamed(events, "student/stu_1", "consent")
    row = folded(clocks(DIRECTORY), history)["stu_1:g1"]
    return due(DIRECTORY)(row)


def test_each_clock_asks_for_what_is_due() -> None:
    remind = Remind(grant="g1", kind="remind-3", due=CALENDAR.due(NOON, 3), **facts)
    assert rung(*f.asked_history) == remind
    dispute = Remind(grant="g1", kind="disputed-2", due=CALENDAR.due(NOON, 2), **facts)
    assert rung(*f.disputed_history) == dispute
    reminders = (
        FamilyReminded(student="stu_1", grant="g1", kind=kind, on=f.TODAY)
        for kind in ("remind-3", "remind-6")
    )
    lapse = Lapse(grant="g1", due=CALENDAR.due(NOON, 20), **facts)
    assert rung(*f.asked_history, *reminders) == lapse
    assert rung(*f.open_history) == Expire(grant="g1", **facts)
