"""`fsck`: is the log whole, does its topic tell the same, and does every reader stand on it?

It only reads, also beside a service at work: first where readers stand, then the topic, then the
store, so that whatever was seen must be found in what is read next.
"""

from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import NamedTuple

from libs.common.adapters import open_bus, open_documents, open_store
from libs.common.adapters.sqlite_file import NotWritten
from libs.common.consume import CURSORS, Cursor
from libs.common.messages import Position
from libs.common.operators.compare import Topic, compared, heard
from libs.common.operators.console import NOT_WELL, WELL, Bar, Operator, no_bar
from libs.common.ports import PAGE_MAX, SHARDS, Bus, Documents, EventStore, Query
from libs.common.verify import Hashes, Survey, surveyed

NOWHERE_YET = "a reader stands where the log has never been"
ELSEWHERE = "a reader stands on another history"


@dataclass(eq=False)
class Findings:
    """What was found wrong: the first place of each kind, and how many there are."""

    found: dict[str, tuple[Position, int]] = field(default_factory=dict)

    def tell(self, position: Position, what: str) -> None:
        first, count = self.found.get(what, (position, 0))
        self.found[what] = (first, count + 1)

    def lines(self) -> list[str]:
        return [
            f"  {first}  {what}" + (f" ({count:,} places, this is the first)" if count > 1 else "")
            for what, (first, count) in self.found.items()
        ]


class Reader(NamedTuple):
    """A stored cursor."""

    name: str
    log: str
    shard: int
    cursor: Cursor


@dataclass(frozen=True)
class Checked:
    """One service's log after everything was read. `topic` is None where nothing is sent."""

    findings: Findings
    stored: Survey
    topic: Topic | None
    readers: int


async def fsck(operator: Operator) -> int:
    """Tells of each service in turn. Raises StoreAway."""
    healthy = True
    for rooms in operator.rooms:
        checked = await _checked(operator, rooms.name)
        _say(operator, rooms.name, checked)
        healthy = healthy and not checked.findings.found
    return WELL if healthy else NOT_WELL


async def _checked(operator: Operator, log: str) -> Checked:
    settings = operator.settings
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        store = await enter(open_store(settings.store_url, log, True, settings.prefix))
        bus = await enter(open_bus(settings.bus_url, None, settings.prefix))
        readers: list[Reader] = []
        try:
            documents = open_documents(settings.views_url, log, settings.prefix, readonly=True)
            readers = await stored_readers(await enter(documents))
        except NotWritten:
            pass  # read models may be thrown away; they are built again
        bars = stack.enter_context(operator.bars())
        topic_bus = bus if settings.relayed else None
        return await checked(store, topic_bus, bus, log, readers, operator.bar(bars, log))


async def checked(
    store: EventStore,
    topic_bus: Bus | None,
    bus: Bus,
    log: str,
    readers: list[Reader],
    bar: Bar = no_bar,
) -> Checked:
    """Everything about one log. `topic_bus` is where its topic lies, if it has one; `bus` has the
    logs of others, on which its readers stand."""
    findings = Findings()
    ends = [await store.head(shard) for shard in range(SHARDS)]
    total = sum(end.seq for end in ends if end is not None)
    topic = None
    if topic_bus is not None:
        topic = await heard(topic_bus, log, findings.tell, bar("topic", total))
    stored = await surveyed(store, findings.tell, bar("log", total), log)
    if topic is not None:
        compared(topic, stored)
    known = {log: stored.hashes}
    for other in sorted({reader.log for reader in readers} - {log}):
        ignored = Findings()  # its own service is told of what is wrong there
        known[other] = (
            await heard(bus, other, ignored.tell, bar(f"topic of {other}", None))
        ).hashes
    for reader in readers:
        _judge(reader, known[reader.log], findings)
    return Checked(findings, stored, topic, len(readers))


def _judge(reader: Reader, hashes: Hashes, findings: Findings) -> None:
    name, log, shard, cursor = reader
    where = Position(log, shard, cursor.seq)
    if cursor.seq > hashes.end(shard):
        findings.tell(where, f"{NOWHERE_YET}: {name}")
    elif hashes.at(shard, cursor.seq) not in (cursor.hash, None):
        findings.tell(where, f"{ELSEWHERE}: {name}")


async def stored_readers(documents: Documents) -> list[Reader]:
    """Every cursor of a service: of its views, earlier generations too, and of its policies."""
    found: list[Reader] = []
    after = None
    while True:
        try:
            page = await documents.find(CURSORS, Query(after=after, limit=PAGE_MAX))
        except ValueError:  # nobody has read anything yet
            return found
        for doc in page.docs:
            name, _, place = doc["_id"].rpartition("|")
            log, _, shard = place.partition(":")
            if "seq" in doc:  # beside them lies where policies began
                cursor = Cursor(doc["seq"], doc["hash"], doc["offset"])
                found.append(Reader(name, log, int(shard), cursor))
        after = page.next
        if after is None:
            return found


def _say(operator: Operator, log: str, checked: Checked) -> None:
    say = operator.say
    whole = checked.stored.verified()
    say(
        f"{log}: {whole.commits:,} commits, {whole.events:,} events, {whole.streams:,} streams; "
        f"{checked.readers:,} cursors of readers"
    )
    if checked.topic is not None:
        ends = checked.stored.hashes
        behind = sum(max(0, ends.end(s) - checked.topic.reached(s)) for s in range(SHARDS))
        say(
            f"{log}: {checked.topic.count:,} records in its topic"
            + (f"; {behind:,} commits are not there yet" if behind else "")
        )
    for line in checked.findings.lines():
        say(line)
    say(f"{log}: NOT well" if checked.findings.found else f"{log}: well")
