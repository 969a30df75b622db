"""Referrals in every situation, made by the rules themselves, and one example of each command."""

from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

import pytest

from libs.common.errors import Refused
from libs.common.messages import Actor, Command, Role, Stamp
from libs.common.testing import sealed
from services.referrals.decider import commands as c
from services.referrals.decider import referrals
from services.referrals.decider.states import Situation
from services.referrals.events import (
    DeclineReason,
    Met,
    ReferralEvent,
    Resolution,
    Side,
    Signal,
    Urgency,
    WithdrawReason,
)

MONDAY = datetime(2025, 9, 15, 16, 0, tzinfo=UTC)
TEACHER = Actor("usr_teacher", Role.TEACHER, "sch_one")
PSYCHOLOGIST = Actor("usr_psych", Role.PSYCHOLOGIST, "sch_one")
SOCIAL_WORKER = Actor("usr_social", Role.SOCIAL_WORKER, "sch_one")
MOTHER = Actor("usr_mother", Role.GUARDIAN, "")
INTAKE = Actor("usr_intake", Role.INTAKE, "agy_one")
KLINE = Actor("usr_kline", Role.CLINICIAN, "agy_one")
OTHER_INTAKE = Actor("usr_other", Role.INTAKE, "agy_two")
POLICY = Actor("policy:any", Role.SYSTEM, "district")

GRANT = "ref_1.1.out"
COVER = c.Cover(grant=GRANT, version=1, classes=("contact", "referral"))
YEAR_END = date(2026, 6, 18)


RAISE = c.Raise(
    student="stu_1",
    urgency=Urgency.SOON,
    domains=sealed("record", "domains"),
    setting=sealed("record", "setting"),
    words=sealed("record", "words", "saw"),
    referral="ref_1",
    new_need="need_1",
    school="sch_one",
    standing="enrolled",
    duplicates=(),
)
MEET = c.RecordMeeting(met=Met.GUARDIAN, agrees=True, context=sealed("record", "context"))
TRIAGE = c.Triage(tier=3, services=("counseling",), evidence=sealed("record", "evidence"))
ROUTE = c.Route(
    receiver="agy_one",
    service="counseling",
    agreed=True,
    standing="enrolled",
    duplicates=(),
    year_end=YEAR_END,
)
YES = c.NoteConsent(grant=GRANT, version=1, recipient="agy_one")
SEND = c.Send(warm=True, agreed=True, standing="enrolled", cover=COVER)
CHANGES = sealed("outcome", "settings", "better")
FINISH = c.Finish(served=True, outcome=sealed("outcome", "outcome", "better"))


class Asked(NamedTuple):
    command: c.ReferralCommand
    by: Actor

    def stamped(self, at: datetime = MONDAY) -> c.ReferralCommand:
        return self.command.stamped(Stamp(at, self.by))


COMMANDS: dict[str, Asked] = {
    "Raise": Asked(RAISE, TEACHER),
    "AddConcern": Asked(
        c.AddConcern(setting=sealed("record", "setting"), words=sealed("record", "words", "more")),
        MOTHER,
    ),
    "RecordMeeting": Asked(MEET.model_copy(update={"agrees": False}), PSYCHOLOGIST),
    "Triage": Asked(
        c.Triage(tier=2, services=("group",), evidence=sealed("record", "evidence", "new")),
        PSYCHOLOGIST,
    ),
    "ChangeTier": Asked(
        c.ChangeTier(tier=2, evidence=sealed("record", "evidence", "better")), PSYCHOLOGIST
    ),
    "TakeOn": Asked(c.TakeOn(service="individual", year_end=YEAR_END), PSYCHOLOGIST),
    "Route": Asked(ROUTE.model_copy(update={"receiver": "agy_two"}), SOCIAL_WORKER),
    "NoteConsent": Asked(c.NoteConsent(grant="grant_new", version=1, recipient="agy_one"), POLICY),
    "NoteNo": Asked(c.NoteNo(grant=GRANT, cause="declined"), POLICY),
    "NoteConsentEnded": Asked(c.NoteConsentEnded(grant=GRANT, cause="revoked"), POLICY),
    "Send": Asked(
        SEND.model_copy(update={"letter": sealed("record", "letter", "dear")}), SOCIAL_WORKER
    ),
    "OpenPacket": Asked(c.OpenPacket(opening="one", cover=COVER), INTAKE),
    "Accept": Asked(c.Accept(person="usr_else"), INTAKE),
    "Waitlist": Asked(c.Waitlist(expected_on=date(2025, 12, 1)), INTAKE),
    "Decline": Asked(
        c.Decline(reason=DeclineReason.NO_FUNDS, words=sealed("record", "words", "none")), INTAKE
    ),
    "Start": Asked(c.Start(helper="usr_else"), KLINE),
    "Review": Asked(c.Review(settings=CHANGES), KLINE),
    "StepDown": Asked(
        c.StepDown(level=sealed("record", "level", "half"), review_on=date(2025, 12, 1)), KLINE
    ),
    "StepUp": Asked(c.StepUp(), KLINE),
    "Alert": Asked(
        c.Alert(to=Side.SCHOOL, words=sealed("notes", "words", "a bad night"), cover=COVER), KLINE
    ),
    "ReadAlert": Asked(c.ReadAlert(alert=1), KLINE),
    "Finish": Asked(c.Finish(served=False, outcome=sealed("outcome", "outcome", "same")), KLINE),
    "Acknowledge": Asked(c.Acknowledge(), TEACHER),
    "Close": Asked(c.Close(resolution=Resolution.ADVICE_ENOUGH), SOCIAL_WORKER),
    "Withdraw": Asked(c.Withdraw(reason=WithdrawReason.HELPED_ELSEWHERE), MOTHER),
    "Reopen": Asked(c.Reopen(note=sealed("record", "note", "again")), SOCIAL_WORKER),
    "NoteMove": Asked(c.NoteMove(school="sch_two"), POLICY),
    "NoteBreach": Asked(
        c.NoteBreach(kind="none", entered=99, due=MONDAY - timedelta(days=1)), POLICY
    ),
    "CallCrisis": Asked(c.CallCrisis(signal=Signal.SAID), TEACHER),
    "AttendCrisis": Asked(c.AttendCrisis(), PSYCHOLOGIST),
    "SettleCrisis": Asked(c.SettleCrisis(steps=sealed("notes", "steps")), PSYCHOLOGIST),
}

ALERT = c.Alert(to=Side.AGENCY, words=sealed("notes", "words", "a bad day"), cover=COVER)
RAISED = (Asked(RAISE, TEACHER),)
TRIAGED = (*RAISED, Asked(TRIAGE, PSYCHOLOGIST))
AWAITING = (*TRIAGED, Asked(ROUTE, SOCIAL_WORKER))
READY = (*AWAITING, Asked(YES, POLICY))
SENT = (*READY, Asked(SEND, SOCIAL_WORKER))
WAITLISTED = (*SENT, Asked(c.Waitlist(), INTAKE))
ACCEPTED = (*SENT, Asked(c.Accept(), INTAKE))
SERVING = (*ACCEPTED, Asked(c.Start(), KLINE), Asked(ALERT, SOCIAL_WORKER))
REDUCING = (*SERVING, Asked(c.StepDown(level=sealed("record", "level", "less")), KLINE))
DECLINED = (*SENT, Asked(c.Decline(reason=DeclineReason.AT_CAPACITY), INTAKE))
ENDED = Asked(c.NoteConsentEnded(grant=GRANT, cause="revoked"), POLICY)
FINISHED = (*SERVING, Asked(FINISH, KLINE))

PATHS: dict[str, tuple[Asked, ...]] = {
    "Unraised": (),
    "Raised": RAISED,
    "Triaged": TRIAGED,
    "AwaitingConsent": AWAITING,
    "Ready": READY,
    "Sent": SENT,
    "Waitlisted": WAITLISTED,
    "Accepted": ACCEPTED,
    "InService": SERVING,
    "SteppingDown": REDUCING,
    "Declined": DECLINED,
    "Held": (*SENT, ENDED),
    "Finished": FINISHED,
    "Closed": (*TRIAGED, Asked(c.Close(resolution=Resolution.CLASSROOM_SUPPORT), SOCIAL_WORKER)),
    "Withdrawn": (*TRIAGED, Asked(c.Withdraw(reason=WithdrawReason.FAMILY_ASKS), MOTHER)),
}
"""Each situation, and a way that leads there."""


def history(*path: Asked, at: datetime = MONDAY) -> tuple[ReferralEvent, ...]:
    """What has happened when these were asked one after the other."""
    state: Situation = referrals.initial
    found: list[ReferralEvent] = []
    for asked in path:
        events = referrals.decide(state, asked.stamped(at))
        state = referrals.fold(events, state)
        found += events
    return tuple(found)


def reached(*path: Asked, at: datetime = MONDAY) -> Situation:
    return referrals.fold(history(*path, at=at))


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
