"""A projection that lives in one process only: folded at start, never written.

For views that open personal values (search by name) and for answers that must be as fresh as the
log itself (what a consent covers, at the door).
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Generic

from libs.common.commit import Commit
from libs.common.consume import WAIT_SECONDS, Healing, Standing, resume
from libs.common.messages import REGISTRY, Dep, Position, Recorded
from libs.common.ports import Bus, Delivery, Feed
from libs.common.sealing import Keyring
from libs.common.shapes import Placed, Projection, V, newer
from libs.common.telemetry import batch_span, trace_of

BATCH_MAX = 500


@dataclass(eq=False)
class InMemory(Generic[V]):
    """Personal fields that the projection `opens` arrive opened in the fold; what is
    forgotten stays sealed."""

    projection: Projection[V]
    keyring: Keyring
    documents: dict[str, V] = field(default_factory=dict)
    standing: Standing = field(init=False)
    partly: set[str] = field(default_factory=set)
    """Streams of a view that gates which hold what only a newer build can read."""
    _feed: Feed | None = None

    def __post_init__(self) -> None:
        self.standing = Standing(self.projection.name, self.projection.logs)

    def get(self, key: str) -> V | None:
        return self.documents.get(key)

    def values(self) -> Iterable[V]:
        return self.documents.values()

    def knows(self, stream: str) -> bool:
        """Whether all that the stream says has been heard; else its documents may allow what was
        taken back."""
        return stream not in self.partly

    def ended(self) -> float | None:
        """The monotonic instant of the last moment known at which nothing was left to fold."""
        return self._feed.ended() if self._feed is not None else None

    def reached(self, positions: Iterable[Position]) -> bool:
        return self.standing.reached(positions)

    def seen(self, log: str, shard: int) -> tuple[Dep, ...]:
        return self.standing.dep(log, shard)

    async def run(self, bus: Bus) -> None:
        """The supervised loop; goes on where it stood when it is started again."""
        healing = Healing()
        async with bus.subscribe(self.projection.logs, None) as feed:
            await resume(feed, [self.standing])
            self._feed = feed
            try:
                while True:
                    batch = await feed.batch(BATCH_MAX, WAIT_SECONDS)
                    await healing.mend(feed, [self.standing], idle=not batch)
                    if batch:
                        traces = (trace_of(delivery.commit) for delivery in batch)
                        with batch_span("project", traces, projection=self.projection.name):
                            await self._fold(batch)
            finally:
                self._feed = None

    async def _fold(self, batch: list[Delivery]) -> None:
        placed = [self._placed(delivery) for delivery in batch]
        open_one = await self._opener([p for p in placed if not isinstance(p, ValueError)])
        for delivery, places in zip(batch, placed, strict=True):
            if not self.standing.follows(delivery):
                continue
            if self.projection.gates and self._is_beyond(delivery.commit):
                self.partly.add(delivery.commit.stream)
            try:
                if isinstance(places, ValueError):
                    raise places
                for entry, key in places:
                    self._apply(open_one(entry), key)
            except ValueError as broken:  # folds are pure: failing once is failing always
                self.standing.halt(delivery, type(broken).__name__)
                continue
            self.standing.advance(delivery)
        self.standing.stored()

    async def _opener(self, placed: list[list[Placed]]) -> Callable[[Recorded[Any]], Recorded[Any]]:
        """Opens only what the projection takes: whose an event is stands in what is stored."""
        classes = self.projection.opens
        if not classes:
            return lambda entry: entry
        events = [entry.event for places in placed for entry, _ in places]
        open_event = await self.keyring.opener(events, classes, self.projection.reads)
        return lambda entry: Recorded(open_event(entry.event), *entry[1:])

    def _is_beyond(self, commit: Commit) -> bool:
        if commit.whole:
            return False
        unknown = not REGISTRY.keys() >= set(commit.types)
        return unknown or newer(commit, self.projection.hears)

    def _placed(self, delivery: Delivery) -> list[Placed] | ValueError:
        try:
            return self.projection.places(delivery.commit)
        except ValueError as broken:  # its shard halts there, once it is its turn
            return broken

    def _apply(self, entry: Recorded[Any], key: str) -> None:
        view = self.projection.fold(self.documents.get(key), entry, key)
        if view is None:
            self.documents.pop(key, None)
        else:
            self.documents[key] = view
