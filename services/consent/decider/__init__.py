"""The rules of consent: what follows from a command, for every situation there is.

A student's stream is Unknown, Enrolled, Left or Erased; each request in it is Unasked, Asked,
Disputed, Declined, Open or Ended. One function per command, one row per situation, no default row.
Nothing here reads a clock: the time is the stamp's, what the district decides comes as a fact.
"""

from collections.abc import Sequence

from libs.common.shapes import Decider
from services.consent.decider.asking import expire, lapse, remind, request_consent, withdraw_request
from services.consent.decider.changes import take_changes
from services.consent.decider.commands import (
    AddGuardian,
    ChangeGuardian,
    ConsentCommand,
    Decline,
    EndGuardian,
    Enroll,
    Expire,
    Grant,
    Lapse,
    Narrow,
    NoteErased,
    OrderErasure,
    PassRights,
    RecordLeaving,
    Remind,
    RequestConsent,
    Revoke,
    TakeChanges,
    TakeRoster,
    WithdrawRequest,
)
from services.consent.decider.enrolment import (
    enroll,
    note_erased,
    order_erasure,
    pass_rights,
    record_leaving,
    take_roster,
)
from services.consent.decider.evolve import evolve
from services.consent.decider.guardians import add_guardian, change_guardian, end_guardian
from services.consent.decider.no import decline, revoke
from services.consent.decider.states import Student, Unknown
from services.consent.decider.yes import grant, narrow
from services.consent.events import ConsentEvent


def decide(state: Student, command: ConsentCommand) -> Sequence[ConsentEvent]:
    match command:
        case Enroll():
            return enroll(state, command)
        case TakeRoster():
            return take_roster(state, command)
        case TakeChanges():
            return take_changes(state, command)
        case RecordLeaving():
            return record_leaving(state, command)
        case OrderErasure():
            return order_erasure(state, command)
        case NoteErased():
            return note_erased(state, command)
        case AddGuardian():
            return add_guardian(state, command)
        case ChangeGuardian():
            return change_guardian(state, command)
        case EndGuardian():
            return end_guardian(state, command)
        case PassRights():
            return pass_rights(state, command)
        case RequestConsent():
            return request_consent(state, command)
        case Grant():
            return grant(state, command)
        case Decline():
            return decline(state, command)
        case Revoke():
            return revoke(state, command)
        case Narrow():
            return narrow(state, command)
        case WithdrawRequest():
            return withdraw_request(state, command)
        case Remind():
            return remind(state, command)
        case Lapse():
            return lapse(state, command)
        case Expire():
            return expire(state, command)


def _subject(_: Student, command: ConsentCommand) -> str:
    return command.student


consent = Decider[Student, ConsentCommand, ConsentEvent](
    category="student", decide=decide, evolve=evolve, initial=Unknown(), subject=_subject
)
