"""What the family's word does to a referral, and the opening of its body.

The first three are asked by policies: where nothing follows, the answer is silence.
"""

from libs.common.errors import Refused
from services.referrals.decider.commands import (
    NoteConsent,
    NoteConsentEnded,
    NoteNo,
    OpenPacket,
    SharingCommand,
)
from services.referrals.decider.states import (
    Accepted,
    AwaitingConsent,
    Closed,
    Declined,
    Finished,
    Held,
    InService,
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
    receiver_only,
    told,
)
from services.referrals.events import (
    SCHOOL,
    FamilyRefused,
    ReferralEvent,
    ReferralHeld,
    ReferralPacketOpened,
    ReferralReady,
    ReferralResumed,
)


def decide(state: Situation, command: SharingCommand) -> list[ReferralEvent]:
    match command:
        case NoteConsent():
            return note_consent(state, command)
        case NoteNo():
            return note_no(state, command)
        case NoteConsentEnded():
            return note_consent_ended(state, command)
        case OpenPacket():
            return open_packet(state, command)


def note_consent(state: Situation, command: NoteConsent) -> list[ReferralEvent]:
    match state:
        case AwaitingConsent():
            if not _counts(state.referral, command):
                return []
            return [
                ReferralReady(
                    **told(state.referral, command), grant=command.grant, version=command.version
                )
            ]
        case Held():
            if not _counts(state.referral, command):
                return []
            return [
                ReferralResumed(
                    **told(state.referral, command),
                    grant=command.grant,
                    version=command.version,
                    to=state.was.code,
                )
            ]
        case Unraised() | Raised() | Triaged() | Ready() | Sent() | Waitlisted() | Accepted():
            return []
        case InService() | SteppingDown() | Declined() | Finished() | Closed() | Withdrawn():
            return []


def note_no(state: Situation, command: NoteNo) -> list[ReferralEvent]:
    match state:
        case AwaitingConsent():
            if command.grant != state.referral.about.rested:
                return []
            about = told(state.referral, command)
            return [FamilyRefused(**about, grant=command.grant, cause=command.cause)]
        case Unraised() | Raised() | Triaged() | Ready() | Sent() | Waitlisted() | Accepted():
            return []
        case InService() | SteppingDown() | Declined() | Held() | Finished():
            return []
        case Closed() | Withdrawn():
            return []


def note_consent_ended(state: Situation, command: NoteConsentEnded) -> list[ReferralEvent]:
    match state:
        case Ready() | Sent() | Waitlisted() | Accepted() | InService() | SteppingDown():
            if command.grant != state.referral.about.rested:
                return []
            return [
                ReferralHeld(
                    **told(state.referral, command),
                    grant=command.grant,
                    cause=command.cause,
                    was=state.code,
                )
            ]
        case Unraised() | Raised() | Triaged() | AwaitingConsent() | Declined() | Held():
            return []
        case Finished() | Closed() | Withdrawn():
            return []


def open_packet(state: Situation, command: OpenPacket) -> list[ReferralEvent]:
    receiver_only(state, command)
    match state:
        case Sent() | Waitlisted() | Accepted() | InService() | SteppingDown():
            last = state.referral.last(ReferralPacketOpened)
            if last is not None and last.opening == command.opening:
                return []
            if command.cover is None or state.referral.about.receiver == SCHOOL:
                raise Refused("no-consent", "The family must say yes first.")
            return [
                ReferralPacketOpened(
                    **told(state.referral, command),
                    grant=command.cover.grant,
                    version=command.cover.version,
                    classes=command.cover.classes,
                    by=command.stamp.actor.sub,
                    opening=command.opening,
                )
            ]
        case Unraised() | Raised() | Triaged() | AwaitingConsent() | Ready() | Declined() | Held():
            raise no(state)
        case Finished() | Closed() | Withdrawn():
            raise no(state)


def _counts(referral: Referral, command: NoteConsent) -> bool:
    """A yes for the receiver of now, that has not been taken back since."""
    return command.recipient == referral.about.receiver and command.grant not in referral.ended
