"""`recover`: the store from its topic, or the topic from its store, byte for byte.

Which side is short is found out shard by shard. What cannot be told apart from a second history is
refused before anything is written. It may be stopped at any moment and run again.
"""

from collections.abc import Sequence
from contextlib import AsyncExitStack

from libs.common.adapters import open_broken_store, open_bus
from libs.common.commit import Commit
from libs.common.errors import Fork, StoreAway
from libs.common.operators.compare import Apart, Topic, lacking
from libs.common.operators.console import MISUSED, NOT_WELL, WELL, Bar, Operator, no_bar
from libs.common.operators.fsck import Checked, Findings, checked
from libs.common.ports import LOG_BATCH_MAX, Bus, EventStore
from libs.common.verify import Survey, Wrong

TRIES_MAX = 5
"""For one batch, when its outcome is unknown or somebody else writes the same."""
MENDABLE = frozenset({Apart.AHEAD, Apart.GAP, Wrong.HOLE, Wrong.STREAM})
"""What a missing commit looks like. Anything else is a matter for a person."""


async def recover(operator: Operator) -> int:
    """Tells of each service in turn. Raises StoreAway, and Taken while an embedded one is running:
    it is to be stopped first."""
    settings = operator.settings
    if not settings.relayed:
        operator.say("recover: nothing is sent here, so there is no second copy to recover from")
        return MISUSED
    worst = WELL
    for rooms in operator.rooms:
        log = rooms.name
        async with AsyncExitStack() as stack:
            store = await stack.enter_async_context(
                open_broken_store(settings.store_url, log, settings.prefix)
            )
            bus = await stack.enter_async_context(open_bus(settings.bus_url, None, settings.prefix))
            bars = stack.enter_context(operator.bars())
            lines, code = await recovered(store, bus, log, operator.bar(bars, log))
        for line in lines:
            operator.say(line)
        worst = max(worst, code)
    return worst


async def recovered(
    store: EventStore, bus: Bus, log: str, bar: Bar = no_bar
) -> tuple[list[str], int]:
    """What was done, in lines, and the exit code. Raises StoreAway, or Fork when somebody writes
    another history meanwhile."""
    seen = await checked(store, bus, bus, log, [], bar)
    if _beyond_us(seen.findings):
        refused = [f"{log}: REFUSED, nothing was written", *seen.findings.lines()]
        return refused, NOT_WELL
    lines = await _mended(store, bus, log, seen, bar)
    if lines or seen.findings.found:
        seen = await checked(store, bus, bus, log, [], bar)
    lines += seen.findings.lines()
    if seen.findings.found:
        return [*lines, f"{log}: NOT well"], NOT_WELL
    return [*(lines or [f"{log}: nothing to recover"]), f"{log}: well"], WELL


def _beyond_us(findings: Findings) -> bool:
    kinds = findings.found.keys()
    return not kinds <= MENDABLE or (Wrong.STREAM in kinds and Wrong.HOLE not in kinds)


async def _mended(store: EventStore, bus: Bus, log: str, seen: Checked, bar: Bar) -> list[str]:
    topic, stored = seen.topic, seen.stored
    assert topic is not None
    needs = list(lacking(topic, stored))
    put_back = bar("back into the store", sum(len(missing) for _, missing, _ in needs))
    sent = bar("again to the topic", sum(behind for *_, behind in needs))
    lines = []
    for shard, missing, _ in needs:
        count = await _put_back(store, bus, topic, shard, frozenset(missing)) if missing else 0
        put_back(count)
        if count:
            lines.append(f"{log}:{shard:02}  {count:,} commits put back into the store")
    for shard, _, behind in needs:
        count = await _send_again(store, bus, topic, stored, shard) if behind else 0
        sent(count)
        if count:
            lines.append(f"{log}:{shard:02}  {count:,} commits sent again to the topic")
    return lines


async def _put_back(
    store: EventStore, bus: Bus, topic: Topic, shard: int, missing: frozenset[int]
) -> int:
    """The topic is read once more, as a consumer hears it. How many of them are back."""
    findings, batch, count = Findings(), list[Commit](), 0
    again = Topic(topic.log, findings.tell)
    async for record in bus.read(topic.log, shard):
        commit = again.take(shard, record.body)
        if commit is None or commit.seq not in missing:
            continue
        if findings.found or commit.hash != topic.hashes.at(shard, commit.seq):
            raise Fork(str(commit.position))
        batch.append(commit)
        if len(batch) == LOG_BATCH_MAX:
            count += await _insert(store, batch)
            batch = []
    return count + await _insert(store, batch)


async def _insert(store: EventStore, batch: Sequence[Commit]) -> int:
    count = 0
    for _ in range(TRIES_MAX):
        if not batch:
            return count
        outcome = await store.insert(batch)
        count += outcome.n
        batch = batch[outcome.n :]
        while batch and (there := await store.rows(batch[0].shard, batch[0].seq - 1, 1)):
            if there[0].seq != batch[0].seq:
                break
            if there[0].body != batch[0].body:
                raise Fork(str(batch[0].position))
            batch, count = batch[1:], count + 1  # a lost reply, or another one who recovers
    if batch:
        raise StoreAway(f"the store does not take {batch[0].position}")
    return count


async def _send_again(store: EventStore, bus: Bus, topic: Topic, stored: Survey, shard: int) -> int:
    """From the last commit that every consumer gets to, up to where the store ended when it was
    read: what comes later is the relay's. A topic that is not there is made."""
    after, end = topic.reached(shard), stored.hashes.end(shard)
    count = 0
    while after < end:
        batch = await store.log(shard, after, min(LOG_BATCH_MAX, end - after))
        if not batch:
            break
        await bus.publish(topic.log, shard, batch)
        count += len(batch)
        after = batch[-1].seq
    return count
