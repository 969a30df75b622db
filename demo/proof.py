"""What the logs say at the end: whether they are whole, and what was known when."""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import date, datetime, time
from typing import NamedTuple

from demo.asks import moment
from demo.platform import SERVICES, Engines
from demo.routes import Known
from libs.common.adapters import open_store
from libs.common.ports import SHARDS, EventStore
from libs.common.replay import days, state_as_of
from libs.common.verify import Verified
from services.consent.decider import consent
from services.consent.decider.states import Enrolled, Open
from services.referrals.views.queues import InboxRow, inbox
from services.referrals.views.stories import Line, lines

MIDNIGHT = time(23, 59, 59)
NOTHING, NONE = "nothing", "none"
PACKET = "referral.packet_opened"
Stores = Mapping[str, EventStore]


class KnownThen(NamedTuple):
    """What the agency knew of Carl at the end of a day."""

    day: date
    inbox: str
    opened: int
    permission: str


@asynccontextmanager
async def logs(engines: Engines, names: Sequence[str] = SERVICES) -> AsyncIterator[Stores]:
    """Opened to read, beside the services that write."""
    async with AsyncExitStack() as stack:
        yield {
            name: await stack.enter_async_context(
                open_store(engines.store_url, name, readonly=True, prefix=engines.prefix)
            )
            for name in names
        }


async def size(store: EventStore) -> int:
    ends = [await store.head(shard) for shard in range(SHARDS)]
    return sum(end.seq for end in ends if end is not None)


def as_told(then: Sequence[KnownThen]) -> bool:
    """Nothing before the family said yes, then all of it, and no more from the day it was taken
    back on."""
    before, helped, last, after = then
    return (
        (before.inbox, before.permission) == (NOTHING, NONE)
        and helped.inbox == last.inbox == "in-service"
        and helped.permission == last.permission != NONE
        and (after.inbox, after.permission, after.opened) == ("sharing-ended", NONE, last.opened)
    )


def counted(found: Mapping[str, Verified]) -> Counter[str]:
    """How many events of each type, in all logs."""
    return sum((one.types for one in found.values()), Counter[str]())


async def known_then(
    stores: Stores,
    asked: Sequence[date],
    carl: Known,
    agency: str,
    progress: Callable[[int], None],
) -> list[KnownThen]:
    """The read models as they were at the end of these days, folded anew from the log."""
    log = {"referrals": stores["referrals"]}
    found: list[KnownThen] = []
    ends = [moment(day, MIDNIGHT) for day in asked]
    async for at, views in days(log, (inbox, lines), ends, progress):
        row = views[inbox.name].get(carl.referral)
        told = [line for key, line in views[lines.name].items() if key.startswith(carl.referral)]
        opened = sum(isinstance(line, Line) and line.type == PACKET for line in told)
        situation = row.situation if isinstance(row, InboxRow) else NOTHING
        assert at is not None
        allowed = await _permission(stores["consent"], carl.student, agency, at)
        found.append(KnownThen(asked[len(found)], situation, opened, allowed))
    return found


async def _permission(store: EventStore, student: str, agency: str, at: datetime) -> str:
    state, _ = await state_as_of(store, consent, f"student/{student}", at)
    if not isinstance(state, Enrolled):
        return NONE
    allowed = [
        f"{len(case.terms.classes)} kinds of record (version {case.version})"
        for case in state.cases.values()
        if isinstance(case, Open) and case.terms.recipient == agency
    ]
    return ", ".join(allowed) or NONE
