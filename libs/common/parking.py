"""Streams that one projection cannot fold, set aside so that everything else flows.

A commit that cannot be folded halts its shard. An operator may then park its *stream* for that
projection: this commit and all later ones of the stream are kept, in order, until they are tried
again or evicted. Policies never park, nor do projections that say who may see something (`gates`).

Who has dealt with a commit of a parked stream is told by one document a generation, guarded by its
revision: up to `last` the commits were set aside (and perhaps folded from there since), beyond it
they are set aside while the stream is `open` and folded as usual when it is not. What was set aside
is durable before `last` counts it, and `last` before the cursor.

Set-aside commits are folded late: other streams of the shard have moved a document's `_pos` beyond
them by then. So they have an entry in `_pos` of their own, `log:shard~first`, which says how far of
the commits parked at `first` the document has come. Within its stream each commit keeps its place;
against other streams it comes late, which `Projection` allows: folds over streams must commute. The
documents then say what a rebuild would say, except for what was evicted. One case is not covered: a
process that was frozen with a *mended* fold, before the stream was parked, and wakes up after it. A
rebuild is always the clean way: a new generation has nothing parked.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from libs.common.commit import Commit, parse
from libs.common.consume import Halt
from libs.common.errors import StoreAway
from libs.common.messages import Position
from libs.common.ports import PAGE_MAX, Doc, Documents, Page, Put, Query, Scalar

PARKED = "parked"
"""One document a generation."""
SET_ASIDE = "set_aside"
"""One document a commit."""
STREAMS_MAX = 1_000
"""Streams that one generation parks; a fault in more of them is mended by a rebuild."""
TRIES_MAX = 20

Stream = tuple[str, str]
"""(log, stream)"""


class Parked(NamedTuple):
    """A stream that is or was parked; `last` is the seq of the latest commit dealt with here."""

    stream: str
    first: Position
    last: int
    open: bool
    reason: str

    @property
    def source(self) -> str:
        """Its entry in a document's `_pos`."""
        return f"{self.first.log}:{self.first.shard}~{self.first.seq}"


@dataclass(eq=False)
class Parking:
    """What one generation has set aside, as it was last read, and where it was seen to halt."""

    kind: str
    projection: str
    streams: dict[Stream, Parked] = field(default_factory=dict)
    halts: tuple[Halt, ...] = ()
    _rev: int = 0

    def holds(self, commit: Commit) -> bool:
        """Whether this commit is not folded on its way: it was or will be set aside."""
        if not self.streams:
            return False
        parked = self.streams.get((commit.log, commit.stream))
        return parked is not None and (parked.open or commit.seq <= parked.last)

    def frees(self, halt: Halt) -> bool:
        """Whether the commit that halted a shard is out of the way now."""
        parked = self.streams.get((halt.position.log, halt.stream))
        return parked is not None and (parked.open or halt.position.seq <= parked.last)

    def open(self) -> list[Parked]:
        found = [parked for parked in self.streams.values() if parked.open]
        return sorted(found, key=lambda parked: parked.first)

    def take(self, doc: Doc | None) -> None:
        if doc is not None and doc["_rev"] != self._rev:
            self._rev = doc["_rev"]
            self.halts = tuple(Halt(Position.parse(p), s, r) for p, s, r in doc["halts"])
            rows = [Parked(s, Position.parse(p), n, o, r) for s, p, n, o, r in doc["streams"]]
            self.streams = {(row.first.log, row.stream): row for row in rows}

    def put(self) -> Put:
        doc = {
            "projection": self.projection,
            "halts": [[str(halt.position), halt.stream, halt.reason] for halt in self.halts],
            "streams": [
                [row.stream, str(row.first), row.last, row.open, row.reason]
                for _, row in sorted(self.streams.items())
            ],
        }
        return Put(PARKED, self.kind, doc, self._rev)

    def done(self, stored: bool) -> None:
        """What was changed in memory and not stored is read again at the next look."""
        self._rev = self._rev + 1 if stored else 0


async def prepare(documents: Documents) -> None:
    await documents.prepare(PARKED, (("projection",),))
    await documents.prepare(SET_ASIDE, (("aside", "waits", "seq"),))


async def look(documents: Documents, parkings: Collection[Parking]) -> None:
    """Reads what was decided about these generations: one question for all."""
    found = await documents.get(PARKED, [parking.kind for parking in parkings])
    for parking in parkings:
        parking.take(found.get(parking.kind))


async def change(documents: Documents, parking: Parking, do: Callable[[], bool]) -> bool:
    """Does something to what is stored, of which `do` sees the latest; it says whether anything is
    to be stored. Whether it was."""
    for _ in range(TRIES_MAX):
        stored = False
        try:
            if not do():
                return False
            (stored,) = await documents.put([parking.put()])
        finally:
            parking.done(stored)
        if stored:
            return True
        await look(documents, [parking])
    raise StoreAway("what is parked is fought over")


async def set_aside(documents: Documents, parking: Parking, commits: Sequence[Commit]) -> None:
    """Keeps these commits of parked streams. Raises StoreAway when a stream has been freed
    meanwhile: its commits are to be delivered again, and folded."""
    fresh = [c for c in commits if c.seq > parking.streams[c.log, c.stream].last]
    if not fresh:
        return
    await documents.put([_aside(parking, commit) for commit in fresh])

    def count() -> bool:
        for commit in fresh:
            parked = parking.streams[commit.log, commit.stream]
            if commit.seq > parked.last:
                if not parked.open:
                    raise StoreAway("a parked stream was freed")
                parking.streams[commit.log, commit.stream] = parked._replace(last=commit.seq)
        return True

    await change(documents, parking, count)


def _aside(parking: Parking, commit: Commit) -> Put:
    aside = _name(parking, commit.log, commit.stream)
    doc = {"aside": aside, "seq": commit.seq, "waits": True, "body": commit.body.decode()}
    return Put(SET_ASIDE, f"{aside}|{commit.seq:012}", doc, 0)


def _name(parking: Parking, log: str, stream: str) -> str:
    return f"{parking.kind}|{log}|{stream}"


async def note_halts(documents: Documents, parking: Parking, halts: Iterable[Halt]) -> None:
    """Writes down, for whoever asks, where a generation stands still."""
    news = [halt for halt in halts if halt not in parking.halts]

    def note() -> bool:
        known = {(halt.position.log, halt.position.shard): halt for halt in parking.halts}
        known |= {(halt.position.log, halt.position.shard): halt for halt in news}
        if tuple(known.values()) == parking.halts:
            return False
        parking.halts = tuple(known.values())
        return True

    if news:
        await change(documents, parking, note)


async def park(documents: Documents, parking: Parking, halt: Halt) -> bool:
    """From the commit that it halts at, a stream is set aside. False: it was already.
    Raises ValueError for one stream too many."""
    place = (halt.position.log, halt.stream)

    def begin() -> bool:
        parked = parking.streams.get(place)
        if parked is not None and (parked.open or halt.position.seq <= parked.last):
            return False
        if len(parking.open()) >= STREAMS_MAX:
            raise ValueError(f"{parking.kind} has parked {STREAMS_MAX} streams")
        parking.streams[place] = Parked(
            halt.stream, halt.position, halt.position.seq - 1, True, halt.reason
        )
        parking.halts = tuple(known for known in parking.halts if known != halt)
        return True

    return await change(documents, parking, begin)


async def free(documents: Documents, parking: Parking, parked: Parked) -> bool:
    """The stream flows again. False: more was set aside meanwhile."""
    place = (parked.first.log, parked.stream)

    def end() -> bool:
        if parking.streams[place].last != parked.last:
            return False
        parking.streams[place] = parked._replace(open=False)
        return True

    return await change(documents, parking, end)


async def waiting(
    documents: Documents,
    parking: Parking,
    parked: Parked,
    after: tuple[Scalar, ...] | None = None,
) -> Page:
    """A page of what waits of a parked stream, in order; `commit_of` reads one of its documents."""
    query = Query(
        where={"aside": _name(parking, parked.first.log, parked.stream), "waits": True},
        order=("seq",),
        low=parked.first.seq,
        high=parked.last,
        after=after,
        limit=PAGE_MAX,
    )
    return await documents.find(SET_ASIDE, query)


def commit_of(doc: Doc) -> Commit:
    return parse(doc["body"].encode())


async def count(documents: Documents, parking: Parking, parked: Parked) -> int:
    """How many of its commits wait."""
    page = await waiting(documents, parking, parked)
    total = len(page.docs)
    while page.next is not None:
        page = await waiting(documents, parking, parked, page.next)
        total += len(page.docs)
    return total


async def settle(documents: Documents, doc: Doc) -> None:
    """This commit waits no more; settling it twice is nothing."""
    kept = {"aside": doc["aside"], "seq": doc["seq"], "waits": False}
    await documents.put([Put(SET_ASIDE, doc["_id"], kept, doc["_rev"])])
