"""Every no of the consent service, in one sentence for the person who asked."""

from libs.common.errors import Refused

SENTENCES = {
    "unknown-student": "There is no such student.",
    "student-left": "The student has left the district.",
    "erased": "The record was erased.",
    "same-person": "Somebody other than the one who orders an erasure must approve it.",
    "not-approved": "This approval was not given for this student today.",
    "record-on-hold": "The record is on hold and cannot be erased now.",
    "unknown-guardian": "This student has no such guardian.",
    "unknown-grant": "There is no such request or permission.",
    "no-one-to-ask": "Nobody on record may decide for this student today.",
    "id-used": "This id names another request already.",
    "not-entitled": "Only who decides for this student can answer.",
    "not-on-web": "Say how the family answered: on paper, by phone or in person.",
    "in-future": "The day of the signature lies in the future.",
    "wider": "A permission only narrows; ask for a new one.",
    "already-over": "The last day of these terms is over already.",
    "class-reserved": "This permission needs a form of its own.",
    "not-open": "Nothing is shared yet.",
    "ended": "It is over; ask anew.",
    "already-given": "The family has said yes; only the family ends it.",
    "too-many": "Too many requests and permissions are open for this student.",
    "too-many-guardians": "This student has as many guardians as a record holds.",
}


def refused(code: str) -> Refused:
    return Refused(code, SENTENCES[code])
