"""How a referral begins: a concern, what is added to it, a psychologist's first decision."""

from typing import Any

from libs.common.errors import Refused
from libs.common.messages import Role
from services.referrals.decider.commands import (
    AddConcern,
    ChangeTier,
    OpeningCommand,
    Raise,
    RecordMeeting,
    Triage,
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
    again,
    content,
    no,
    not_later,
    told,
)
from services.referrals.events import (
    SCHOOL,
    ConcernAdded,
    ConcernRaised,
    CrisisCalled,
    FamilyMet,
    Origin,
    ReferralEvent,
    ReferralTriaged,
    TierChanged,
    Urgency,
)


def decide(state: Situation, command: OpeningCommand) -> list[ReferralEvent]:
    match command:
        case Raise():
            return raise_(state, command)
        case AddConcern():
            return add_concern(state, command)
        case RecordMeeting():
            return record_meeting(state, command)
        case Triage():
            return triage(state, command)
        case ChangeTier():
            return change_tier(state, command)


def raise_(state: Situation, command: Raise) -> list[ReferralEvent]:
    match state:
        case Unraised():
            _may_begin(command)
            about = _about(command)
            raised = _concern(command, about)
            if command.urgency == Urgency.CRISIS:
                return [raised, CrisisCalled(**about, signal=command.signal)]
            return [raised]
        case Raised() | Triaged() | AwaitingConsent() | Ready() | Sent() | Waitlisted():
            return _raised_already(state.referral, command)
        case Accepted() | InService() | SteppingDown() | Declined() | Held() | Finished():
            return _raised_already(state.referral, command)
        case Closed() | Withdrawn():
            return _raised_already(state.referral, command)


def add_concern(state: Situation, command: AddConcern) -> list[ReferralEvent]:
    match state:
        case Unraised() | Closed() | Withdrawn():
            raise no(state)
        case Raised() | Triaged() | AwaitingConsent() | Ready() | Sent() | Waitlisted():
            return _added(state.referral, command)
        case Accepted() | InService() | SteppingDown() | Declined() | Held() | Finished():
            return _added(state.referral, command)


def record_meeting(state: Situation, command: RecordMeeting) -> list[ReferralEvent]:
    match state:
        case Unraised() | Closed() | Withdrawn():
            raise no(state)
        case Raised() | Triaged() | AwaitingConsent() | Ready() | Sent() | Waitlisted():
            return _met(state.referral, command)
        case Accepted() | InService() | SteppingDown() | Declined() | Held() | Finished():
            return _met(state.referral, command)


def triage(state: Situation, command: Triage) -> list[ReferralEvent]:
    match state:
        case Raised() | Triaged():
            _may_triage(state.referral, command)
            event = ReferralTriaged(
                **told(state.referral, command),
                tier=command.tier,
                wraparound=command.wraparound,
                services=command.services,
                school_only=command.school_only,
                evidence=command.evidence,
            )
            here = isinstance(state, Triaged) and state.referral.tier == command.tier
            return [] if here and again(state.referral, event) else [event]
        case Unraised() | AwaitingConsent() | Ready() | Sent() | Waitlisted() | Accepted():
            raise no(state)
        case InService() | SteppingDown() | Declined() | Held() | Finished():
            raise no(state)
        case Closed() | Withdrawn():
            raise no(state)


def change_tier(state: Situation, command: ChangeTier) -> list[ReferralEvent]:
    match state:
        case Unraised() | Raised() | Finished() | Closed() | Withdrawn():
            raise no(state)
        case Triaged() | AwaitingConsent() | Ready() | Sent() | Waitlisted() | Accepted():
            return _tier_changed(state.referral, command)
        case InService() | SteppingDown() | Declined() | Held():
            return _tier_changed(state.referral, command)


def _may_begin(command: Raise) -> None:
    """A crisis is heard for every student who is known, whatever else is open."""
    if command.standing == "unknown":
        raise Refused("unknown-student", "There is no such student.")
    if command.standing == "erased":
        raise Refused("erased", "The record was erased.")
    if command.urgency == Urgency.CRISIS:
        return
    if command.standing == "left":
        raise Refused("student-left", "The student has left the district.")
    if command.duplicates != () and command.override is None:
        raise Refused(
            "maybe-duplicate",
            "A referral for this student is open: add to it, or say why this is another one.",
        )


def _about(command: Raise) -> dict[str, Any]:
    actor = command.stamp.actor
    return {
        "at": command.stamp.at,
        "referral": command.referral,
        "need": command.need or command.new_need,
        "student": command.student,
        "school": command.school,
        "sender": actor.org if command.origin == Origin.ONWARD else SCHOOL,
        "urgency": command.urgency,
    }


def _concern(command: Raise, about: dict[str, Any]) -> ConcernRaised:
    return ConcernRaised(
        **about,
        origin=command.origin,
        raiser=command.stamp.actor.sub,
        domains=command.domains,
        setting=command.setting,
        words=command.words,
        parent=command.parent,
        override=command.override,
    )


def _raised_already(referral: Referral, command: Raise) -> list[ReferralEvent]:
    """The reference comes from the command's id, so only its own repetition can find it taken."""
    first, about = referral.last(ConcernRaised), referral.about
    same = first is not None and content(first) == content(_concern(command, _about(command)))
    needs = (None, about.need)
    if same and about.student == command.student and command.need in needs:
        return []
    raise Refused("id-used", "This reference belongs to another referral already.")


def _added(referral: Referral, command: AddConcern) -> list[ReferralEvent]:
    event = ConcernAdded(**told(referral, command), setting=command.setting, words=command.words)
    return [] if again(referral, event) else [event]


def _met(referral: Referral, command: RecordMeeting) -> list[ReferralEvent]:
    not_later(command.on, command.today)
    event = FamilyMet(
        **told(referral, command),
        met=command.met,
        agrees=command.agrees,
        on=command.on,
        context=command.context,
    )
    return [] if again(referral, event) else [event]


def _may_triage(referral: Referral, command: Triage) -> None:
    """A school psychologist, or for an onward referral the clinician of the agency that sends."""
    actor, sender = command.stamp.actor, referral.about.sender
    if sender == SCHOOL:
        may = actor.role == Role.PSYCHOLOGIST
    else:
        may = actor.role == Role.CLINICIAN and actor.org == sender
    if not may:
        raise Refused("not-a-psychologist", "A school psychologist decides this first.")


def _tier_changed(referral: Referral, command: ChangeTier) -> list[ReferralEvent]:
    if referral.tier == command.tier:
        decided = (referral.last(TierChanged), referral.last(ReferralTriaged))
        if any(event is not None and event.evidence == command.evidence for event in decided):
            return []
        raise Refused("same-tier", "It is at this tier already.")
    return [
        TierChanged(
            **told(referral, command),
            tier=command.tier,
            before=referral.tier or command.tier,
            evidence=command.evidence,
        )
    ]
