"""However it stands, a request or a permission is over, and nobody said no."""

from collections.abc import Iterable

from services.consent.decider.states import Asked, Case, Declined, Disputed, Ended, Open, Unasked
from services.consent.events import Cause, ConsentEvent, ConsentExpired, RequestWithdrawn


def all_end(cases: Iterable[Case], student: str, cause: Cause) -> list[ConsentEvent]:
    return [event for case in cases for event in end(case, student, cause)]


def end(case: Case, student: str, cause: Cause) -> list[ConsentEvent]:
    """Whatever the situation, it is over without anybody's no."""
    match case:
        case Unasked() | Ended():
            return []
        case Asked(request=request) | Disputed(request=request) | Declined(request=request):
            withdrawn = RequestWithdrawn(
                student=student,
                grant=request.grant,
                referral=request.referral,
                recipient=request.terms.recipient,
                holder=request.terms.holder,
                cause=cause,
            )
            return [withdrawn]
        case Open(request=request, version=version):
            expired = ConsentExpired(
                student=student,
                grant=request.grant,
                referral=request.referral,
                version=version,
                recipient=request.terms.recipient,
                holder=request.terms.holder,
                cause=cause,
            )
            return [expired]
