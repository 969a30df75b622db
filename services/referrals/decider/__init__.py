"""The rules of a referral: from a concern to a closed loop.

Help is asked of one receiver at a time, after a psychologist's decision and with the family's word
where it leaves the school. Nothing here touches a clock, a database or a network. The tables stand
in the parts: one function a command, one row for every situation.
"""

from libs.common.shapes import Decider
from services.referrals.decider import answering, crisis, ending, opening, routing, serving, sharing
from services.referrals.decider.commands import (
    Accept,
    Acknowledge,
    AddConcern,
    Alert,
    AttendCrisis,
    CallCrisis,
    ChangeTier,
    Close,
    Decline,
    Finish,
    NoteBreach,
    NoteConsent,
    NoteConsentEnded,
    NoteMove,
    NoteNo,
    OpenPacket,
    Raise,
    ReadAlert,
    RecordMeeting,
    ReferralCommand,
    Reopen,
    Review,
    Route,
    Send,
    SettleCrisis,
    Start,
    StepDown,
    StepUp,
    TakeOn,
    Triage,
    Waitlist,
    Withdraw,
)
from services.referrals.decider.evolve import evolve
from services.referrals.decider.states import Situation, Unraised
from services.referrals.events import ReferralEvent


def decide(state: Situation, command: ReferralCommand) -> list[ReferralEvent]:
    match command:
        case Raise() | AddConcern() | RecordMeeting() | Triage() | ChangeTier():
            return opening.decide(state, command)
        case TakeOn() | Route() | Send():
            return routing.decide(state, command)
        case NoteConsent() | NoteNo() | NoteConsentEnded() | OpenPacket():
            return sharing.decide(state, command)
        case Accept() | Waitlist() | Decline() | Start():
            return answering.decide(state, command)
        case Review() | StepDown() | StepUp() | Alert() | ReadAlert() | Finish():
            return serving.decide(state, command)
        case Acknowledge() | Close() | Withdraw() | Reopen() | NoteMove() | NoteBreach():
            return ending.decide(state, command)
        case CallCrisis() | AttendCrisis() | SettleCrisis():
            return crisis.decide(state, command)


def subject(state: Situation, command: ReferralCommand) -> str | None:
    """The student: named by the command that creates a referral, known ever after."""
    if isinstance(state, Unraised):
        return command.student if isinstance(command, Raise) else None
    return state.referral.about.student


referrals = Decider[Situation, ReferralCommand, ReferralEvent](
    category="referral", decide=decide, evolve=evolve, initial=Unraised(), subject=subject
)
