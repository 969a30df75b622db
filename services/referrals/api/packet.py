"""How a referral's body leaves: to the receiving agency, what the family allows, on record.

Answered from this process's own fold of consent's log, and only while that fold is at the log's
end: who is not sure that nothing was taken back does not open.
"""

from typing import Any
from uuid import uuid4

from libs.common.commit import shard_of
from libs.common.errors import Behind, Missing, Refused
from libs.common.handle import Ask
from libs.common.messages import Identity, Instant, Stamp, View
from libs.common.web.http import Question, Routes
from services.consent.events import Contact, Names, Purpose, RecordClass
from services.referrals.api.doors import (
    AGENCY,
    Doors,
    holder_of,
    is_receiver,
    lines_of,
    situation_of,
    stream_of,
    student_stream,
)
from services.referrals.decider.commands import Cover, OpenPacket
from services.referrals.decider.states import Referral, Unraised
from services.referrals.views.sharing import covered, covering_key
from services.referrals.views.stories import Line, lines, stories
from services.referrals.views.students import students

routes = Routes[Doors]("referrals")
FRESH_SECONDS_MAX = 5
NOTICE = "redisclosure-2025-1"
"""The text that forbids giving it on; sent with every body."""
WORDS = {
    "concern.raised": RecordClass.REFERRAL,
    "concern.added": RecordClass.REFERRAL,
    "referral.sent": RecordClass.REFERRAL,
    "family.met": RecordClass.COUNSELING_SUMMARY,
    "referral.triaged": RecordClass.COUNSELING_SUMMARY,
    "tier.changed": RecordClass.COUNSELING_SUMMARY,
    "alert.raised": RecordClass.BEHAVIOR,
}
"""The record class of the school's and the family's words; what is not named never leaves."""


class Relative(View):
    names: Identity[Names]
    relation: Identity[str]
    contact: Identity[Contact | None] = None
    decides: bool


class ContactPart(View):
    names: Identity[Names | None] = None
    birth_date: Identity[str | None] = None
    grade: Identity[str | None] = None
    language: Identity[str | None] = None
    family: tuple[Relative, ...]


class PacketLine(View):
    at: Instant
    type: str
    record_class: str
    data: dict[str, Any]


class Packet(View):
    """`classes` is all that the grant allows; what this service does not hold is not there."""

    referral: str
    student: str
    grant: str
    version: int
    classes: tuple[str, ...]
    notice: str
    contact: ContactPart | None = None
    lines: tuple[PacketLine, ...]


@routes.query(
    "GET",
    "/v1/referrals/{referral}/packet",
    Packet,
    roles=AGENCY,
    reads=(stories, lines),
    opens=True,
)
async def packet(question: Question[Any], doors: Doors) -> Packet:
    """The referral's body, with the family's permission and a notice; each opening is recorded."""
    actor, ref = question.actor, question.path["referral"]
    state = await situation_of(doors, ref)
    if isinstance(state, Unraised) or not is_receiver(actor, state):
        raise Missing
    cover = _cover(question, state.referral, doors)
    opening = uuid4()
    command = OpenPacket(opening=str(opening), cover=cover)
    student = state.referral.about.student
    deps = doors.fresh.seen("consent", shard_of(student_stream(student)))
    asked = command.stamped(Stamp(question.now, actor))
    try:
        await doors.handle(Ask(stream_of(ref), asked, opening, deps=deps))
    except Refused:
        raise Missing from None
    return await _body(state.referral, cover, doors)


def _cover(question: Question[Any], referral: Referral, doors: Doors) -> Cover:
    """What the family allows at this moment, as surely as five seconds can be."""
    ended = doors.fresh.ended()
    if ended is None or doors.monotonic() - ended > FRESH_SECONDS_MAX:
        raise Behind("what families allow has not been heard to the end")
    if not doors.fresh.knows(student_stream(referral.about.student)):
        raise Behind("a newer release knows more of what this family allows")
    view = doors.fresh.get(covering_key(referral.about.student, question.actor.org))
    today, holder = doors.today(question.now), holder_of(referral, doors)
    found = covered(view, RecordClass.REFERRAL, Purpose.REFERRAL, today, holder)
    if found is None:
        raise Missing
    return Cover(grant=found.grant, version=found.version, classes=found.classes)


async def _body(referral: Referral, cover: Cover, doors: Doors) -> Packet:
    about = referral.about
    story = await doors.views.get(stories, about.referral)
    every = await lines_of(doors, story) if story else []
    return Packet(
        referral=about.referral,
        student=about.student,
        grant=cover.grant,
        version=cover.version,
        classes=cover.classes,
        notice=NOTICE,
        contact=await _contact(about.student, cover, doors),
        lines=tuple(told for line in every if (told := _told(line, about.receiver, cover))),
    )


def _told(line: Line, receiver: str | None, cover: Cover) -> PacketLine | None:
    """A line crosses when its class is allowed; a letter or an alert only to whom it was meant."""
    record_class = WORDS.get(line.type)
    if record_class is None or record_class.value not in cover.classes:
        return None
    if line.type in ("referral.sent", "alert.raised"):
        meant = line.receiver == receiver and line.data.get("to", "agency") == "agency"
        if not meant:
            return None
    return PacketLine(at=line.at, type=line.type, record_class=record_class, data=line.data)


async def _contact(student: str, cover: Cover, doors: Doors) -> ContactPart | None:
    if RecordClass.CONTACT.value not in cover.classes:
        return None
    known = await doors.views.get(students, student)
    if known is None:
        return None
    family = tuple(
        Relative(names=kin.names, relation=kin.relation, contact=kin.contact, decides=kin.decides)
        for kin in known.kin.values()
    )
    return ContactPart(
        names=known.names,
        birth_date=known.birth_date,
        grade=known.grade,
        language=known.language,
        family=family,
    )
