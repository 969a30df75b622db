"""The receiver's side: answer, begin, help, alert, end. Who was asked before learns so."""

from collections.abc import Collection
from typing import TypeVar

from libs.common.messages import Command, Role
from libs.common.web.http import Asked, Order, Routes
from services.consent.events import Purpose, RecordClass
from services.referrals.api.doors import (
    AGENCY,
    STAFF,
    Doors,
    Needed,
    answered,
    cover_for,
    holder_of,
    is_receiver,
    situation_of,
    stream_of,
    touched,
)
from services.referrals.decider.commands import (
    Accept,
    Alert,
    CallCrisis,
    Decline,
    Finish,
    ReadAlert,
    Review,
    Start,
    StepDown,
    StepUp,
    Waitlist,
)
from services.referrals.decider.states import Referral, Unraised
from services.referrals.events import SCHOOL, Side

C = TypeVar("C", bound=Command)
routes = Routes[Doors]("referrals")

ANSWERERS = frozenset({*AGENCY, *STAFF})
HELPERS = frozenset({Role.CLINICIAN, *STAFF})
TO_SCHOOL: Needed = ((RecordClass.ALERT, Purpose.COORDINATION),)
TO_AGENCY: Needed = (
    (RecordClass.ALERT, Purpose.COORDINATION),
    (RecordClass.BEHAVIOR, Purpose.COORDINATION),
)
"""A bad day at school is behavior; a family may also allow alerts by name."""


@routes.command("POST", "/v1/referrals/{referral}/reviews", Review, roles=HELPERS)
async def review(asked: Asked[Review], doors: Doors) -> Order:
    """What has changed so far, setting by setting."""
    referral = asked.path["referral"]
    await answered(doors, asked.actor, referral)
    command = asked.body.model_copy(update={"today": doors.today(asked.now)})
    return Order(stream_of(referral), command)


@routes.command("POST", "/v1/referrals/{referral}/alerts", Alert, roles=HELPERS)
async def alert(asked: Asked[Alert], doors: Doors) -> Order:
    """Tells the other side that the student needs more support now."""
    referral = await _either_side(asked, doors)
    about, body = referral.about, asked.body
    sender, receiver = holder_of(referral, doors), about.receiver or ""
    to_school = body.to == Side.SCHOOL
    holder, recipient = (receiver, sender) if to_school else (sender, receiver)
    needed = TO_SCHOOL if to_school else TO_AGENCY
    if receiver == SCHOOL:
        return Order(stream_of(about.referral), body)
    today = doors.today(asked.now)
    cover, deps = await cover_for(doors, about.student, recipient, holder, needed, today)
    return Order(stream_of(about.referral), body.model_copy(update={"cover": cover}), deps)


async def _either_side(asked: Asked[C], doors: Doors) -> Referral:
    """The agency that is asked or helps, or whoever has it on the sender's side."""
    state = await situation_of(doors, asked.path["referral"])
    if not isinstance(state, Unraised) and is_receiver(asked.actor, state):
        return state.referral
    return await touched(doors, asked.actor, asked.path["referral"], asked.now)


def _receivers(path: str, body: type[C], name: str, roles: Collection[Role], told: str) -> None:
    """A receiver's command that needs no fact from a view."""

    async def order(asked: Asked[C], doors: Doors) -> Order:
        referral = asked.path["referral"]
        await answered(doors, asked.actor, referral)
        return Order(stream_of(referral), asked.body)

    order.__name__, order.__doc__ = name, told
    routes.command("POST", f"/v1/referrals/{{referral}}/{path}", body, roles=roles)(order)


def _both(path: str, body: type[C], name: str, roles: Collection[Role], told: str) -> None:
    """A command of either side that needs no fact from a view."""

    async def order(asked: Asked[C], doors: Doors) -> Order:
        await _either_side(asked, doors)
        return Order(stream_of(asked.path["referral"]), asked.body)

    order.__name__, order.__doc__ = name, told
    routes.command("POST", f"/v1/referrals/{{referral}}/{path}", body, roles=roles)(order)


_receivers("accept", Accept, "accept", ANSWERERS, "Yes, we help; `person` will see the family.")
_receivers("waitlist", Waitlist, "waitlist", ANSWERERS, "Yes, later: on the list, in fair order.")
_receivers("decline", Decline, "decline", ANSWERERS, "No, and why.")
_receivers("start", Start, "start", HELPERS, "Help has begun.")
_receivers("step-down", StepDown, "step_down", HELPERS, "Less help, by plan.")
_receivers("step-up", StepUp, "step_up", HELPERS, "Full help again.")
_receivers("finish", Finish, "finish", HELPERS, "Help has ended; what changed, by setting.")
_both("alerts/read", ReadAlert, "read_alert", HELPERS, "An alert to this side was read.")
_both("crisis", CallCrisis, "call_crisis", {Role.TEACHER, *HELPERS}, "Calls for help at once.")
