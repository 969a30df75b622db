"""What the referrals service says has happened. The one file here that other services may import.

Names and fields are stored for ever: an event gains optional fields, nothing else (see `Event`).
"""

from datetime import date
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from libs.common.messages import TEXT_MAX, Event, Instant, Message, Notes, Outcome, Record

Ref = Annotated[str, Field(min_length=1, max_length=100)]
Code = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")]
Text = Annotated[str, Field(min_length=1, max_length=TEXT_MAX)]
Tier = Annotated[int, Field(ge=1, le=3)]

SCHOOL = "school"
"""Sender or receiver: the student's own school. Anybody else is an agency's reference."""


class Origin(StrEnum):
    """First word of a trouble; one more kind of help for it; an agency's word to another agency."""

    CONCERN = "concern"
    FURTHER = "further"
    ONWARD = "onward"


class Urgency(StrEnum):
    ROUTINE = "routine"
    SOON = "soon"
    CRISIS = "crisis"


class Domain(StrEnum):
    ACADEMIC = "academic"
    ATTENDANCE = "attendance"
    BEHAVIOR = "behavior"
    EMOTIONAL = "emotional"
    SOCIAL = "social"
    FAMILY = "family"
    HEALTH = "health"
    SAFETY = "safety"


class Setting(StrEnum):
    HOME = "home"
    SCHOOL = "school"
    COMMUNITY = "community"


class Override(StrEnum):
    """Why it is asked although something like it is open or was tried."""

    OTHER_TROUBLE = "other-trouble"
    OTHER_HELP = "other-help"
    FAMILY_ASKS = "family-asks"
    CHANGED_SINCE = "changed-since"


class Met(StrEnum):
    """Who was spoken with. An adult student decides alone."""

    GUARDIAN = "guardian"
    STUDENT = "student"
    BOTH = "both"
    ADULT_STUDENT = "adult-student"


class ConsentIs(StrEnum):
    AWAITED = "awaited"
    IN_PLACE = "in-place"
    NOT_NEEDED = "not-needed"


class DeclineReason(StrEnum):
    AT_CAPACITY = "at-capacity"
    NOT_ELIGIBLE = "not-eligible"
    NO_FUNDS = "no-funds"
    CANNOT_REACH_FAMILY = "cannot-reach-family"
    FAMILY_DECLINED = "family-declined"
    WRONG_SERVICE = "wrong-service"
    OTHER = "other"


class Resolution(StrEnum):
    ADVICE_ENOUGH = "advice-enough"
    CLASSROOM_SUPPORT = "classroom-support"
    NONE_FOUND = "none-found"
    FAMILY_REFUSED = "family-refused"
    CONSENT_ENDED = "consent-ended"
    IN_ERROR = "in-error"


class WithdrawReason(StrEnum):
    """The last two are said by the platform alone, when the roster or an erasure says so."""

    FAMILY_ASKS = "family-asks"
    HELPED_ELSEWHERE = "helped-elsewhere"
    IN_ERROR = "in-error"
    STUDENT_LEFT = "student-left"
    ERASED = "erased"


class Signal(StrEnum):
    """How a crisis came to light. What it is stands in sealed words."""

    CONCERN = "concern"
    SAFETY_ITEM = "safety-item"
    SAID = "said"
    SEEN = "seen"
    REPORTED = "reported"


class Side(StrEnum):
    SCHOOL = "school"
    AGENCY = "agency"


class Change(StrEnum):
    BETTER = "better"
    SAME = "same"
    WORSE = "worse"


class Changes(Message):
    """What changed, setting by setting."""

    home: Change | None = None
    school: Change | None = None
    community: Change | None = None
    words: Text | None = None


class About(Message):
    """What every event of a referral says, so that queues, clocks and counts need no other.

    `at` is the instant that the rules used; `sender` is "school" or the agency that refers onward;
    `rested` is the grant that the referral awaited or rested on when this happened.
    """

    at: Instant
    referral: Ref
    need: Ref
    student: Ref
    school: Ref
    sender: Ref
    urgency: Urgency
    attempt: int = 0
    receiver: Ref | None = None
    service: Code | None = None
    rested: Ref | None = None


class ConcernRaised(About, Event):
    origin: Origin
    raiser: Ref
    domains: Record[tuple[Domain, ...]]
    setting: Record[Setting]
    words: Record[Text | None] = None
    parent: Ref | None = None
    override: Override | None = None


class ConcernAdded(About, Event):
    setting: Record[Setting]
    words: Record[Text]


class FamilyMet(About, Event):
    met: Met
    agrees: bool
    on: date | None = None
    context: Record[Text | None] = None


class ReferralTriaged(About, Event):
    """`school_only`: part of an individual education program; it never leaves the school."""

    tier: Tier
    wraparound: bool
    services: tuple[Code, ...]
    school_only: bool
    evidence: Record[Text]


class TierChanged(About, Event):
    tier: Tier
    before: Tier
    evidence: Record[Text]


class ReferralRouted(About, Event):
    """`receiver`, `service`, `attempt` are the new ones. `grant` is the one awaited or rested on,
    `until` how long consent is asked for, `holder` whose records they are."""

    consent: ConsentIs
    grant: Ref | None = None
    version: int | None = None
    until: date
    holder: Ref = "district"
    override: Override | None = None


class ReferralRecalled(About, Event):
    """The receiver named here is asked no more."""


class ReferralReady(About, Event):
    grant: Ref
    version: int


No = Literal["declined", "lapsed", "no-one-to-ask", "too-many", "already-over"]
"""The family said no, or nothing in time; the last three: it was not asked, and why."""


class FamilyRefused(About, Event):
    """There is no yes to wait for: it has to be routed again, or otherwise."""

    grant: Ref
    cause: No


class ReferralHeld(About, Event):
    """Consent ended: nothing crosses. `was` is the code of the situation it may go back to."""

    grant: Ref
    cause: Code
    was: Code


class ReferralResumed(About, Event):
    """`to` is the code of the situation it goes back to."""

    grant: Ref
    version: int
    to: Code


class ReferralSent(About, Event):
    """Without a grant when the school itself is the receiver."""

    grant: Ref | None = None
    version: int | None = None
    warm: bool = False
    letter: Record[Text | None] = None


class ReferralAccepted(About, Event):
    person: Ref


class ReferralWaitlisted(About, Event):
    expected_on: date | None = None


class ReferralDeclined(About, Event):
    reason: DeclineReason
    words: Record[Text | None] = None


class ServiceStarted(About, Event):
    helper: Ref


class ProgressReviewed(About, Event):
    settings: Outcome[Changes]
    on: date | None = None


class SupportSteppedDown(About, Event):
    level: Record[Text]
    review_on: date | None = None


class SupportSteppedUp(About, Event):
    pass


class AlertRaised(About, Event):
    """`alert` numbers a referral's alerts from 1; `grant` is what let it cross, if it crossed."""

    alert: int
    to: Side
    words: Notes[Text]
    grant: Ref | None = None
    version: int | None = None


class AlertRead(About, Event):
    alert: int
    to: Side


class ServiceFinished(About, Event):
    helper: Ref
    served: bool
    outcome: Outcome[Changes]


class OutcomeAcknowledged(About, Event):
    pass


class ReferralClosed(About, Event):
    resolution: Resolution


class ReferralWithdrawn(About, Event):
    reason: WithdrawReason
    words: Record[Text | None] = None


class ReferralReopened(About, Event):
    triaged: bool
    note: Record[Text]


class ReferralMoved(About, Event):
    """`school` is the new one, `left` the old. When it waits for help: since when it was sent,
    whether it is on the list, whether it is held; its turn moves with it."""

    left: Ref
    waiting_since: Instant | None = None
    listed: bool = False
    held: bool = False


class ClockBreached(About, Event):
    """The limit `kind` of the stay that began at version `entered` passed at `due`."""

    kind: Code
    entered: int
    due: Instant
    source: Literal["default", "terms"]


class CrisisCalled(About, Event):
    signal: Signal
    words: Notes[Text | None] = None


class CrisisAttended(About, Event):
    pass


class CrisisSettled(About, Event):
    steps: Notes[Text]


class ReferralPacketOpened(About, Event):
    """The body went to `by` at the receiving agency; `opening` names this one opening."""

    grant: Ref
    version: int
    classes: tuple[Code, ...]
    by: Ref
    opening: Ref


Opening = ConcernRaised | ConcernAdded | FamilyMet | ReferralTriaged | TierChanged
Routing = ReferralRouted | ReferralRecalled | ReferralReady | FamilyRefused | ReferralSent
Sharing = ReferralHeld | ReferralResumed | ReferralPacketOpened
Answering = ReferralAccepted | ReferralWaitlisted | ReferralDeclined
Serving = ServiceStarted | ProgressReviewed | SupportSteppedDown | SupportSteppedUp
Alerting = AlertRaised | AlertRead
Ending = ServiceFinished | OutcomeAcknowledged | ReferralClosed | ReferralWithdrawn
Beside = ReferralReopened | ReferralMoved | ClockBreached
Crisis = CrisisCalled | CrisisAttended | CrisisSettled
ReferralEvent = (
    Opening | Routing | Sharing | Answering | Serving | Alerting | Ending | Beside | Crisis
)
