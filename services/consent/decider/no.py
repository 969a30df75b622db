"""The family's no: to a request, to what is shared, to everything at once.

A no from somebody entitled is never refused.
"""

from services.consent.decider.commands import Decline, Revoke
from services.consent.decider.refusals import refused
from services.consent.decider.signing import answer, answered, check_signer, disputed, signer_of
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
    Request,
    Student,
    Unasked,
    Unknown,
    case_of,
    entitled,
)
from services.consent.events import ConsentDeclined, ConsentEvent, ConsentRevoked, Reply, Rule


def decline(state: Student, command: Decline) -> list[ConsentEvent]:
    return _take_no(state, command, command.grant)


def revoke(state: Student, command: Revoke) -> list[ConsentEvent]:
    return _take_no(state, command, command.grant)


def _take_no(state: Student, command: Decline | Revoke, grant: str | None) -> list[ConsentEvent]:
    """A no to one request or permission, or to all of them (`grant` is None)."""
    match state:
        case Unknown():
            raise refused("unknown-student")
        case Enrolled(file=file, cases=cases) | Left(file=file, cases=cases):
            check_signer(file, command)
            wanted = sorted(cases) if grant is None else [grant]
            return [event for one in wanted for event in _no(file, case_of(cases, one), command)]
        case Erased(cases=cases):
            return _no_after_erasure(cases, grant)


def _no_after_erasure(cases: Cases, grant: str | None) -> list[ConsentEvent]:
    if grant is not None and grant not in cases:
        raise refused("unknown-grant")
    return []


def _no(file: File, case: Case, command: Decline | Revoke) -> list[ConsentEvent]:
    match case:
        case Unasked():
            raise refused("unknown-grant")
        case Asked() | Disputed() | Declined():
            return _no_to_request(file, case, command)
        case Open():
            return _no_to_sharing(file, case, command)
        case Ended():
            return []


def _no_to_request(
    file: File, case: Asked | Disputed | Declined, command: Decline | Revoke
) -> list[ConsentEvent]:
    request = case.request
    signer = signer_of(command)
    before = request.answers.get(signer)
    if before is not None and before.reply is Reply.NO:
        return []
    said = answer(command, request.terms, Reply.NO)
    deciders = entitled(file, command.today, command.of_age)
    answers = {**request.answers, signer: said}
    replies = [answers[who].reply for who in deciders if who in answers]
    events: list[ConsentEvent] = [answered(file.student, request, signer, said)]
    settled = command.rule is not Rule.EITHER or len(replies) == len(deciders)
    if Reply.YES in replies and not isinstance(case, Disputed):
        events.append(disputed(file.student, request))
    if Reply.YES not in replies and settled and not isinstance(case, Declined):
        events.append(_declined(file.student, request))
    return events


def _no_to_sharing(file: File, case: Open, command: Decline | Revoke) -> list[ConsentEvent]:
    request = case.request
    signer = signer_of(command)
    before = request.answers.get(signer)
    if before is not None and before.reply is Reply.NO:
        return []
    others = [a.reply for who, a in request.answers.items() if who != signer]
    said = answer(command, case.terms, Reply.NO)
    events: list[ConsentEvent] = [answered(file.student, request, signer, said)]
    if case.rule is not Rule.EITHER or Reply.YES not in others:
        revoked = ConsentRevoked(
            student=file.student,
            grant=request.grant,
            referral=request.referral,
            version=case.version,
            recipient=case.terms.recipient,
            holder=case.terms.holder,
            by=signer,
        )
        events.append(revoked)
    return events


def _declined(student: str, request: Request) -> ConsentDeclined:
    return ConsentDeclined(
        student=student,
        grant=request.grant,
        referral=request.referral,
        recipient=request.terms.recipient,
        holder=request.terms.holder,
    )
