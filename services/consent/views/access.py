"""May this agency see this class of record of this student for this purpose now?"""

from collections.abc import Hashable, Iterable, Sequence
from datetime import date
from functools import lru_cache
from typing import Any, Literal, NamedTuple, TypeVar

from libs.common.messages import Recorded, View
from libs.common.shapes import Projection
from services.consent.decider.states import own_name
from services.consent.events import (
    DISTRICT,
    Cause,
    Classes,
    ConsentExpired,
    ConsentGranted,
    ConsentNarrowed,
    ConsentRevoked,
    Purpose,
    Purposes,
    RecordClass,
)
from services.consent.views.students import Pupil

ENDED_MAX = 5
"""Ended permissions remembered per student and recipient, so that a no can say why."""
VALUES_MAX = 4_096
"""Dates, and sets of classes and purposes, of which one copy is kept for all."""

T = TypeVar("T", bound=Hashable)


class Live(View):
    """One permission as it stands; `position` is the commit that made this version."""

    grant: str
    version: int
    holder: str
    classes: Classes
    purposes: Purposes
    starts: date
    until: date
    own: bool
    situation: Literal["open", "revoked", "expired", "rights-passed"] = "open"
    position: str


class Access(View):
    """Everything that was ever allowed to one recipient about one student, latest last."""

    student: str
    recipient: str
    grants: tuple[Live, ...] = ()


class Allow(NamedTuple):
    grant: str
    version: int
    position: str


class Deny(NamedTuple):
    """`code` is the first reason that holds."""

    code: str


class Clause(NamedTuple):
    """A permission made ready to be asked. `ended`: why it has, if it has; `allow`: the answer."""

    holder: str
    starts: date
    until: date
    ended: str | None
    own: bool
    classes: Classes
    purposes: Purposes
    allow: Allow


def clauses(access: Access | None) -> tuple[Clause, ...]:
    """What `may` is asked with: whoever keeps it answers many questions about one document. Open
    permissions first, then the one that lasts longest, then the smallest id."""
    grants = access.grants if access else ()
    return tuple(
        map(_clause, sorted(grants, key=lambda live: (live.situation != "open", *_order(live))))
    )


def _clause(live: Live) -> Clause:
    ended = None if live.situation == "open" else live.situation
    allow = Allow(live.grant, live.version, live.position)
    return Clause(
        live.holder, live.starts, live.until, ended, live.own, live.classes, live.purposes, allow
    )


def may(
    pupil: Pupil | None,
    held: Sequence[Clause],
    record_class: RecordClass,
    purpose: Purpose,
    today: date,
    holder: str = DISTRICT,
    of_age: bool = False,
) -> Allow | Deny:
    """The answer of this moment, with the permission and version it rests on, or what speaks
    against the first one. Pure: the same documents, date and question give the same answer for
    ever."""
    if pupil is None:
        return Deny("unknown-student")
    if pupil.situation != "enrolled":
        return Deny("unknown-student" if pupil.situation == "erasing" else "student-left")
    of_age = of_age or pupil.passed
    first: Clause | None = None
    for clause in held:
        whose, starts, until, ended, own, classes, purposes, allow = clause
        if whose != holder:
            continue
        if (
            record_class in classes
            and purpose in purposes
            and ended is None
            and starts <= today <= until
            and (own or not of_age)
        ):
            return allow
        first = first or clause
    return Deny("no-grant" if first is None else _against(first, record_class, today, of_age))


def _against(clause: Clause, record_class: RecordClass, today: date, of_age: bool) -> str:
    """The first reason that holds, of a permission that does not allow it."""
    if today < clause.starts:
        return "not-yet"
    if clause.ended is not None:
        return clause.ended
    if today > clause.until:
        return "expired"
    if of_age and not clause.own:
        return "rights-passed"
    return "purpose-not-covered" if record_class in clause.classes else "class-not-covered"


AccessEvent = ConsentGranted | ConsentNarrowed | ConsentRevoked | ConsentExpired


def access_key(student: str, recipient: str) -> str:
    return f"{student}:{recipient}"


def _keys(entry: Recorded[Any]) -> Iterable[str]:
    event: AccessEvent = entry.event
    match event:
        case ConsentGranted() | ConsentNarrowed():
            return (access_key(event.student, event.terms.recipient),)
        case ConsentRevoked() | ConsentExpired():
            return (access_key(event.student, event.recipient),)


def _fold(access: Access | None, entry: Recorded[Any], _: str) -> Access | None:
    event: AccessEvent = entry.event
    match event:
        case ConsentGranted() | ConsentNarrowed():
            live = _live(event, str(entry.position))
            return _with(access, event.student, event.terms.recipient, live)
        case ConsentRevoked():
            return _ended(access, event.grant, "revoked")
        case ConsentExpired(cause=Cause.ERASED):
            return _forgotten(access, event.grant)
        case ConsentExpired(cause=Cause.RIGHTS_PASSED):
            return _ended(access, event.grant, "rights-passed")
        case ConsentExpired():
            return _ended(access, event.grant, "expired")


def _same(value: T) -> T:
    """Of equal values the first: permissions are many, and what they can say is little."""
    return _first(value)  # type: ignore[return-value]  # it is equal, and of the same kind


@lru_cache(VALUES_MAX)
def _first(value: Hashable) -> Hashable:
    return value


def _live(event: ConsentGranted | ConsentNarrowed, position: str) -> Live:
    return Live.model_construct(
        grant=event.grant,
        version=event.version,
        holder=event.terms.holder,
        classes=_same(event.terms.classes),
        purposes=_same(event.terms.purposes),
        starts=_same(event.terms.starts),
        until=_same(event.terms.until),
        own=event.signer == own_name(event.student),
        position=position,
    )


def _with(access: Access | None, student: str, recipient: str, live: Live) -> Access:
    """Latest `until` first, then the smallest id: of several, the first that holds answers."""
    others = [other for other in access.grants if other.grant != live.grant] if access else []
    grants = sorted([*others, live], key=_order)
    return Access.model_construct(student=student, recipient=recipient, grants=_bounded(grants))


def _order(live: Live) -> tuple[int, str]:
    return (-live.until.toordinal(), live.grant)


def _bounded(grants: Iterable[Live]) -> tuple[Live, ...]:
    """Every open one, and the latest that ended."""
    kept: list[Live] = []
    ended = 0
    for live in grants:
        ended += live.situation != "open"
        if live.situation == "open" or ended <= ENDED_MAX:
            kept.append(live)
    return tuple(kept)


def _ended(
    access: Access | None, grant: str, situation: Literal["revoked", "expired", "rights-passed"]
) -> Access | None:
    if access is None:
        return None
    change = {"situation": situation}
    grants = (
        live.model_copy(update=change) if live.grant == grant else live for live in access.grants
    )
    return access.model_copy(update={"grants": _bounded(grants)})


def _forgotten(access: Access | None, grant: str) -> Access | None:
    kept = tuple(live for live in access.grants if live.grant != grant) if access else ()
    return access.model_copy(update={"grants": kept}) if access and kept else None


access = Projection(
    name="access",
    version=1,
    logs=("consent",),
    view=Access,
    keys=_keys,
    fold=_fold,
    hears=AccessEvent,
    gates=True,
)
