"""How a referral ends and begins anew, moves with the student, and when a limit passes."""

from libs.common.errors import Refused
from libs.common.messages import Role
from services.referrals.decider.commands import (
    Acknowledge,
    Close,
    EndingCommand,
    NoteBreach,
    NoteMove,
    Reopen,
    Withdraw,
)
from services.referrals.decider.states import (
    Accepted,
    AwaitingConsent,
    Closed,
    Declined,
    Finished,
    Held,
    InService,
    Known,
    Raised,
    Ready,
    Referral,
    Sent,
    Situation,
    SteppingDown,
    Triaged,
    Unraised,
    Waitlisted,
    Withdrawn,
    no,
    said,
    side,
    told,
)
from services.referrals.events import (
    SCHOOL,
    ClockBreached,
    OutcomeAcknowledged,
    ReferralClosed,
    ReferralEvent,
    ReferralMoved,
    ReferralReopened,
    ReferralSent,
    ReferralWithdrawn,
    Side,
    WithdrawReason,
)

ROSTER_REASONS = frozenset({WithdrawReason.STUDENT_LEFT, WithdrawReason.ERASED})


def decide(state: Situation, command: EndingCommand) -> list[ReferralEvent]:
    match command:
        case Acknowledge():
            return acknowledge(state, command)
        case Close():
            return close(state, command)
        case Withdraw():
            return withdraw(state, command)
        case Reopen():
            return reopen(state, command)
        case NoteMove():
            return note_move(state, command)
        case NoteBreach():
            return note_breach(state, command)


def acknowledge(state: Situation, command: Acknowledge) -> list[ReferralEvent]:
    match state:
        case Finished():
            _sender_only(state.referral, command)
            if state.referral.helper == command.stamp.actor.sub:
                raise Refused("not-your-own", "Who has helped does not read the outcome alone.")
            return [OutcomeAcknowledged(**told(state.referral, command))]
        case Closed():
            _sender_only(state.referral, command)
            event = OutcomeAcknowledged(**told(state.referral, command))
            return said(state.referral, event, state)
        case Unraised() | Raised() | Triaged() | AwaitingConsent() | Ready() | Sent():
            raise no(state)
        case Waitlisted() | Accepted() | InService() | SteppingDown() | Declined() | Held():
            raise no(state)
        case Withdrawn():
            raise no(state)


def close(state: Situation, command: Close) -> list[ReferralEvent]:
    match state:
        case Raised() | Triaged() | AwaitingConsent() | Ready() | Declined() | Held() | Finished():
            return [_closed(state.referral, command)]
        case Closed():
            return said(state.referral, _closed(state.referral, command), state)
        case Unraised() | Sent() | Waitlisted() | Accepted() | InService() | SteppingDown():
            raise no(state)
        case Withdrawn():
            raise no(state)


def withdraw(state: Situation, command: Withdraw) -> list[ReferralEvent]:
    match state:
        case Raised() | Triaged() | AwaitingConsent() | Ready() | Sent() | Waitlisted():
            return [_withdrawn(state.referral, command)]
        case Accepted() | InService() | SteppingDown() | Declined() | Held():
            return [_withdrawn(state.referral, command)]
        case Withdrawn():
            if _by_policy(command):
                return []
            return said(state.referral, _withdrawn(state.referral, command), state)
        case Unraised() | Finished() | Closed():
            if _by_policy(command):
                return []
            raise no(state)


def reopen(state: Situation, command: Reopen) -> list[ReferralEvent]:
    match state:
        case Closed() | Withdrawn():
            triaged = state.referral.tier is not None
            about = told(state.referral, command)
            return [ReferralReopened(**about, triaged=triaged, note=command.note)]
        case Raised() | Triaged() | AwaitingConsent() | Ready() | Sent() | Waitlisted():
            return []
        case Accepted() | InService() | SteppingDown() | Declined() | Held() | Finished():
            return []
        case Unraised():
            raise no(state)


def note_move(state: Situation, command: NoteMove) -> list[ReferralEvent]:
    match state:
        case Sent() | Waitlisted() | Accepted():
            return _moved(state.referral, command, state, held=False)
        case Held():
            return _moved(state.referral, command, state.was, held=True)
        case Raised() | Triaged() | AwaitingConsent() | Ready() | InService() | SteppingDown():
            return _moved(state.referral, command, state, held=False)
        case Declined() | Finished():
            return _moved(state.referral, command, state, held=False)
        case Unraised() | Closed() | Withdrawn():
            return []


def note_breach(state: Situation, command: NoteBreach) -> list[ReferralEvent]:
    match state:
        case Unraised():
            return []
        case Raised() | Triaged() | AwaitingConsent() | Ready() | Sent() | Waitlisted():
            return _breached(state.referral, command)
        case Accepted() | InService() | SteppingDown() | Declined() | Held() | Finished():
            return _breached(state.referral, command)
        case Closed() | Withdrawn():
            return _breached(state.referral, command)


def _sender_only(referral: Referral, command: Acknowledge) -> None:
    """The side that sent reads the outcome: the school, or the agency of an onward referral."""
    sender = referral.about.sender
    agency = side(command) == Side.AGENCY
    if sender != (command.stamp.actor.org if agency else SCHOOL):
        raise Refused("not-the-sender", "The outcome is for who sent the referral to read.")


def _closed(referral: Referral, command: Close) -> ReferralClosed:
    return ReferralClosed(**told(referral, command), resolution=command.resolution)


def _by_policy(command: Withdraw) -> bool:
    return command.stamp.actor.role == Role.SYSTEM


def _withdrawn(referral: Referral, command: Withdraw) -> ReferralWithdrawn:
    if command.reason in ROSTER_REASONS and not _by_policy(command):
        raise Refused("roster-says-so", "That a student is gone is for the roster to say.")
    return ReferralWithdrawn(**told(referral, command), reason=command.reason, words=command.words)


def _moved(
    referral: Referral, command: NoteMove, waits: Known, *, held: bool
) -> list[ReferralEvent]:
    """`waits` is the situation that says whether help is waited for, also while it is held."""
    if command.school == referral.about.school:
        return []
    sent = referral.last(ReferralSent) if isinstance(waits, Sent | Waitlisted | Accepted) else None
    return [
        ReferralMoved(
            **(told(referral, command) | {"school": command.school}),
            left=referral.about.school,
            waiting_since=None if sent is None else sent.at,
            listed=isinstance(waits, Waitlisted),
            held=held and sent is not None,
        )
    ]


def _breached(referral: Referral, command: NoteBreach) -> list[ReferralEvent]:
    """Once a stay, and also when the stay was left after its limit: late is late."""
    for stay in referral.stays:
        if (stay.entered, stay.kind) == (command.entered, command.kind):
            lasts = stay.left is None and command.due <= command.stamp.at
            late = stay.left is not None and stay.left > command.due
            if stay.noted or not (lasts or late):
                return []
            return [
                ClockBreached(
                    **told(referral, command),
                    kind=command.kind,
                    entered=command.entered,
                    due=command.due,
                    source=command.source,
                )
            ]
    return []
