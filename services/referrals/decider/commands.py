"""What can be asked of a referral. Ordinary fields are the caller's; facts come from views."""

from datetime import date
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from libs.common.messages import Command, Fact, Instant, Message, Notes, Outcome, Record
from services.referrals.events import (
    Changes,
    Code,
    DeclineReason,
    Domain,
    Met,
    No,
    Origin,
    Override,
    Ref,
    Resolution,
    Setting,
    Side,
    Signal,
    Text,
    Tier,
    Urgency,
    WithdrawReason,
)

SERVICES_MAX = 20

Standing = Literal["unknown", "enrolled", "left", "erased"]
Domains = Annotated[
    tuple[Domain, ...],
    Field(min_length=1, max_length=len(Domain)),
    AfterValidator(lambda some: tuple(sorted(set(some)))),
]
Services = Annotated[
    tuple[Code, ...],
    Field(max_length=SERVICES_MAX),
    AfterValidator(lambda some: tuple(sorted(set(some)))),
]


class Cover(Message):
    """The grant, at its version, that covers what is asked; `classes` are all that it covers."""

    grant: Ref
    version: int
    classes: tuple[Code, ...] = ()


class Raise(Command):
    """`duplicates` are the student's other open referrals; None means that nobody looked."""

    student: Ref
    origin: Origin = Origin.CONCERN
    urgency: Urgency = Urgency.ROUTINE
    domains: Record[Domains]
    setting: Record[Setting]
    words: Record[Text | None] = None
    parent: Ref | None = None
    need: Ref | None = None
    override: Override | None = None
    signal: Signal = Signal.CONCERN
    referral: Fact[str] = ""
    new_need: Fact[str] = ""
    school: Fact[str] = ""
    standing: Fact[Standing] = "unknown"
    duplicates: Fact[tuple[str, ...] | None] = None


class AddConcern(Command):
    setting: Record[Setting]
    words: Record[Text]


class RecordMeeting(Command):
    met: Met
    agrees: bool
    on: date | None = None
    context: Record[Text | None] = None
    today: Fact[date] = date.min


class Triage(Command):
    tier: Tier
    wraparound: bool = False
    services: Services = ()
    school_only: bool = False
    evidence: Record[Text]


class ChangeTier(Command):
    tier: Tier
    evidence: Record[Text]


class TakeOn(Command):
    service: Code = "school-support"
    year_end: Fact[date] = date.min


class Route(Command):
    """`agreed`: an agreement in force lets this receiver offer this service at this school;
    `duplicates`: the student's other open referrals for this service, None if nobody looked."""

    receiver: Ref
    service: Code
    override: Override | None = None
    agreed: Fact[bool] = False
    standing: Fact[Standing] = "unknown"
    duplicates: Fact[tuple[str, ...] | None] = None
    cover: Fact[Cover | None] = None
    year_end: Fact[date] = date.min


class NoteConsent(Command):
    grant: Ref
    version: int
    recipient: Ref


class NoteNo(Command):
    grant: Ref
    cause: No


class NoteConsentEnded(Command):
    grant: Ref
    cause: Code


class Send(Command):
    warm: bool = False
    letter: Record[Text | None] = None
    agreed: Fact[bool] = False
    standing: Fact[Standing] = "unknown"
    cover: Fact[Cover | None] = None


class OpenPacket(Command):
    """`opening` names one opening: each is an event of its own."""

    opening: Ref
    cover: Fact[Cover | None] = None


class Accept(Command):
    """`person` will see the family; whoever accepts, when nobody is named."""

    person: Ref | None = None


class Waitlist(Command):
    expected_on: date | None = None


class Decline(Command):
    reason: DeclineReason
    words: Record[Text | None] = None


class Start(Command):
    """`helper` gives the help; whoever starts, when nobody is named."""

    helper: Ref | None = None


class Review(Command):
    settings: Outcome[Changes]
    on: date | None = None
    today: Fact[date] = date.min


class StepDown(Command):
    level: Record[Text]
    review_on: date | None = None


class StepUp(Command):
    pass


class Alert(Command):
    """`cover`: the grant that lets an alert cross to that side."""

    to: Side
    words: Notes[Text]
    cover: Fact[Cover | None] = None


class ReadAlert(Command):
    alert: Annotated[int, Field(ge=1)]


class Finish(Command):
    served: bool
    outcome: Outcome[Changes]


class Acknowledge(Command):
    pass


class Close(Command):
    resolution: Resolution


class Withdraw(Command):
    reason: WithdrawReason
    words: Record[Text | None] = None


class Reopen(Command):
    note: Record[Text]


class NoteMove(Command):
    school: Ref


class NoteBreach(Command):
    kind: Code
    entered: int
    due: Instant
    source: Literal["default", "terms"] = "default"


class CallCrisis(Command):
    signal: Signal
    words: Notes[Text | None] = None


class AttendCrisis(Command):
    pass


class SettleCrisis(Command):
    steps: Notes[Text]


OpeningCommand = Raise | AddConcern | RecordMeeting | Triage | ChangeTier
RoutingCommand = TakeOn | Route | Send
SharingCommand = NoteConsent | NoteNo | NoteConsentEnded | OpenPacket
AnsweringCommand = Accept | Waitlist | Decline | Start
ServingCommand = Review | StepDown | StepUp | Alert | ReadAlert | Finish
EndingCommand = Acknowledge | Close | Withdraw | Reopen | NoteMove | NoteBreach
CrisisCommand = CallCrisis | AttendCrisis | SettleCrisis
ReferralCommand = (
    OpeningCommand
    | RoutingCommand
    | SharingCommand
    | AnsweringCommand
    | ServingCommand
    | EndingCommand
    | CrisisCommand
)
