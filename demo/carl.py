"""Carl's year: what people ask for him, line by line. How it is told stands in `telling.py`.

R1 is the school's own help, R2 the agency's; both are about one need.
"""

from collections.abc import Iterator
from datetime import date, datetime, time
from typing import Any, NamedTuple

from demo.asks import AFTERNOON, MORNING, Ask, Crew, Who, clinician, intake, moment, of_guardian
from demo.district import Student
from demo.partners import CARL_AGENCY, HOME_SUPPORT

R1, R2 = "carl-r1", "carl-r2"
LATER = time(15)
DAY_BEFORE, TAKEN_BACK = date(2026, 4, 12), date(2026, 4, 13)
MEETING, HELPED = date(2025, 11, 10), date(2025, 11, 19)


class Scene(NamedTuple):
    """One line of the story: what it says, and what is asked in it."""

    at: datetime
    step: str
    says: str
    asks: tuple[Ask, ...]


class Cast(NamedTuple):
    teacher: Who
    psychologist: Who
    social_worker: Who
    mother: Who
    intake: Who
    kline: Who


def cast(carl: Student, crew: Crew) -> Cast:
    return Cast(
        crew.teachers[0],
        crew.psychologist,
        crew.social_worker,
        of_guardian(carl.guardians[0]),
        intake(CARL_AGENCY),
        clinician(CARL_AGENCY, 1),
    )


class _Line(NamedTuple):
    day: date
    hour: time
    step: str
    says: str
    asks: tuple[tuple[str, Who, str, dict[str, Any]], ...]


def scenes(carl: Student, people: Cast) -> Iterator[Scene]:
    """In order; nothing that rests on settled news comes before it."""
    for line in (*_autumn(people), *_hand_over(people), *_spring(people)):
        at = moment(line.day, line.hour)
        asks = tuple(
            Ask(at, case, carl.source, who, act, _said(body), body.get("refused"))
            for case, who, act, body in line.asks
        )
        yield Scene(at, line.step, line.says, asks)


def _said(body: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name != "refused"}


def _autumn(p: Cast) -> Iterator[_Line]:
    yield _Line(
        date(2025, 9, 15),
        MORNING,
        "C1",
        "His teacher raises a concern in several domains.",
        (
            (
                R1,
                p.teacher,
                "raise",
                {
                    "urgency": "routine",
                    "domains": ["academic", "behavior", "social"],
                    "setting": "school",
                    "words": "Carl hits when he is teased, and his reading has slipped.",
                },
            ),
        ),
    )
    yield _Line(
        date(2025, 9, 17),
        MORNING,
        "C2",
        "The psychologist meets his mother, who agrees to help at school, and decides: tier 2.",
        (
            (
                R1,
                p.psychologist,
                "meet",
                {
                    "met": "guardian",
                    "agrees": True,
                    "context": "The parents separated in the summer; Carl rarely sees his father.",
                },
            ),
            (
                R1,
                p.psychologist,
                "triage",
                {"tier": 2, "evidence": "Two observations; classroom support was not enough."},
            ),
        ),
    )
    yield _Line(
        date(2025, 9, 18),
        MORNING,
        "C3",
        "The psychologist takes him on: individual counseling and a group begin at school.",
        (
            (R1, p.psychologist, "take-on", {"service": "counseling"}),
            (R1, p.psychologist, "start", {}),
        ),
    )
    yield _Line(
        MEETING,
        MORNING,
        "C6",
        "After several weeks: better at school, not at home. His mother says so herself.",
        (
            (R1, p.psychologist, "review", {"settings": {"school": "better", "home": "same"}}),
            (
                R1,
                p.mother,
                "add-concern",
                {"setting": "home", "words": "At home Carl still shouts and breaks things."},
            ),
        ),
    )


def _hand_over(p: Cast) -> Iterator[_Line]:
    yield _Line(
        date(2025, 11, 12),
        MORNING,
        "C7",
        "The social worker asks for more help for the same need: tier 3, routed to an agency.",
        (
            (
                R2,
                p.social_worker,
                "raise",
                {
                    "origin": "further",
                    "after": R1,
                    "override": "other-help",
                    "urgency": "soon",
                    "domains": ["behavior", "family"],
                    "setting": "home",
                    "words": "School has helped Carl; home has not changed.",
                },
            ),
            (
                R2,
                p.psychologist,
                "triage",
                {"tier": 3, "evidence": "Better at school for eight weeks, the same at home."},
            ),
            (
                R2,
                p.social_worker,
                "route",
                {"receiver": CARL_AGENCY, "service": HOME_SUPPORT},
            ),
        ),
    )
    yield _Line(
        date(2025, 11, 13),
        MORNING,
        "C7",
        "His mother reads two questions and says yes to both: out to the agency, and back.",
        ((R2, p.mother, "grant", {"way": "out"}), (R2, p.mother, "grant", {"way": "back"})),
    )
    yield _Line(
        date(2025, 11, 14),
        MORNING,
        "C7",
        "A warm hand-off: the social worker sends it and introduces the family.",
        (
            (
                R2,
                p.social_worker,
                "send",
                {"warm": True, "letter": "Carl's mother knows you will call on Monday."},
            ),
        ),
    )
    yield _Line(
        date(2025, 11, 17),
        MORNING,
        "C7",
        "The agency's intake opens the packet and accepts.",
        ((R2, p.intake, "open-packet", {}), (R2, p.intake, "accept", {})),
    )
    yield _Line(
        HELPED,
        MORNING,
        "C7",
        "Ms. Kline begins with Carl and his mother.",
        ((R2, p.kline, "start", {}),),
    )


def _spring(p: Cast) -> Iterator[_Line]:
    yield _Line(
        date(2025, 12, 3),
        MORNING,
        "C8",
        "The channel is open both ways; Ms. Kline reads what the mother allowed.",
        ((R2, p.kline, "open-packet", {}),),
    )
    yield _Line(
        date(2026, 2, 9),
        MORNING,
        "C10",
        "School supports are gradually decreased; help at home goes on beside them.",
        (
            (R1, p.psychologist, "step-down", {"level": "Every second week."}),
            (R2, p.kline, "review", {"settings": {"home": "better", "school": "better"}}),
        ),
    )
    yield _Line(
        date(2026, 3, 4),
        MORNING,
        "C12",
        "Ms. Kline alerts the school; the school alerts Ms. Kline.",
        (
            (R2, p.kline, "alert", {"to": "school", "words": "A hard weekend: be gentle today."}),
            (
                R2,
                p.psychologist,
                "alert",
                {"to": "agency", "words": "Carl was in a fight at recess and is calm now."},
            ),
        ),
    )
    yield _Line(
        date(2026, 3, 4),
        AFTERNOON,
        "C12",
        "Each reads the other's alert.",
        (
            (R2, p.psychologist, "read-alert", {"alert": 1}),
            (R2, p.kline, "read-alert", {"alert": 2}),
        ),
    )
    yield from _taken_back(p)


def _taken_back(p: Cast) -> Iterator[_Line]:
    yield _Line(
        TAKEN_BACK,
        MORNING,
        "rescind",
        "His mother takes everything back.",
        ((R2, p.mother, "revoke-all", {}),),
    )
    yield _Line(
        TAKEN_BACK,
        AFTERNOON,
        "rescind",
        "Ms. Kline tries to alert the school, and opens the packet: both are refused.",
        (
            (
                R2,
                p.kline,
                "alert",
                {"to": "school", "words": "Another hard week.", "refused": "sharing-ended"},
            ),
            (R2, p.kline, "open-packet", {"refused": "not-found"}),
        ),
    )
    yield _Line(
        date(2026, 5, 5),
        MORNING,
        "close",
        "Ten school days later the clock has run out; the social worker closes the loop.",
        ((R2, p.social_worker, "close", {"resolution": "consent-ended"}),),
    )
    yield _Line(
        date(2026, 5, 21),
        MORNING,
        "close",
        "School help ends; the outcome is written down.",
        (
            (
                R1,
                p.psychologist,
                "finish",
                {"served": True, "outcome": {"school": "better", "home": "better"}},
            ),
        ),
    )
    yield _Line(
        date(2026, 5, 21),
        LATER,
        "close",
        "His teacher reads the outcome, and the loop is closed.",
        ((R1, p.teacher, "acknowledge", {}),),
    )
