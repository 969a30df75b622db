"""The family's yes, and a narrower yes.

Under `no-beats-yes` nothing is shared while a no of somebody entitled stands; under `either` one
yes suffices; under `both` everybody entitled says yes.
"""

from collections.abc import Mapping

from services.consent.decider.asking import requested
from services.consent.decider.commands import Grant, Narrow, RequestConsent
from services.consent.decider.refusals import refused
from services.consent.decider.signing import (
    answer,
    answer_of,
    answered,
    check_day,
    check_signer,
    disputed,
    signer_of,
)
from services.consent.decider.states import (
    Answer,
    Asked,
    Case,
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
from services.consent.decider.terms import common, reserved, within
from services.consent.events import (
    ConsentEvent,
    ConsentGranted,
    ConsentNarrowed,
    Reply,
    Rule,
    Terms,
)


def grant(state: Student, command: Grant) -> list[ConsentEvent]:
    match state:
        case Unknown():
            raise refused("unknown-student")
        case Enrolled(file=file, cases=cases):
            case = case_of(cases, command.grant)
            if answer_of(case, signer_of(command)) == answer(command, command.terms, Reply.YES):
                return [] if not isinstance(case, Ended) else _yes(state, case, command)
            check_signer(file, command)
            check_day(file, command)
            if reserved(command.terms):
                raise refused("class-reserved")
            return _yes(state, case, command)
        case Left():
            raise refused("student-left")
        case Erased():
            raise refused("erased")


def _yes(state: Enrolled, case: Case, command: Grant) -> list[ConsentEvent]:
    match case:
        case Unasked():
            asked = requested(state, _as_request(command))
            request = Request(grant=asked.grant, terms=asked.terms, text_version=asked.text_version)
            return [asked, *_first_yes(state.file, Asked(request=request), command)]
        case Asked() | Disputed() | Declined():
            return _first_yes(state.file, case, command)
        case Open():
            return _further_yes(case, command)
        case Ended():
            raise refused("ended")


def _as_request(command: Grant) -> RequestConsent:
    """A family may say yes before anybody asked."""
    return RequestConsent(
        stamp=command.stamp,
        student=command.student,
        zone=command.zone,
        of_age=command.of_age,
        grant=command.grant,
        terms=command.terms,
        text_version=command.proof.text_version,
    )


def _first_yes(file: File, case: Asked | Disputed | Declined, command: Grant) -> list[ConsentEvent]:
    """A yes while nothing is shared: it opens as soon as the rule is met."""
    request = case.request
    if not within(command.terms, request.terms):
        raise refused("wider")
    if command.terms.until < command.today:
        raise refused("already-over")
    signer = signer_of(command)
    said = answer(command, command.terms, Reply.YES)
    deciders = entitled(file, command.today, command.of_age)
    answers = {**request.answers, signer: said}
    standing = {who: answers[who] for who in deciders if who in answers}
    shared = common(a.terms for a in standing.values() if a.reply is Reply.YES)
    a_no = any(answer.reply is Reply.NO for answer in standing.values())
    events: list[ConsentEvent] = [answered(file.student, request, signer, said)]
    if shared is not None and _is_met(command.rule, a_no, len(standing) == len(deciders)):
        granted = ConsentGranted(
            student=file.student,
            grant=request.grant,
            referral=request.referral,
            version=1,
            terms=shared,
            rule=command.rule,
            signer=signer,
        )
        events.append(granted)
    elif (a_no or shared is None) and not _stays_disputed(case, answers):
        events.append(disputed(file.student, request))
    return events


def _is_met(rule: Rule, a_no: bool, all_said: bool) -> bool:
    match rule:
        case Rule.NO_BEATS_YES:
            return not a_no
        case Rule.EITHER:
            return True
        case Rule.BOTH:
            return all_said and not a_no


def _stays_disputed(case: Asked | Disputed | Declined, answers: Mapping[str, Answer]) -> bool:
    """While a no of anybody is on record, a dispute that was recorded goes on."""
    a_no = any(answer.reply is Reply.NO for answer in answers.values())
    return isinstance(case, Disputed) and a_no


def _further_yes(case: Open, command: Grant) -> list[ConsentEvent]:
    """A yes while something is shared may narrow it, never widen it."""
    request = case.request
    signer = signer_of(command)
    before = request.answers.get(signer)
    first = before is None or before.reply is Reply.NO
    limit = request.terms if first else case.terms
    shared = common([case.terms, command.terms])
    if shared is None or not within(command.terms, limit):
        raise refused("wider")
    if shared.until < command.today:
        raise refused("already-over")
    said = answer(command, command.terms, Reply.YES)
    events: list[ConsentEvent] = [answered(command.student, request, signer, said)]
    if shared != case.terms:
        events.append(_narrowed(command.student, case, shared, signer))
    return events


def narrow(state: Student, command: Narrow) -> list[ConsentEvent]:
    match state:
        case Unknown():
            raise refused("unknown-student")
        case Enrolled(file=file, cases=cases):
            check_signer(file, command)
            return _narrow(case_of(cases, command.grant), command)
        case Left():
            raise refused("student-left")
        case Erased():
            raise refused("erased")


def _narrow(case: Case, command: Narrow) -> list[ConsentEvent]:
    match case:
        case Unasked():
            raise refused("unknown-grant")
        case Asked() | Disputed() | Declined():
            raise refused("not-open")
        case Open(terms=terms):
            if command.terms == terms:
                return []
            if not within(command.terms, terms):
                raise refused("wider")
            if command.terms.until < command.today:
                raise refused("already-over")
            return [_narrowed(command.student, case, command.terms, signer_of(command))]
        case Ended():
            raise refused("ended")


def _narrowed(student: str, case: Open, terms: Terms, signer: str) -> ConsentNarrowed:
    return ConsentNarrowed(
        student=student,
        grant=case.request.grant,
        referral=case.request.referral,
        version=case.version + 1,
        terms=terms,
        rule=case.rule,
        signer=signer,
    )
