"""Whenever a referral needs a family's word, ask for it; whenever it ends, let that end too."""

from collections.abc import Callable, Iterable
from typing import Any

from libs.common.directory import Directory
from libs.common.messages import Command, Recorded, View
from libs.common.shapes import Policy
from libs.common.timers import ClockRow
from services.consent.decider.commands import (
    Expire,
    Lapse,
    Remind,
    RequestConsent,
    WithdrawRequest,
)
from services.consent.events import Purpose, RecordClass, Terms, UntilEvent
from services.consent.views.clocks import EXPIRE, LAPSE, Row
from services.referrals.events import (
    ConsentIs,
    OutcomeAcknowledged,
    ReferralClosed,
    ReferralRecalled,
    ReferralRouted,
    ReferralWithdrawn,
)

TEXT_VERSION = "referral-2025-1"
"""The plain-language text that families are shown with these terms."""
OUT_CLASSES = frozenset(
    {
        RecordClass.CONTACT,
        RecordClass.REFERRAL,
        RecordClass.ATTENDANCE,
        RecordClass.BEHAVIOR,
        RecordClass.GRADES,
        RecordClass.COUNSELING_SUMMARY,
    }
)
OUT_PURPOSES = frozenset({Purpose.REFERRAL, Purpose.COORDINATION})
BACK_CLASSES = frozenset(
    {
        RecordClass.PARTICIPATION,
        RecordClass.PROGRESS_SUMMARY,
        RecordClass.SAFETY_PLAN,
        RecordClass.ALERT,
        RecordClass.OUTCOME,
    }
)
BACK_PURPOSES = frozenset({Purpose.COORDINATION, Purpose.EVALUATION})

Over = ReferralWithdrawn | ReferralClosed | OutcomeAcknowledged
React = Callable[[Recorded[Any], View | None], Iterable[tuple[str, Command]]]


def policies(directory: Directory) -> tuple[Policy[View], ...]:
    """Each asks a student's stream at most once for one commit."""
    return (
        _policy("ask-out", ReferralRouted, _asking(directory, "out")),
        _policy("ask-back", ReferralRouted, _asking(directory, "back")),
        _policy("drop-request", Over, _over_with(directory, WithdrawRequest)),
        _policy("end-grant", Over, _over_with(directory, Expire)),
        _policy("drop-recalled", ReferralRecalled, _recalled(directory, WithdrawRequest)),
        _policy("end-recalled", ReferralRecalled, _recalled(directory, Expire)),
    )


def _policy(name: str, hears: Any, react: React) -> Policy[View]:
    return Policy(name=name, logs=("referrals",), react=react, hears=hears)


def _asking(directory: Directory, way: str) -> React:
    def react(entry: Recorded[Any], _: View | None) -> Iterable[tuple[str, Command]]:
        event: ReferralRouted = entry.event
        if event.consent is ConsentIs.AWAITED:
            command = RequestConsent(
                student=event.student,
                zone=directory.calendar.timezone,
                grant=f"{event.referral}.{event.attempt}.{way}",
                referral=event.referral,
                terms=_terms(directory, entry, event, way),
                text_version=TEXT_VERSION,
            )
            yield f"student/{event.student}", command

    return react


def _terms(directory: Directory, entry: Recorded[Any], event: ReferralRouted, way: str) -> Terms:
    """Out: what the receiver needs to help. Back: what the sender needs to know. They end with the
    referral, at the latest on the day it was routed until."""
    receiver = event.receiver or directory.district
    out = way == "out"
    today = directory.calendar.local(entry.at)
    return Terms(
        holder=event.holder if out else receiver,
        recipient=receiver if out else event.holder,
        classes=OUT_CLASSES if out else BACK_CLASSES,
        purposes=OUT_PURPOSES if out else BACK_PURPOSES,
        starts=today,
        until=max(today, event.until),
        until_event=UntilEvent.REFERRAL_CLOSED,
    )


def _over_with(directory: Directory, ask: type[WithdrawRequest] | type[Expire]) -> React:
    def react(entry: Recorded[Any], _: View | None) -> Iterable[tuple[str, Command]]:
        event: Over = entry.event
        zone = directory.calendar.timezone
        command = ask(student=event.student, zone=zone, referral=event.referral)
        yield f"student/{event.student}", command

    return react


def _recalled(directory: Directory, ask: type[WithdrawRequest] | type[Expire]) -> React:
    """Another receiver may be asked in the same commit, so only this attempt is over."""

    def react(entry: Recorded[Any], _: View | None) -> Iterable[tuple[str, Command]]:
        event: ReferralRecalled = entry.event
        command = ask(
            student=event.student,
            zone=directory.calendar.timezone,
            referral=event.referral,
            attempt=event.attempt,
        )
        yield f"student/{event.student}", command

    return react


def due(directory: Directory) -> Callable[[ClockRow], Command]:
    """What is asked when a clock has run out."""
    zone = directory.calendar.timezone

    def asked(row: ClockRow) -> Command:
        assert isinstance(row, Row), "the clocks of this service are rows of its own view"
        if row.kind == EXPIRE:
            return Expire(student=row.student, zone=zone, grant=row.grant)
        if row.kind == LAPSE:
            return Lapse(student=row.student, zone=zone, grant=row.grant, due=row.due)
        return Remind(student=row.student, zone=zone, grant=row.grant, kind=row.kind, due=row.due)

    return asked
