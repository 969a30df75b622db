"""Tells Carl's story line by line: what school, agency and mother can see at that very moment.

Each side is asked through the API as one of its people; nothing is taken from the demo's own notes.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from demo.asks import Who
from demo.callers import Callers
from demo.carl import R1, R2, Cast, Scene
from demo.partners import CALENDAR, CARL_AGENCY
from demo.play import Play
from demo.routes import Known

NOTHING = "nothing"
NAMES = {R1: "R1", R2: "R2"}
QUESTIONS = {
    "asked": "asked",
    "open": "allowed",
    "declined": "said no",
    "disputed": "differ",
    "ended": "over",
}


class Told(NamedTuple):
    """One line of the story. `proof`: the log positions of what happened in it, and each no."""

    scene: Scene
    school: str
    agency: str
    mother: str
    proof: tuple[str, ...]

    def lines(self) -> Iterator[str]:
        day = CALENDAR.local(self.scene.at)
        yield f"[bold]{day}  {self.scene.step}[/bold]  {self.scene.says}"
        yield f"    school: {self.school}"
        yield f"    agency: {self.agency}"
        yield f"    mother: {self.mother}"
        yield f"    [dim]proof:  {'; '.join(self.proof)}[/dim]"


@dataclass(eq=False)
class Telling:
    callers: Callers
    play: Play
    people: Cast
    _heard: dict[str, int] = field(default_factory=dict)

    async def scene(self, scene: Scene, answers: tuple[str, ...]) -> Told:
        """Call it when everything has settled; `answers` are positions or refusals."""
        return Told(
            scene,
            school=await self._school(),
            agency=await self._agency(),
            mother=await self._mother(),
            proof=(*answers, *await self._news()),
        )

    async def _news(self) -> tuple[str, ...]:
        """What Carl's referrals have recorded since the last line, with what policies asked."""
        found = []
        for one in self._known().values():
            path = f"/v1/referrals/{one.referral}"
            story = await self._get(self.people.psychologist, "referrals", path)
            for line in story["lines"]:
                if line["version"] > self._heard.get(one.referral, 0):
                    found.append(f"{line['type']} {line['position']}")
            self._heard[one.referral] = story["lines"][-1]["version"]
        return tuple(found)

    async def _get(self, who: Who, service: str, path: str) -> Any:
        """The reply's body, or None when there is nothing for this person."""
        reply = await self.callers.ask(who, service, "GET", path)
        return reply.body if reply.status == 200 else None

    def _known(self) -> dict[str, Known]:
        return {case: self.play.known[case] for case in (R1, R2) if case in self.play.known}

    async def _school(self) -> str:
        """The psychologist's list of Carl's referrals."""
        known = self._known()
        student = known[R1].student
        page = await self._get(
            self.people.psychologist, "referrals", f"/v1/referrals?student={student}"
        )
        return _situations(known, page["items"] if page else [])

    async def _agency(self) -> str:
        """Intake's inbox, and whether the family's permission covers a record of Carl's now."""
        known = self._known()
        inbox = f"/v1/agencies/{CARL_AGENCY}/inbox"
        rows: list[dict[str, Any]] = []
        cursor = ""
        while R2 in known and not rows:
            page = await self._get(self.people.intake, "referrals", f"{inbox}?{cursor}")
            rows = [row for row in page["items"] if row["referral"] == known[R2].referral]
            if page["next"] is None:
                break
            cursor = f"cursor={page['next']}"
        if not rows:
            return NOTHING
        return f"R2 {_words(rows[0]['situation'])}; {await self._may(known[R2].student)}"

    async def _may(self, student: str) -> str:
        asked = {
            "student": student,
            "recipient": CARL_AGENCY,
            "class": "behavior",
            "purpose": "coordination",
        }
        reply = await self.callers.ask(self.people.kline, "consent", "POST", "/v1/may", asked)
        if reply.status == 200 and reply.body["allow"]:
            return f"may read his behavior notes (version {reply.body['version']})"
        return f"may read nothing of his record ({reply.status})"

    async def _mother(self) -> str:
        """Her page: Carl's referrals, what is asked of her, what she allows."""
        known = self._known()
        student = known[R1].student
        page = await self._get(self.people.mother, "referrals", f"/v1/referrals?student={student}")
        story = _situations(known, page["items"] if page else [])
        family = await self._get(self.people.mother, "consent", f"/v1/students/{student}/family")
        said = [
            f"{'to the agency' if q['terms']['recipient'] == CARL_AGENCY else 'to the school'}: "
            f"{QUESTIONS[q['situation']]}"
            for q in (family["requests"] if family else [])
        ]
        return "; ".join([story, *sorted(said)])


def _situations(known: dict[str, Known], rows: list[dict[str, Any]]) -> str:
    by_referral = {row["referral"]: row for row in rows}
    seen = [
        f"{NAMES[case]} {_words(by_referral[one.referral]['situation'])}"
        + _late(by_referral[one.referral])
        for case, one in known.items()
        if one.referral in by_referral
    ]
    return ", ".join(seen) or NOTHING


def _late(row: dict[str, Any]) -> str:
    """A limit of where it is now has passed: a review, an answer, a step of somebody's."""
    return " (limit passed)" if row["situation"] in row["breached"] else ""


def _words(situation: str) -> str:
    return situation.replace("-", " ")
