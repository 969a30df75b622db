"""What is left to remember of each event. It never refuses: the past is not up for debate.

States are built without validation, which is half the cost of an import: their parts are the
events' own, which were validated when they were decoded.
"""

from collections.abc import Callable

from services.consent.decider.states import (
    NO_CASES,
    NO_GUARDIANS,
    Answer,
    Asked,
    Case,
    Declined,
    Disputed,
    Ended,
    Enrolled,
    Erased,
    File,
    Guardian,
    Left,
    Open,
    Request,
    Student,
    Unasked,
    Unknown,
    case_of,
)
from services.consent.events import (
    ConsentAnswered,
    ConsentDeclined,
    ConsentDisputed,
    ConsentEvent,
    ConsentExpired,
    ConsentGranted,
    ConsentNarrowed,
    ConsentRequested,
    ConsentRevoked,
    FamilyReminded,
    GuardianAdded,
    GuardianChanged,
    GuardianEnded,
    Reply,
    RequestLapsed,
    RequestReaddressed,
    RequestUnanswerable,
    RequestWithdrawn,
    RightsPassed,
    StudentChanged,
    StudentEnrolled,
    StudentErased,
    StudentErasureOrdered,
    StudentLeft,
    StudentMoved,
)

CaseEvent = (
    ConsentRequested
    | RequestUnanswerable
    | FamilyReminded
    | ConsentAnswered
    | ConsentDisputed
    | ConsentGranted
    | ConsentNarrowed
    | ConsentDeclined
    | ConsentRevoked
    | ConsentExpired
    | RequestReaddressed
    | RequestLapsed
    | RequestWithdrawn
)
FileEvent = (
    StudentChanged | StudentMoved | GuardianAdded | GuardianChanged | GuardianEnded | RightsPassed
)
Step = Callable[[Request], Case]


def evolve(state: Student, event: ConsentEvent) -> Student:
    match event:
        case StudentEnrolled():
            return _enrolled(state, event)
        case StudentLeft():
            return _left(state)
        case StudentErasureOrdered(student=student):
            return Erased(student=student, cases=_cases(state))
        case StudentErased(student=student):
            return Erased(student=student, cases=_cases(state), noted=True)
        case (
            StudentChanged()
            | StudentMoved()
            | GuardianAdded()
            | GuardianChanged()
            | GuardianEnded()
            | RightsPassed()
        ):
            return _with_file(state, event)
        case (
            ConsentRequested()
            | RequestUnanswerable()
            | FamilyReminded()
            | ConsentAnswered()
            | ConsentDisputed()
            | ConsentGranted()
            | ConsentNarrowed()
            | ConsentDeclined()
            | ConsentRevoked()
            | ConsentExpired()
            | RequestReaddressed()
            | RequestLapsed()
            | RequestWithdrawn()
        ):
            return _with_case(state, event)


def _cases(state: Student) -> "dict[str, Case]":
    match state:
        case Unknown():
            return dict(NO_CASES)
        case Enrolled(cases=cases) | Left(cases=cases) | Erased(cases=cases):
            return dict(cases)


def _enrolled(state: Student, event: StudentEnrolled) -> Student:
    """Who comes back finds guardians and old permissions as they were left."""
    guardians, passed = NO_GUARDIANS, False
    if isinstance(state, Enrolled | Left):
        guardians, passed = state.file.guardians, state.file.passed
    file = File.model_construct(
        student=event.student,
        school=event.school,
        names=event.names,
        birth_date=event.birth_date,
        grade=event.grade,
        language=event.language,
        roster_id=event.roster_id,
        guardians=guardians,
        passed=passed,
    )
    return Enrolled.model_construct(file=file, cases=_cases(state))


def _left(state: Student) -> Student:
    match state:
        case Unknown() | Erased() | Left():
            return state
        case Enrolled(file=file, cases=cases):
            return Left.model_construct(file=file, cases=cases)


def _with_file(state: Student, event: FileEvent) -> Student:
    match state:
        case Unknown() | Erased():
            return state
        case Enrolled(file=file) | Left(file=file):
            return state.model_copy(update={"file": _file(file, event)})


def _file(file: File, event: FileEvent) -> File:
    match event:
        case StudentChanged():
            about = {
                "names": event.names,
                "birth_date": event.birth_date,
                "grade": event.grade,
                "language": event.language,
                "roster_id": event.roster_id,
            }
            return file.model_copy(update=about)
        case StudentMoved(school=school):
            return file.model_copy(update={"school": school})
        case GuardianAdded() | GuardianChanged():
            guardians = {**file.guardians, event.guardian: _guardian(event)}
            return file.model_copy(update={"guardians": guardians})
        case GuardianEnded(guardian=guardian):
            left = {ref: known for ref, known in file.guardians.items() if ref != guardian}
            return file.model_copy(update={"guardians": left})
        case RightsPassed():
            return file.model_copy(update={"passed": True})


def _guardian(event: GuardianAdded | GuardianChanged) -> Guardian:
    return Guardian.model_construct(
        names=event.names,
        relation=event.relation,
        contact=event.contact,
        authority=event.authority,
        starts=event.starts,
        until=event.until,
        order=event.order,
        source=event.source,
    )


def _with_case(state: Student, event: CaseEvent) -> Student:
    match state:
        case Unknown():
            return state
        case Enrolled(cases=cases) | Left(cases=cases) | Erased(cases=cases):
            changed = {**cases, event.grant: _case(case_of(cases, event.grant), event)}
            return state.model_copy(update={"cases": changed})


def _case(case: Case, event: CaseEvent) -> Case:
    match event:
        case ConsentRequested():
            return Asked(request=_request(event, event.asked))
        case RequestUnanswerable():
            return Ended(request=_request(event, ()))
        case ConsentAnswered():
            return _answered(case, event)
        case FamilyReminded():
            return _with_request(case, _reminded(event))
        case RequestReaddressed(asked=asked):
            return _with_request(case, lambda request: request.model_copy(update={"asked": asked}))
        case ConsentDisputed():
            return _to(case, lambda request: Disputed(request=request))
        case ConsentDeclined():
            return _to(case, lambda request: Declined(request=request))
        case ConsentGranted() | ConsentNarrowed():
            return _to(case, _opened(event))
        case ConsentRevoked() | ConsentExpired() | RequestLapsed() | RequestWithdrawn():
            return _to(case, lambda request: Ended(request=request))


def _request(event: ConsentRequested | RequestUnanswerable, asked: tuple[str, ...]) -> Request:
    return Request(
        grant=event.grant,
        referral=event.referral,
        terms=event.terms,
        text_version=event.text_version,
        language=event.language,
        asked=asked,
    )


def _to(case: Case, step: Step) -> Case:
    match case:
        case Unasked():
            return case
        case (
            Asked(request=request)
            | Disputed(request=request)
            | Declined(request=request)
            | Open(request=request)
            | Ended(request=request)
        ):
            return step(request)


def _with_request(case: Case, change: Callable[[Request], Request]) -> Case:
    match case:
        case Unasked():
            return case
        case Asked() | Disputed() | Declined() | Open() | Ended():
            return case.model_copy(update={"request": change(case.request)})


def _opened(event: ConsentGranted | ConsentNarrowed) -> Step:
    return lambda request: Open(
        request=request,
        version=event.version,
        terms=event.terms,
        rule=event.rule,
        signer=event.signer,
    )


def _reminded(event: FamilyReminded) -> Callable[[Request], Request]:
    def change(request: Request) -> Request:
        kinds = request.reminders | {event.kind}
        return request.model_copy(update={"reminders": kinds, "reminded_on": event.on})

    return change


def _answered(case: Case, event: ConsentAnswered) -> Case:
    """A yes takes a request out of Declined, and out of Disputed once no no is left; whether the
    dispute goes on is said by the event that follows."""
    said = Answer(reply=event.reply, terms=event.terms, proof=event.proof)
    after = _with_request(
        case, lambda r: r.model_copy(update={"answers": {**r.answers, event.signer: said}})
    )
    match after:
        case Unasked() | Asked() | Open() | Ended():
            return after
        case Declined(request=request):
            return Asked(request=request) if event.reply is Reply.YES else after
        case Disputed(request=request):
            a_no = any(answer.reply is Reply.NO for answer in request.answers.values())
            return after if a_no else Asked(request=request)
