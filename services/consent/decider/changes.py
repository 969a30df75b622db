"""What a roster's delta changes of a student and the guardians; the rest stays as it is."""

from collections.abc import Iterable

from services.consent.decider.authority import following
from services.consent.decider.commands import (
    GUARDIANS_MAX,
    ChangedGuardian,
    TakeChanges,
    TakeRoster,
)
from services.consent.decider.enrolment import changed, enroll
from services.consent.decider.guardians import guardian_added, guardian_changed
from services.consent.decider.refusals import refused
from services.consent.decider.states import (
    Enrolled,
    Erased,
    File,
    Guardian,
    Guardians,
    Left,
    Student,
    Unknown,
)
from services.consent.events import ConsentEvent, GuardianEnded, Source


def take_changes(state: Student, command: TakeChanges) -> list[ConsentEvent]:
    """A delta may bring somebody new, or back, when it says all that is needed for it."""
    match state:
        case Unknown():
            file = _begun(command)
            events = enroll(state, _whole(file, command))
        case Enrolled(file=file):
            events = enroll(state, _whole(file, command))
        case Left(file=file):
            whole = _whole(file, command)
            events = changed(file, whole) if command.school is None else enroll(state, whole)
        case Erased():
            raise refused("erased")
    return following(state, [*events, *_family(file.guardians, command)], command.today)


def _begun(command: TakeChanges) -> File:
    names, school, roster_id = command.names, command.school, command.roster_id
    if names is None or school is None or roster_id is None:
        raise refused("unknown-student")
    return File.model_construct(
        student=command.student, school=school, names=names, roster_id=roster_id
    )


def _whole(file: File, command: TakeChanges) -> TakeRoster:
    """As if the roster had said everything. A blank loses nothing that was known but the grade."""
    row = command.names is not None
    return TakeRoster.model_construct(
        stamp=command.stamp,
        student=command.student,
        zone=command.zone,
        school=command.school or file.school,
        names=file.names if command.names is None else command.names,
        birth_date=file.birth_date if command.birth_date is None else command.birth_date,
        grade=command.grade if row else file.grade,
        language=file.language if command.language is None else command.language,
        roster_id=file.roster_id if command.roster_id is None else command.roster_id,
    )


def _family(known: Guardians, command: TakeChanges) -> list[ConsentEvent]:
    """Of somebody who is named twice the last word counts, and an end before anything."""
    events: list[ConsentEvent] = []
    new = 0
    said = {entry.guardian: entry for entry in command.guardians}
    for entry in said.values():
        if entry.guardian in command.ended:
            continue
        before = known.get(entry.guardian)
        if before is not None:
            after = _updated(before, entry)
            events += guardian_changed(command.student, entry.guardian, before, after)
        elif (added := _new(entry)) is not None:
            events.append(guardian_added(command.student, entry.guardian, added))
            new += 1
    ended = _ended(known, command.student, command.ended)
    if new and len(known) + new - len(ended) > GUARDIANS_MAX:
        raise refused("too-many-guardians")
    return [*events, *ended]


def _updated(before: Guardian, entry: ChangedGuardian) -> Guardian:
    """An authority that was settled by hand stays."""
    about: dict[str, object] = {}
    if entry.names is not None:
        about = {"names": entry.names, "contact": entry.contact}
    if entry.relation is not None:
        about["relation"] = entry.relation
    if entry.authority is not None and before.source is Source.ROSTER:
        about["authority"] = entry.authority
    return before.model_copy(update=about)


def _new(entry: ChangedGuardian) -> Guardian | None:
    """None when the delta says too little of somebody whom nobody knows here."""
    if entry.names is None or entry.relation is None or entry.authority is None:
        return None
    return Guardian.model_construct(
        names=entry.names,
        relation=entry.relation,
        contact=entry.contact,
        authority=entry.authority,
        source=Source.ROSTER,
    )


def _ended(known: Guardians, student: str, ended: Iterable[str]) -> list[GuardianEnded]:
    """Whoever was added or settled by hand is not a roster's to end."""
    return [
        GuardianEnded(student=student, guardian=guardian)
        for guardian in dict.fromkeys(ended)
        if guardian in known and known[guardian].source is Source.ROSTER
    ]
