"""The answer to `may` is what the written rule says, for random permissions, days and questions."""

from datetime import date, timedelta
from random import Random

from services.consent.events import DISTRICT, Purpose, RecordClass
from services.consent.views.access import Access, Allow, Deny, Live, clauses, may
from services.consent.views.students import Pupil
from tests.consent import family as f

SEED = 20_261_124
QUESTIONS = 4_000
CLASSES = (RecordClass.GRADES, RecordClass.IEP)
PURPOSES = (Purpose.REFERRAL, Purpose.BILLING)
DAYS = tuple(f.TODAY + timedelta(days=days) for days in (-1, 0, 1))


def drawn(chance: Random, grant: str) -> Live:
    starts, until = sorted(chance.choices(DAYS, k=2))
    return Live(
        grant=grant,
        version=chance.randint(1, 3),
        holder=chance.choice((DISTRICT, DISTRICT, "agy_two")),
        classes=frozenset(chance.sample(CLASSES, chance.randint(1, 2))),
        purposes=frozenset(chance.sample(PURPOSES, chance.randint(1, 2))),
        starts=starts,
        until=until,
        own=chance.random() < 0.3,
        situation=chance.choice(("open", "open", "open", "revoked", "expired", "rights-passed")),
        position="consent:01:1",
    )


def against(
    live: Live, record_class: RecordClass, purpose: Purpose, today: date, of_age: bool
) -> str | None:
    """In the order in which reasons count."""
    reasons = (
        ("not-yet", today < live.starts),
        (live.situation, live.situation != "open"),
        ("expired", today > live.until),
        ("rights-passed", of_age and not live.own),
        ("class-not-covered", record_class not in live.classes),
        ("purpose-not-covered", purpose not in live.purposes),
    )
    return next((code for code, holds in reasons if holds), None)


def by_the_rule(
    access: Access, record_class: RecordClass, purpose: Purpose, today: date, of_age: bool
) -> Allow | Deny:
    """Of those that allow it, the one that lasts longest, then the smallest id; else the reason of
    the best that there is, and an open one is better than one that ended."""
    ours = sorted(
        (live for live in access.grants if live.holder == DISTRICT),
        key=lambda live: (-live.until.toordinal(), live.grant),
    )
    for live in ours:
        if against(live, record_class, purpose, today, of_age) is None:
            return Allow(live.grant, live.version, live.position)
    best = sorted(ours, key=lambda live: live.situation != "open")[:1]
    for live in best:
        return Deny(against(live, record_class, purpose, today, of_age) or "")
    return Deny("no-grant")


def test_every_answer_is_the_one_that_the_rule_gives() -> None:
    chance = Random(SEED)
    answers = set()
    for _ in range(QUESTIONS):
        grants = tuple(drawn(chance, f"g{number}") for number in range(chance.randint(0, 4)))
        access = Access(student=f.STUDENT, recipient="agy_one", grants=grants)
        passed, of_age = chance.random() < 0.2, chance.random() < 0.2
        pupil = Pupil(student=f.STUDENT, school="sch_one", passed=passed)
        record_class, purpose = chance.choice(CLASSES), chance.choice(PURPOSES)
        answer = may(pupil, clauses(access), record_class, purpose, f.TODAY, of_age=of_age)
        wanted = by_the_rule(access, record_class, purpose, f.TODAY, of_age or passed)
        assert answer == wanted
        answers.add(answer.code if isinstance(answer, Deny) else "allowed")
    assert len(answers) == 8, answers
