"""Every situation answers every command: with events, with silence, or with a sentence."""

import pytest

from libs.common.errors import Refused
from services.referrals.decider import referrals
from services.referrals.decider import states as s
from tests.referrals.histories import COMMANDS, PATHS, reached

ALL = frozenset(PATHS)
OPEN = ALL - {"Unraised", "Closed", "Withdrawn"}
ASKED = {"Sent", "Waitlisted", "Accepted"}
SERVING = {"InService", "SteppingDown"}
POLICIES = {"NoteConsent", "NoteNo", "NoteConsentEnded", "NoteMove", "NoteBreach"}
SILENT = ""


def same(states: set[str] | frozenset[str]) -> dict[str, str]:
    return {state: state for state in states}


def to(place: str, *states: str) -> dict[str, str]:
    return dict.fromkeys(states, place)


LEADS: dict[str, dict[str, str]] = {
    "Raise": {"Unraised": "Raised", **to(SILENT, *(ALL - {"Unraised"}))},
    "AddConcern": same(OPEN),
    "RecordMeeting": same(OPEN),
    "Triage": to("Triaged", "Raised", "Triaged"),
    "ChangeTier": same(OPEN - {"Raised", "Finished"}),
    "TakeOn": to("Accepted", "Triaged", "Declined"),
    "Route": to(
        "AwaitingConsent", "Triaged", "AwaitingConsent", "Ready", "Declined", "Held", *ASKED
    ),
    "NoteConsent": {"AwaitingConsent": "Ready", "Held": "Sent"},
    "NoteNo": {"AwaitingConsent": "Triaged"},
    "NoteConsentEnded": to("Held", "Ready", *ASKED, *SERVING),
    "Send": {"Ready": "Sent"},
    "OpenPacket": same(ASKED | SERVING),
    "Accept": {**to("Accepted", "Sent", "Waitlisted"), **to(SILENT, *SERVING)},
    "Waitlist": to("Waitlisted", "Sent", "Waitlisted"),
    "Decline": to("Declined", *ASKED),
    "Start": {"Accepted": "InService", "SteppingDown": SILENT},
    "Review": same(SERVING),
    "StepDown": to("SteppingDown", *SERVING),
    "StepUp": {"SteppingDown": "InService"},
    "Alert": same(SERVING | {"Accepted"}),
    "ReadAlert": same(SERVING | {"Finished"}),
    "Finish": to("Finished", *SERVING),
    "Acknowledge": {"Finished": "Closed"},
    "Close": to("Closed", *(OPEN - ASKED - SERVING)),
    "Withdraw": to("Withdrawn", *(OPEN - {"Finished"})),
    "Reopen": {**to("Triaged", "Closed", "Withdrawn"), **to(SILENT, *OPEN)},
    "NoteMove": same(OPEN),
    "NoteBreach": {},
    "CallCrisis": same(ALL - {"Unraised"}),
    "AttendCrisis": {},
    "SettleCrisis": {},
}
"""Where each command leads from where; what is not named is refused, or silence for policies."""

OWN: dict[tuple[str, str], str] = {
    ("ReadAlert", "Accepted"): "unknown-alert",
    **{
        (name, state): "no-crisis"
        for name in ("AttendCrisis", "SettleCrisis")
        for state in ALL - {"Unraised"}
    },
    **{
        (name, state): "moved-on"
        for name in (
            "Accept",
            "Waitlist",
            "Decline",
            "Start",
            "Review",
            "StepDown",
            "StepUp",
            "Finish",
            "OpenPacket",
        )
        for state in ("Raised", "Triaged", "Closed", "Withdrawn")
    },
}
"""Refusals that are a command's own: `moved-on`, where this agency is no receiver (any more)."""


@pytest.mark.parametrize("state", PATHS)
@pytest.mark.parametrize("name", COMMANDS)
def test_every_situation_answers_every_command(name: str, state: str) -> None:
    before = reached(*PATHS[state])
    assert type(before).__name__ == state
    command = COMMANDS[name].stamped()
    lead = LEADS[name].get(state)
    if lead is None and name not in POLICIES:
        with pytest.raises(Refused) as refusal:
            referrals.decide(before, command)
        assert refusal.value.code == OWN.get((name, state), before.code)
        assert refusal.value.sentence.endswith(".")
        return
    events = referrals.decide(before, command)
    after = referrals.fold(events, before)
    assert type(after).__name__ == (lead or state)
    assert bool(events) == bool(lead)
    assert list(referrals.decide(after, command)) == [], "asking twice is answered with silence"
    assert events == referrals.decide(before, command), "deciding is not luck"


def test_every_situation_and_every_command_is_in_the_table() -> None:
    situations = {kind.__name__ for kind in (s.Unraised, *s.Known.__args__)}
    assert situations == ALL
    assert set(COMMANDS) == set(LEADS)
