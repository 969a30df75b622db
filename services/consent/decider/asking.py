"""A family is asked, reminded, asked no more; a permission comes to its last day."""

from collections.abc import Iterator

from libs.common.messages import Role
from services.consent.decider.commands import (
    CASES_MAX,
    Expire,
    Lapse,
    Remind,
    RequestConsent,
    WithdrawRequest,
)
from services.consent.decider.ending import end
from services.consent.decider.refusals import refused
from services.consent.decider.states import (
    Asked,
    Case,
    Cases,
    Declined,
    Disputed,
    Ended,
    Enrolled,
    Erased,
    Left,
    Open,
    Request,
    Student,
    Unasked,
    Unknown,
    case_of,
    entitled,
)
from services.consent.decider.terms import reserved
from services.consent.events import (
    Cause,
    ConsentEvent,
    ConsentRequested,
    FamilyReminded,
    NotAsked,
    RequestLapsed,
    RequestUnanswerable,
    UntilEvent,
)

BY_HAND = "by-hand"


def request_consent(state: Student, command: RequestConsent) -> list[ConsentEvent]:
    match state:
        case Unknown():
            raise refused("unknown-student")
        case Enrolled(cases=cases):
            return _request(state, case_of(cases, command.grant), command)
        case Left():
            raise refused("student-left")
        case Erased():
            raise refused("erased")


def _request(state: Enrolled, case: Case, command: RequestConsent) -> list[ConsentEvent]:
    match case:
        case Unasked():
            if command.stamp.actor.role == Role.SYSTEM and (reason := _forbids(state, command)):
                return [_unanswerable(command, reason)]
            return [requested(state, command)]
        case (
            Asked(request=request)
            | Disputed(request=request)
            | Declined(request=request)
            | Open(request=request)
            | Ended(request=request)
        ):
            if _is_same(request, command):
                return []
            raise refused("id-used")


def requested(state: Enrolled, command: RequestConsent) -> ConsentRequested:
    """The request as it is recorded, once everything that forbids asking is ruled out."""
    if reserved(command.terms):
        raise refused("class-reserved")
    reason = _forbids(state, command)
    if reason is not None:
        raise refused(reason)
    asked = entitled(state.file, command.today, command.of_age)
    return ConsentRequested(
        student=state.file.student,
        school=state.file.school,
        grant=command.grant,
        referral=command.referral,
        terms=command.terms,
        text_version=command.text_version,
        language=command.language,
        asked=tuple(sorted(asked)),
    )


def _forbids(state: Enrolled, command: RequestConsent) -> NotAsked | None:
    if command.terms.until < command.today:
        return "already-over"
    if not entitled(state.file, command.today, command.of_age):
        return "no-one-to-ask"
    if sum(not isinstance(case, Ended) for case in state.cases.values()) >= CASES_MAX:
        return "too-many"
    return None


def _unanswerable(command: RequestConsent, reason: NotAsked) -> RequestUnanswerable:
    """A policy has nobody to show a refusal to: the referral that waits is to hear of it."""
    return RequestUnanswerable(
        student=command.student,
        grant=command.grant,
        referral=command.referral,
        terms=command.terms,
        text_version=command.text_version,
        language=command.language,
        reason=reason,
    )


def _is_same(request: Request, command: RequestConsent) -> bool:
    return (
        request.referral == command.referral
        and request.terms == command.terms
        and request.text_version == command.text_version
        and request.language == command.language
    )


def withdraw_request(state: Student, command: WithdrawRequest) -> list[ConsentEvent]:
    match state:
        case Unknown():
            raise refused("unknown-student")
        case Enrolled(file=file, cases=cases):
            if command.grant is not None:
                return _withdraw(case_of(cases, command.grant), file.student)
            found = _of_referral(cases, command)
            waiting = [case for case in found if not isinstance(case, Open)]
            return [event for case in waiting for event in _withdraw(case, file.student)]
        case Left():
            raise refused("student-left")
        case Erased():
            raise refused("erased")


def _withdraw(case: Case, student: str) -> list[ConsentEvent]:
    match case:
        case Unasked():
            raise refused("unknown-grant")
        case Asked() | Disputed() | Declined():
            return end(case, student, Cause.ASKED_NO_MORE)
        case Open():
            raise refused("already-given")
        case Ended():
            return []


def remind(state: Student, command: Remind) -> list[ConsentEvent]:
    match case_of(_cases(state), command.grant):
        case Unasked() | Open() | Ended():
            return []
        case Asked(request=request) | Disputed(request=request) | Declined(request=request):
            if command.due is not None and command.stamp.at < command.due:
                return []
            if command.kind == BY_HAND and request.reminded_on == command.today:
                return []
            if command.kind != BY_HAND and command.kind in request.reminders:
                return []
            reminded = FamilyReminded(
                student=command.student,
                grant=request.grant,
                kind=command.kind,
                on=command.today,
            )
            return [reminded]


def lapse(state: Student, command: Lapse) -> list[ConsentEvent]:
    match case_of(_cases(state), command.grant):
        case Unasked() | Open() | Ended():
            return []
        case Asked(request=request) | Disputed(request=request) | Declined(request=request):
            if command.stamp.at < command.due:
                return []
            lapsed = RequestLapsed(
                student=command.student,
                grant=request.grant,
                referral=request.referral,
                recipient=request.terms.recipient,
                holder=request.terms.holder,
            )
            return [lapsed]


def expire(state: Student, command: Expire) -> list[ConsentEvent]:
    cases = _cases(state)
    if command.grant is not None:
        return _expire(case_of(cases, command.grant), command)
    return [event for case in _of_referral(cases, command) for event in _expire(case, command)]


def _expire(case: Case, command: Expire) -> list[ConsentEvent]:
    match case:
        case Unasked() | Asked() | Disputed() | Declined() | Ended():
            return []
        case Open(terms=terms):
            if terms.until < command.today:
                return end(case, command.student, Cause.DATE)
            if command.grant is None and terms.until_event is UntilEvent.REFERRAL_CLOSED:
                return end(case, command.student, Cause.EVENT)
            return []


def _cases(state: Student) -> Cases:
    match state:
        case Unknown():
            raise refused("unknown-student")
        case Enrolled(cases=cases) | Left(cases=cases) | Erased(cases=cases):
            return cases


def _of_referral(cases: Cases, command: WithdrawRequest | Expire) -> Iterator[Case]:
    """The requests and permissions of a referral, or of one attempt of it: their ids begin so."""
    if command.referral is None:
        return
    attempt = "" if command.attempt is None else f"{command.referral}.{command.attempt}."
    for grant, case in cases.items():
        match case:
            case Unasked():
                continue
            case (
                Asked(request=request)
                | Disputed(request=request)
                | Declined(request=request)
                | Open(request=request)
                | Ended(request=request)
            ):
                if request.referral == command.referral and grant.startswith(attempt):
                    yield case
