"""What the consent service says has happened. The one file here that other services may import.

What is about a student stands in the stream `student/<ref>` and carries that `student`. A date in
an event is the district's local date, stated by a person or computed from the log's time.
"""

from services.consent.events.consents import (
    ConsentAnswered,
    ConsentDeclined,
    ConsentDisputed,
    ConsentExpired,
    ConsentGranted,
    ConsentNarrowed,
    ConsentRequested,
    ConsentRevoked,
    FamilyReminded,
    NotAsked,
    RequestLapsed,
    RequestReaddressed,
    RequestUnanswerable,
    RequestWithdrawn,
)
from services.consent.events.enrolment import (
    StudentChanged,
    StudentEnrolled,
    StudentErased,
    StudentErasureOrdered,
    StudentLeft,
    StudentMoved,
)
from services.consent.events.guardians import (
    GuardianAdded,
    GuardianChanged,
    GuardianEnded,
    RightsPassed,
)
from services.consent.events.imports import (
    ImportEvent,
    ImportFinished,
    ImportStarted,
)
from services.consent.events.words import (
    DISTRICT,
    RESERVED,
    SHORT_CHARS_MAX,
    SORTED,
    TOKEN_CHARS_MAX,
    Authority,
    Cause,
    Channel,
    Classes,
    Contact,
    Digest,
    Names,
    Proof,
    Purpose,
    Purposes,
    RecordClass,
    Reply,
    Rule,
    ShortText,
    Source,
    Terms,
    Token,
    UntilEvent,
)

Enrolment = StudentEnrolled | StudentChanged | StudentMoved | StudentLeft
Erasure = StudentErasureOrdered | StudentErased
Authorities = GuardianAdded | GuardianChanged | GuardianEnded | RightsPassed
Asking = (
    ConsentRequested
    | RequestUnanswerable
    | FamilyReminded
    | RequestReaddressed
    | RequestLapsed
    | RequestWithdrawn
)
Answering = ConsentAnswered | ConsentDisputed | ConsentGranted | ConsentNarrowed | ConsentDeclined
Ending = ConsentRevoked | ConsentExpired
ConsentEvent = Enrolment | Erasure | Authorities | Asking | Answering | Ending

__all__ = [
    "DISTRICT",
    "RESERVED",
    "SHORT_CHARS_MAX",
    "SORTED",
    "TOKEN_CHARS_MAX",
    "Answering",
    "Asking",
    "Authorities",
    "Authority",
    "Cause",
    "Channel",
    "Classes",
    "ConsentAnswered",
    "ConsentDeclined",
    "ConsentDisputed",
    "ConsentEvent",
    "ConsentExpired",
    "ConsentGranted",
    "ConsentNarrowed",
    "ConsentRequested",
    "ConsentRevoked",
    "Contact",
    "Digest",
    "Ending",
    "Enrolment",
    "Erasure",
    "FamilyReminded",
    "GuardianAdded",
    "GuardianChanged",
    "GuardianEnded",
    "ImportEvent",
    "ImportFinished",
    "ImportStarted",
    "Names",
    "NotAsked",
    "Proof",
    "Purpose",
    "Purposes",
    "RecordClass",
    "Reply",
    "RequestLapsed",
    "RequestReaddressed",
    "RequestUnanswerable",
    "RequestWithdrawn",
    "RightsPassed",
    "Rule",
    "ShortText",
    "Source",
    "StudentChanged",
    "StudentEnrolled",
    "StudentErased",
    "StudentErasureOrdered",
    "StudentLeft",
    "StudentMoved",
    "Terms",
    "Token",
    "UntilEvent",
]
