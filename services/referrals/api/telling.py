"""One referral's story, and who may read which of its words."""

from collections.abc import Callable
from typing import Any

from libs.common.errors import Missing
from libs.common.messages import Actor, Instant, Role, View
from libs.common.personal import Sealed
from libs.common.web.http import Question, Routes, Versioned
from services.consent.events import Purpose, RecordClass
from services.referrals.api.doors import (
    AGENCY,
    FAMILY,
    STAFF,
    Doors,
    cover_for,
    is_receiver,
    lines_of,
    situation_of,
    touched,
)
from services.referrals.events import SCHOOL
from services.referrals.views.stories import Line, Story, lines, stories

routes = Routes[Doors]("referrals")
TOWARDS = frozenset(
    {"referral.sent", "referral.held", "referral.resumed", "alert.raised", "alert.read"}
)
Readable = Callable[[Line], bool]
PROGRESS = RecordClass.PROGRESS_SUMMARY
BACK = {
    "alert.raised": RecordClass.ALERT,
    "service.finished": RecordClass.OUTCOME,
    "referral.declined": RecordClass.PARTICIPATION,
}
"""Record classes of an agency's words; all others are a progress summary."""


class StoryLine(View):
    at: Instant
    version: int
    position: str
    type: str
    by: str
    attempt: int
    receiver: str | None
    data: dict[str, Any]


class StoryReply(View):
    referral: str
    need: str
    student: str | None
    school: str
    sender: str
    urgency: str
    situation: str
    since: Instant
    attempt: int
    receiver: str | None
    service: str | None
    lines: tuple[StoryLine, ...]


@routes.query(
    "GET",
    "/v1/referrals/{referral}",
    StoryReply,
    roles={Role.TEACHER, *STAFF, Role.COORDINATOR, *FAMILY, *AGENCY},
    reads=(stories, lines),
    opens=True,
)
async def story(question: Question[Any], doors: Doors) -> Versioned:
    """What happened, line by line; words only for who may read them."""
    actor, ref = question.actor, question.path["referral"]
    found = await doors.views.get(stories, ref)
    if found is None:
        raise Missing
    receives = is_receiver(actor, await situation_of(doors, ref))
    if not receives:
        await touched(doors, actor, ref, question.now)
    readable = await _readable(question, found, doors)
    every = await lines_of(doors, found)
    some = [line for line in every if not receives or _reaches(actor, line)]
    told = tuple(_told(line, opened=readable(line)) for line in some)
    about = {name: getattr(found, name) for name in StoryReply.model_fields if name != "lines"}
    if receives:
        about["student"] = None
    return Versioned(StoryReply(**about, lines=told), every[-1].version if every else 0)


async def _readable(question: Question[Any], story: Story, doors: Doors) -> Readable:
    """Own words always; the family reads all; a school's psychologist, and colleagues who have it
    in hand, read the school's and the family's words, and an agency's as far as a grant lets them
    cross; coordinators, teachers and agencies read no other's."""
    actor = question.actor
    if actor.role in FAMILY:
        return lambda _: True
    in_hand = actor.role in STAFF and actor.sub in story.hands
    if not in_hand and actor.role != Role.PSYCHOLOGIST:
        return lambda line: line.actor == actor.sub or _same_agency(actor, line)
    crosses = await _crossing(question, story, doors)
    return lambda line: line.by != "agency" or BACK.get(line.type, PROGRESS) in crosses


async def _crossing(question: Question[Any], story: Story, doors: Doors) -> set[RecordClass]:
    """What the family lets the present receiver tell the school."""
    if story.receiver in (None, SCHOOL):
        return set()
    found = set()
    for record_class in {PROGRESS, *BACK.values()}:
        cover, _ = await cover_for(
            doors,
            story.student,
            doors.directory.district,
            story.receiver or "",
            ((record_class, Purpose.COORDINATION),),
            doors.today(question.now),
        )
        if cover is not None:
            found.add(record_class)
    return found


def _reaches(actor: Actor, line: Line) -> bool:
    """Outside the packet a receiver hears what it did itself and what was done towards it."""
    return line.org == actor.org or (line.receiver == actor.org and line.type in TOWARDS)


def _same_agency(actor: Actor, line: Line) -> bool:
    return actor.role in AGENCY and line.by == "agency" and line.org == actor.org


def _told(line: Line, *, opened: bool) -> StoryLine:
    words = {
        name: value for name, value in line.data.items() if opened or Sealed.parse(value) is None
    }
    about = {name: getattr(line, name) for name in StoryLine.model_fields if name != "data"}
    return StoryLine(**about, data=words)
