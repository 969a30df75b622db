"""Whenever a family or the roster says something, ask the referrals that it touches.

Each policy hears two logs and reacts to news of either: whichever is heard later finds the earlier.
"""

from collections.abc import Iterable
from typing import Any

from libs.common.messages import Command, Recorded
from libs.common.shapes import Policy
from libs.common.timers import ClockRow
from services.referrals.decider.commands import (
    NoteBreach,
    NoteConsent,
    NoteConsentEnded,
    NoteMove,
    NoteNo,
    Withdraw,
)
from services.referrals.events import (
    ConcernRaised,
    ReferralReopened,
    WithdrawReason,
)
from services.referrals.views.clocks import Row
from services.referrals.views.sharing import Begins, Family, Resting, resting
from services.referrals.views.students import Enrolling, Enrolment, enrolments

NARROWED = "narrowed"


def follow_consent(entry: Recorded[Any], grant: Resting | None) -> Iterable[tuple[str, Command]]:
    """A referral waits for one grant or rests on one grant, never more: each is asked once. Where
    the answer has been given already, asking again is silence."""
    event = entry.event
    if grant is None:
        return
    if grant.covers:
        named = {grant.referral} if isinstance(event, Family) else set()
        waiting = {ref for ref in (*grant.awaiting, *named) if ref is not None}
        for referral in sorted(waiting - {*grant.resting}):
            yield _stream(referral), _yes(grant)
        return
    if grant.version > 0:
        ended = NoteConsentEnded(grant=grant.grant, cause=grant.ended or NARROWED)
        yield from ((_stream(referral), ended) for referral in grant.resting)
    if grant.refused is not None:
        refused = NoteNo(grant=grant.grant, cause=grant.refused)
        yield from ((_stream(referral), refused) for referral in grant.awaiting)


def follow_roster(_: Recorded[Any], known: Enrolment | None) -> Iterable[tuple[str, Command]]:
    """Referrals move with the student, and end when the student is gone."""
    if known is None:
        return
    for referral, school in known.referrals.items():
        if known.gone is not None:
            yield _stream(referral), Withdraw(reason=WithdrawReason(known.gone))
        elif school in known.schools and school != known.schools[-1]:
            yield _stream(referral), NoteMove(school=known.schools[-1])


def due(row: ClockRow) -> Command:
    """What is asked when a limit has passed."""
    source = row.source if isinstance(row, Row) else "default"
    return NoteBreach(kind=row.kind, entered=row.entered, due=row.due, source=source)


def _stream(referral: str) -> str:
    return f"referral/{referral}"


def _yes(grant: Resting) -> NoteConsent:
    return NoteConsent(grant=grant.grant, version=grant.version, recipient=grant.recipient)


hold = Policy[Resting](
    name="hold",
    logs=("consent", "referrals"),
    react=follow_consent,
    memory=resting,
    hears=Family | Begins,
    from_start=True,
)
"""Never starts at the heads: a revocation that nobody was there to hear must still hold."""

follow = Policy[Enrolment](
    name="follow",
    logs=("consent", "referrals"),
    react=follow_roster,
    memory=enrolments,
    hears=Enrolling | ConcernRaised | ReferralReopened,
    from_start=True,
)

policies = (hold, follow)
