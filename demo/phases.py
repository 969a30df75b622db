"""The parts that every referral's way is put together from, each as the requests that people send.

A request that rests on what a policy does after an earlier one waits for a later day: only after a
day has settled is it certain what everybody knows.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, time
from random import Random
from typing import Any

from demo.asks import (
    CLINICIANS_EACH,
    MORNING,
    Ask,
    Crew,
    Who,
    clinician,
    coordinator,
    intake,
    moment,
    of_age,
    of_guardian,
    of_student,
)
from demo.district import Student
from libs.common.directory import Agency
from libs.common.messages import Role

DOMAINS = ("academic", "attendance", "behavior", "emotional", "family", "health", "social")
SEEN = (
    "{} has stopped speaking up in class and sits apart at lunch.",
    "{} was in two fights this month and says nobody listens.",
    "{} falls asleep most mornings and has missed seven days.",
    "{} cries at drop-off and worries about things at home.",
    "{} gives up quickly and calls the work stupid.",
    "{} startles at loud noises since the summer.",
)
EVIDENCE = (
    "Three weeks of classroom support made little difference for {}.",
    "Screening and two observations of {} point the same way.",
    "Attendance and behavior notes of {} since September.",
)
DECLINES = ("at-capacity", "not-eligible", "no-funds", "cannot-reach-family", "wrong-service")


@dataclass(eq=False)
class Journey:
    """One student's way, written down day by day; `day` counts school days."""

    case: str
    student: Student
    crew: Crew
    other: Crew
    partners: tuple[Agency, ...]
    days: tuple[date, ...]
    chance: Random
    day: int
    tier: int = 2
    agency: Agency | None = None
    service: str = ""
    tried: int = 0
    raiser: Who = field(init=False)

    def __post_init__(self) -> None:
        self.raiser = _raiser(self)

    def wait(self, least: int, most: int) -> None:
        self.day += self.chance.randint(least, most)

    def some(self, share: float) -> bool:
        return self.chance.random() < share

    def ask(
        self, who: Who, act: str, *, hour: time = MORNING, refused: str | None = None, **body: Any
    ) -> Iterator[Ask]:
        """Nothing is asked after the last day: what is open then stays open."""
        if self.day < len(self.days):
            at = moment(self.days[self.day], hour)
            yield Ask(at, self.case, self.student.source, who, act, body, refused)

    def words(self, sentences: tuple[str, ...]) -> str:
        return self.chance.choice(sentences).format(self.student.given)

    @property
    def adult(self) -> bool:
        return of_age(self.student, self.days[0])

    @property
    def signer(self) -> Who:
        """Who decides for this student; the student alone, when of age."""
        if self.adult:
            return of_student(self.student)
        return of_guardian(next(g for g in self.student.guardians if g.decides))

    def next_agency(self) -> bool:
        """Chooses the receiver of the next attempt; False when everybody was tried."""
        if self.tried >= len(self.partners):
            return False
        self.agency = self.partners[self.tried]
        self.service = self.chance.choice(sorted(self.agency.services))
        self.tried += 1
        return True

    @property
    def intake(self) -> Who:
        assert self.agency is not None
        return intake(self.agency.ref)

    @property
    def clinician(self) -> Who:
        assert self.agency is not None
        return clinician(self.agency, int(self.student.source[1:]) % CLINICIANS_EACH + 1)


def _raiser(j: Journey) -> Who:
    share = j.chance.random()
    if share < 0.18:
        return j.signer
    if share < 0.22 and j.student.grade >= "09" and j.student.grade.isdigit():
        return of_student(j.student)
    return j.crew.counselor if share < 0.36 else j.chance.choice(j.crew.teachers)


def raised(j: Journey, urgency: str = "routine") -> Iterator[Ask]:
    domains = sorted(j.chance.sample(DOMAINS, j.chance.randint(1, 3)))
    setting = j.chance.choice(("school", "school", "home", "community"))
    if urgency == "routine" and j.some(0.2):
        urgency = "soon"
    if urgency == "crisis":
        j.raiser = j.crew.counselor
    yield from j.ask(
        j.raiser, "raise", urgency=urgency, domains=domains, setting=setting, words=j.words(SEEN)
    )


def triaged(j: Journey, tier: int, **more: Any) -> Iterator[Ask]:
    """Now and then later than the two school days that a psychologist has."""
    j.wait(1, 2) if j.some(0.93) else j.wait(3, 6)
    j.tier = tier
    if tier == 2:
        yield from j.ask(
            j.crew.psychologist, "meet", met="guardian", agrees=True, context=j.words(SEEN)
        )
    yield from j.ask(j.crew.psychologist, "triage", tier=tier, evidence=j.words(EVIDENCE), **more)


def taken_on(j: Journey) -> Iterator[Ask]:
    helper = j.chance.choice((j.crew.social_worker, j.crew.counselor))
    yield from j.ask(helper, "take-on")
    yield from j.ask(helper, "start")
    if j.some(0.15):
        j.wait(25, 32)
        yield from j.ask(helper, "review", settings=changes(j))
    if j.some(0.12):
        j.wait(10, 20)
        yield from j.ask(helper, "step-down", level="Every second week.")
    j.wait(25, 70)
    yield from j.ask(helper, "finish", served=True, outcome=changes(j))
    j.wait(1, 4)
    reader = j.raiser if j.raiser.role is Role.TEACHER else j.crew.psychologist
    yield from j.ask(reader, "acknowledge")


def routed(j: Journey, **more: Any) -> Iterator[Ask]:
    assert j.agency is not None
    j.wait(1, 3)
    who = coordinator() if j.some(0.3) else j.crew.social_worker
    yield from j.ask(who, "route", receiver=j.agency.ref, service=j.service, **more)


def granted(j: Journey) -> Iterator[Ask]:
    """Most families allow both directions, some only that the school may tell the agency."""
    j.wait(1, 7)
    yield from j.ask(j.signer, "grant", way="out")
    if j.some(0.85):
        yield from j.ask(j.signer, "grant", way="back")


def sent(j: Journey) -> Iterator[Ask]:
    j.wait(1, 2)
    warm = j.some(0.3)
    yield from j.ask(j.crew.social_worker, "send", warm=warm, letter=j.words(EVIDENCE))


def begun(j: Journey) -> Iterator[Ask]:
    if j.some(0.12):
        j.wait(1, 3)
        yield from j.ask(j.intake, "waitlist")
        j.wait(5, 30)
    else:
        j.wait(1, 4)
    yield from j.ask(j.intake, "open-packet")
    yield from j.ask(j.intake, "accept")
    j.wait(2, 9)
    yield from j.ask(j.clinician, "start")


def finished(j: Journey) -> Iterator[Ask]:
    yield from helped(j)
    j.wait(1, 4)
    yield from j.ask(j.crew.social_worker, "acknowledge")


def helped(j: Journey) -> Iterator[Ask]:
    if j.some(0.1):
        j.wait(20, 30)
        yield from j.ask(j.clinician, "review", settings=changes(j))
    if j.some(0.1):
        j.wait(10, 20)
        yield from j.ask(j.clinician, "step-down", level="Once a month.")
    j.wait(30, 80)
    yield from j.ask(j.clinician, "finish", served=True, outcome=changes(j))


def changes(j: Journey) -> dict[str, str]:
    words = ("better", "better", "better", "same", "worse")
    return {"home": j.chance.choice(words), "school": j.chance.choice(words)}


def met_and_taken_on(j: Journey) -> Iterator[Ask]:
    yield from j.ask(
        j.crew.psychologist, "meet", met="guardian", agrees=True, context=j.words(SEEN)
    )
    yield from taken_on(j)
