"""The deciders that the laws are shown on, each with what its random commands are made of."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, get_args

import pytest

from libs.common.messages import Actor, Command, Event, Role
from libs.common.personal import Sealed
from libs.common.shapes import Decider
from services.consent.decider import consent
from services.consent.decider.commands import (
    ChangedGuardian,
    ConsentCommand,
    RosterGuardian,
)
from services.consent.decider.states import Case, Student, Unasked
from services.consent.events import (
    Authority,
    ConsentEvent,
    ImportEvent,
    Purpose,
    RecordClass,
    UntilEvent,
)
from services.consent.imports.record import FinishImport, Import, StartImport, imports
from services.referrals.decider import referrals
from services.referrals.decider.commands import Cover, ReferralCommand
from services.referrals.decider.states import Situation
from services.referrals.events import ReferralEvent

STUDENT = "stu_1"


@dataclass(frozen=True, eq=False)
class Law:
    """A decider, and what random commands to it are made of."""

    decider: Decider[Any, Any, Any]
    commands: tuple[type[Command], ...]
    events: tuple[type[Event], ...]
    situations: frozenset[str]
    situation: Callable[[Any], set[str]]
    actors: Sequence[Actor]
    pools: Mapping[str, Sequence[Any]]
    late: frozenset[str] = frozenset()
    """Commands that end much; not drawn at first, or walks would be short."""
    success_percent_min: int = 60


def flat(union: Any) -> tuple[Any, ...]:
    return get_args(union) or (union,)


def names(*kinds: type) -> frozenset[str]:
    return frozenset(kind.__name__ for kind in kinds)


def student_situation(state: Any) -> set[str]:
    cases = getattr(state, "cases", {})
    return {type(state).__name__, *(type(case).__name__ for case in cases.values())}


FAMILY = [Actor(f"usr_{name}", Role.GUARDIAN, "district") for name in ("ana", "ben")]
FEW = frozenset({RecordClass.CONTACT})
MORE = FEW | {RecordClass.REFERRAL}
SEALED = Sealed(f"{STUDENT}:identity:1", "names", "one")
LISTED = RosterGuardian(guardian="usr_ana", names=SEALED, relation=SEALED, authority=Authority.FULL)
CHANGED = LISTED.model_copy(update={"authority": Authority.NONE})
OTHER = LISTED.model_copy(update={"guardian": "usr_ben"})
SAID = ChangedGuardian(guardian="usr_ana", authority=Authority.FULL)
SAID_OTHER = ChangedGuardian(
    guardian="usr_ben", names=SEALED, relation=SEALED, authority=Authority.FULL
)
CONSENT = Law(
    decider=consent,
    commands=flat(ConsentCommand),
    events=flat(ConsentEvent),
    situations=names(*flat(Student), *flat(Case)) - names(Unasked),
    situation=student_situation,
    actors=[
        *FAMILY,
        *FAMILY,
        *FAMILY,
        Actor("usr_1", Role.STUDENT, "district"),
        Actor("usr_clerk", Role.REGISTRAR, "district"),
        Actor("usr_pat", Role.COORDINATOR, "sch_one"),
        Actor("clock", Role.SYSTEM, "district"),
    ],
    pools={
        "student": [STUDENT],
        "zone": ["America/New_York"],
        "school": ["sch_one", "sch_two"],
        "guardian": ["usr_ana", "usr_ben"],
        "signer": [None, "usr_ana", "usr_ben"],
        "grant": ["ref_1.1.out", "ref_1.1.back", "own-1"],
        "referral": [None, "ref_1"],
        "approved": [True],
        "on_hold": [False],
        "of_age": [False, False, False, False, True],
        "attempt": [None, 1],
        "holder": ["district"],
        "recipient": ["agy_one"],
        "Terms.classes": [FEW, FEW, FEW, MORE, MORE, MORE | {RecordClass.SUD}],
        "Terms.purposes": [frozenset({Purpose.REFERRAL})],
        "Terms.starts": [date(2025, 9, 1)],
        "Terms.until": [date(2025, 10, 1), *[date(2026, 6, 30)] * 4, date(2040, 6, 30)],
        "Terms.until_event": [None, None, None, UntilEvent.REFERRAL_CLOSED],
        "shown": ["ab" * 32],
        "kind": ["by-hand", "remind-3", "remind-6"],
        "authority": [Authority.FULL, Authority.FULL, Authority.FULL, Authority.NONE],
        "TakeRoster.guardians": [(), (LISTED,), (LISTED, OTHER), (CHANGED, OTHER)],
        "TakeChanges.school": [None, "sch_one", "sch_two"],
        "TakeChanges.names": [None, SEALED],
        "TakeChanges.guardians": [(), (SAID,), (SAID, SAID_OTHER)],
        "ended": [*[()] * 7, ("usr_ben",)],
        "starts": [None, None, date(2025, 12, 1)],
        "until": [None, None, date(2026, 2, 1)],
        "signed_on": [date(2025, 9, 15), date(2025, 9, 15), date(2026, 1, 15)],
    },
    late=frozenset({"OrderErasure", "RecordLeaving", "EndGuardian", "PassRights", "TakeChanges"}),
)
SCHOOL_STAFF = [
    Actor(f"usr_{role}", role, "sch_one")
    for role in (Role.PSYCHOLOGIST, Role.PSYCHOLOGIST, Role.SOCIAL_WORKER, Role.TEACHER)
]
COVERS = [Cover(grant=f"ref_1.{n}.out", version=n) for n in (1, 2)]
REFERRALS = Law(
    decider=referrals,
    commands=flat(ReferralCommand),
    events=flat(ReferralEvent),
    situations=names(*flat(Situation)),
    situation=lambda state: {type(state).__name__},
    actors=[*SCHOOL_STAFF, Actor("usr_kline", Role.CLINICIAN, "agy_one"),
            Actor("usr_ivy", Role.INTAKE, "agy_one"), Actor("usr_max", Role.INTAKE, "agy_two"),
            Actor("clock", Role.SYSTEM, "district")],
    pools={
        "student": [STUDENT],
        "referral": ["ref_1"],
        "need": [None],
        "new_need": ["need_1"],
        "school": ["sch_one", "sch_two"],
        "standing": [*["enrolled"] * 8, "left", "erased"],
        "duplicates": [(), (), (), (), ("ref_0",), None],
        "agreed": [True, True, True, False],
        "receiver": ["school", "agy_one", "agy_one", "agy_one", "agy_two"],
        "recipient": ["agy_one", "agy_one", "agy_two"],
        "service": ["counseling", "family"],
        "tier": [1, 2, 3, 3, 3],
        "Triage.school_only": [False, False, False, True],
        "Route.cover": [None, None, *COVERS],
        "cover": [None, *COVERS, *COVERS],
        "grant": ["ref_1.1.out", "ref_1.1.out", "ref_1.2.out"],
        "year_end": [date(2026, 6, 18)],
        "today": [date(2025, 9, 15)],
        "on": [None, date(2025, 9, 14), date(2025, 9, 16)],
        "kind": ["awaits-triage", "awaits-route", "awaits-consent", "awaits-answer", "crisis"],
        "entered": [1, 2, 3],
        "cause": ["declined", "lapsed"],
        "NoteConsentEnded.cause": ["revoked"],
    },
    late=frozenset({"Withdraw", "Close", "NoteMove", "TakeOn"}),
)  # fmt: skip
IMPORTS = Law(
    decider=imports,
    commands=(StartImport, FinishImport),
    events=flat(ImportEvent),
    situations=names(*flat(Import)),
    situation=lambda state: {type(state).__name__},
    actors=[Actor("usr_clerk", Role.REGISTRAR, "district")] * 4,
    pools={"counts": [{"taken": 3}, {"taken": 3, "refused": 1}], "allow_removals": [0, 20]},
    success_percent_min=5,
)
LAWS = [
    pytest.param(CONSENT, id="consent"),
    pytest.param(IMPORTS, id="imports"),
    pytest.param(REFERRALS, id="referrals"),
]
