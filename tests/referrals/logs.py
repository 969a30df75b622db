"""What the logs of consent and referrals hold in these tests, and every order to hear them in."""

from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from itertools import combinations
from random import Random
from typing import Any

from libs.common.directory import Agency, Calendar, Directory, School, Terms
from libs.common.messages import Event, Recorded
from libs.common.shapes import Projection
from libs.common.testing import folded, recorded, sealed
from services.consent import events as consent
from services.consent.events import Purpose, RecordClass
from services.referrals.decider import referrals
from services.referrals.decider import states as s
from tests.referrals.histories import (
    GRANT,
    MONDAY,
    Asked,
)

Log = list[Recorded[Any]]
TERMS = consent.Terms(
    holder="district",
    recipient="agy_one",
    classes=frozenset({RecordClass.CONTACT, RecordClass.REFERRAL}),
    purposes=frozenset({Purpose.REFERRAL}),
    starts=date(2025, 9, 15),
    until=date(2026, 6, 18),
)
GRANTED: dict[str, Any] = {
    "student": "stu_1",
    "grant": GRANT,
    "referral": "ref_1",
    "version": 1,
    "terms": TERMS,
    "rule": consent.Rule.NO_BEATS_YES,
    "signer": "usr_mother",
}
NAMES = sealed("identity", "names")
CLOSED_DAY = date(2025, 9, 17)
DIRECTORY = Directory(
    schools=(School(ref="sch_one", name="One"), School(ref="sch_two", name="Two")),
    agencies=(Agency(ref="agy_one", name="One", services=frozenset({"counseling"})),),
    terms=(
        Terms(
            school="sch_one",
            agency="agy_one",
            services=frozenset({"counseling"}),
            limits={"awaits-answer": 1},
        ),
    ),
    calendar=Calendar(
        first=date(2025, 9, 4), last=date(2026, 6, 18), closed=frozenset({CLOSED_DAY})
    ),
)


def told(*path: Asked, ref: str = "ref_1", log: str = "referrals") -> Log:
    """The log of one referral, a minute an event, told by who asked for it."""
    state: s.Situation = referrals.initial
    entries: Log = []
    for asked in path:
        for event in referrals.decide(state, asked.stamped(MONDAY)):
            named = event.model_copy(update={"referral": ref})
            state = referrals.fold([event], state)
            number = len(entries) + 1
            at = MONDAY + timedelta(minutes=number)
            stream = f"referral/{ref}"
            entries.append(recorded(named, stream, number, number, at, log, asked.by))
    return entries


def heard(*events: Event, stream: str = "student/stu_1") -> Log:
    return [recorded(e, stream, n, n, MONDAY, "consent") for n, e in enumerate(events, 1)]


def one(projection: Projection[Any], entries: Iterable[Recorded[Any]]) -> Any:
    (document,) = folded(projection, entries).values()
    return document


def mixed(logs: Sequence[Log], seed: int) -> Log:
    """The entries of all these logs, each log's own order kept."""
    chance, rest, entries = Random(seed), [list(log) for log in logs], []
    while any(rest):
        log = chance.choice([log for log in rest if log])
        entries.append(log.pop(0))
    return entries


def interleavings(one_log: Log, other: Log) -> Iterable[Log]:
    """All of them: which places of the whole are the first log's."""
    size = len(one_log) + len(other)
    for places in combinations(range(size), len(one_log)):
        first, second = iter(one_log), iter(other)
        yield [next(first if place in places else second) for place in range(size)]


def revoked(version: int = 1) -> consent.ConsentRevoked:
    return consent.ConsentRevoked(
        student="stu_1",
        grant=GRANT,
        referral="ref_1",
        version=version,
        recipient="agy_one",
        holder="district",
        by="usr_mother",
    )
