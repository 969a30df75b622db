"""What queries are asked with, and the pages that they are answered with."""

from typing import Annotated

from pydantic import Field

from libs.common.messages import Instant, View
from libs.common.ports import PAGE_MAX
from services.referrals.views.queues import InboxRow, QueueRow
from services.referrals.views.stories import Attempt

PAGE = 50


class Paging(View):
    cursor: str | None = None
    limit: Annotated[int, Field(ge=1, le=PAGE_MAX)] = PAGE


class Listing(Paging):
    """`mine`: only those that the asker helps."""

    situation: str | None = None
    mine: bool = False


class OfStudent(Paging):
    student: str


class InboxItem(InboxRow):
    """`position` on the waiting list: more urgent first, then longer waiting."""

    position: int | None = None
    waited_days: int


class InboxPage(View):
    items: tuple[InboxItem, ...]
    next: str | None = None


class QueuePage(View):
    items: tuple[QueueRow, ...]
    next: str | None = None


class WaitItem(View):
    school: str
    agency: str
    service: str
    waiting: int
    listed: int
    oldest_days: int | None
    served: int
    mean_days: int | None
    declined: dict[str, int]


class Waits(View):
    items: tuple[WaitItem, ...]
    next: str | None = None


class ClockItem(View):
    referral: str
    school: str
    receiver: str | None
    situation: str
    kind: str
    entered: int
    due: Instant
    source: str
    hears: tuple[str, ...]


class ClockPage(View):
    items: tuple[ClockItem, ...]
    next: str | None = None


class PartReply(View):
    referral: str
    sender: str
    school: str
    raised_at: Instant
    situation: str
    attempts: tuple[Attempt, ...]
    served_at: Instant | None


class NeedReply(View):
    need: str
    student: str
    attempts_until_served: int | None
    parts: tuple[PartReply, ...]
