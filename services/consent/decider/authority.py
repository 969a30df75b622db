"""When it changes who decides for a student: who is asked now, and what a court has ended."""

from collections.abc import Iterable, Sequence
from datetime import date

from services.consent.decider.ending import all_end
from services.consent.decider.evolve import evolve
from services.consent.decider.states import (
    Asked,
    Case,
    Cases,
    Declined,
    Disputed,
    Ended,
    Enrolled,
    Erased,
    File,
    Left,
    Open,
    Student,
    Unasked,
    Unknown,
    entitled,
)
from services.consent.events import (
    Authorities,
    Cause,
    ConsentEvent,
    Reply,
    RequestReaddressed,
)


def following(state: Student, events: Sequence[ConsentEvent], day: date) -> list[ConsentEvent]:
    """These events, and for each request that waits the news of who may answer it after them."""
    waits = _waits(state) and any(isinstance(event, Authorities) for event in events)
    if not waits:  # as for every student of a bulk file
        return list(events)
    after = state
    for event in events:
        after = evolve(after, event)
    return [*events, *_readdressed(after, day)]


def _waits(state: Student) -> bool:
    match state:
        case Unknown() | Erased():
            return False
        case Enrolled(cases=cases) | Left(cases=cases):
            return any(isinstance(case, Asked | Disputed | Declined) for case in cases.values())


def _readdressed(state: Student, day: date) -> list[ConsentEvent]:
    match state:
        case Unknown() | Erased():
            return []
        case Enrolled(file=file, cases=cases) | Left(file=file, cases=cases):
            asked = tuple(sorted(entitled(file, day, False)))
            return [news for case in cases.values() for news in _asks(case, file.student, asked)]


def _asks(case: Case, student: str, asked: tuple[str, ...]) -> list[ConsentEvent]:
    match case:
        case Unasked() | Open() | Ended():
            return []
        case Asked(request=request) | Disputed(request=request) | Declined(request=request):
            if request.asked == asked:
                return []
            readdressed = RequestReaddressed(
                student=student, grant=request.grant, referral=request.referral, asked=asked
            )
            return [readdressed]


def ended_by_court(file: File, cases: Cases, guardian: str, day: date) -> list[ConsentEvent]:
    """What rested on the word of this guardian alone; another's yes keeps it open."""
    others = entitled(file, day, False) - {guardian}
    alone = [case for case in cases.values() if _rests_on(case, guardian, others)]
    return all_end(alone, file.student, Cause.COURT_ORDER)


def _rests_on(case: Case, guardian: str, others: Iterable[str]) -> bool:
    match case:
        case Unasked() | Asked() | Disputed() | Declined() | Ended():
            return False
        case Open(request=request):
            said_yes = {who for who, one in request.answers.items() if one.reply is Reply.YES}
            return guardian in said_yes and said_yes.isdisjoint(others)
