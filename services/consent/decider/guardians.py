"""The adults of a student, and from when until when each may decide."""

from collections.abc import Iterable, Mapping

from services.consent.decider.authority import ended_by_court, following
from services.consent.decider.commands import (
    GUARDIANS_MAX,
    AddGuardian,
    ChangeGuardian,
    EndGuardian,
    RosterGuardian,
)
from services.consent.decider.refusals import refused
from services.consent.decider.states import (
    Cases,
    Enrolled,
    Erased,
    File,
    Guardian,
    Left,
    Student,
    Unknown,
)
from services.consent.events import (
    Authority,
    ConsentEvent,
    GuardianAdded,
    GuardianChanged,
    GuardianEnded,
    Source,
)


def add_guardian(state: Student, command: AddGuardian) -> list[ConsentEvent]:
    match state:
        case Unknown():
            raise refused("unknown-student")
        case Enrolled(file=file, cases=cases) | Left(file=file, cases=cases):
            known = file.guardians.get(command.guardian)
            if known is not None:
                return _settled(state, file, cases, known, command)
            if len(file.guardians) >= GUARDIANS_MAX:
                raise refused("too-many-guardians")
            added = guardian_added(file.student, command.guardian, _by_hand(command))
            return following(state, [added], command.today)
        case Erased():
            raise refused("erased")


def change_guardian(state: Student, command: ChangeGuardian) -> list[ConsentEvent]:
    match state:
        case Unknown():
            raise refused("unknown-student")
        case Enrolled(file=file, cases=cases) | Left(file=file, cases=cases):
            known = file.guardians.get(command.guardian)
            if known is None:
                raise refused("unknown-guardian")
            return _settled(state, file, cases, known, command)
        case Erased():
            raise refused("erased")


def end_guardian(state: Student, command: EndGuardian) -> list[ConsentEvent]:
    match state:
        case Unknown():
            raise refused("unknown-student")
        case Enrolled(file=file) | Left(file=file):
            return following(state, _ended(file, command.guardian), command.today)
        case Erased():
            raise refused("erased")


def listed_guardians(
    student: str, known: Mapping[str, Guardian], listed: Iterable[RosterGuardian]
) -> list[ConsentEvent]:
    """Adds, changes and ends so that the roster's guardians are as it lists them. An authority that
    was settled by hand stays, and whoever was added by hand is not ended. Of somebody who is listed
    twice the last line counts."""
    events: list[ConsentEvent] = []
    names = {entry.guardian: entry for entry in listed}
    for entry in names.values():
        before = known.get(entry.guardian)
        if before is None:
            events.append(guardian_added(student, entry.guardian, _by_roster(entry)))
        else:
            events += guardian_changed(student, entry.guardian, before, _updated(before, entry))
    return events + [
        GuardianEnded(student=student, guardian=guardian)
        for guardian, before in known.items()
        if guardian not in names and before.source is Source.ROSTER
    ]


def _settled(
    state: Student,
    file: File,
    cases: Cases,
    known: Guardian,
    command: AddGuardian | ChangeGuardian,
) -> list[ConsentEvent]:
    """Said by hand of a guardian on record. Lost authority undoes no permission, unless it was a
    court that took it: then what rests on their word alone ends."""
    events = guardian_changed(file.student, command.guardian, known, _by_hand(command))
    lost = known.authority is Authority.FULL and command.authority is Authority.NONE
    if events and lost and command.order is not None:
        events += ended_by_court(file, cases, command.guardian, command.today)
    return following(state, events, command.today)


def _by_hand(command: AddGuardian | ChangeGuardian) -> Guardian:
    return Guardian.model_construct(
        names=command.names,
        relation=command.relation,
        contact=command.contact,
        authority=command.authority,
        starts=command.starts,
        until=command.until,
        order=command.order,
        source=Source.HAND,
    )


def _by_roster(entry: RosterGuardian) -> Guardian:
    return Guardian.model_construct(
        names=entry.names,
        relation=entry.relation,
        contact=entry.contact,
        authority=entry.authority,
        source=Source.ROSTER,
    )


def _updated(before: Guardian, entry: RosterGuardian) -> Guardian:
    if before.source is Source.ROSTER:
        return _by_roster(entry)
    about = {"names": entry.names, "relation": entry.relation, "contact": entry.contact}
    return before.model_copy(update=about)


def guardian_added(student: str, guardian: str, about: Guardian) -> GuardianAdded:
    return GuardianAdded.model_construct(student=student, guardian=guardian, **about.__dict__)


def guardian_changed(
    student: str, guardian: str, before: Guardian, after: Guardian
) -> list[ConsentEvent]:
    if before == after:
        return []
    return [GuardianChanged(student=student, guardian=guardian, **after.__dict__)]


def _ended(file: File, guardian: str) -> list[ConsentEvent]:
    if guardian not in file.guardians:
        return []
    return [GuardianEnded(student=file.student, guardian=guardian)]
