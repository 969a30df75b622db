"""Judges a run by its evidence alone: the history, the stores, the topics. It trusts nobody.

Each rule yields findings; none at all is the promise kept. Everything is sorted or counted, so
that a million operations take seconds. A run that met too little trouble proves nothing: `void`.
"""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

from libs.common.commit import Commit
from libs.common.errors import Fork
from libs.common.messages import Position, Role
from libs.common.ports import LOG_BATCH_MAX, Row
from libs.common.react import command_id
from libs.common.replay import Said, as_of, said, said_by
from libs.common.verify import Broken, verify
from tests.faults.evidence import Evidence, live_kind
from tests.faults.history import AWAY, FAIL, OK, UNKNOWN, Attempt, Operation
from tests.faults.laws import broken_laws
from tests.faults.rest import cursors, readers, unasked_for, unopened

POLICY = "policy:"


class Finding(NamedTuple):
    """A promise that was broken: which rule, and where (positions and operation numbers only)."""

    rule: str
    what: str


class Asked(NamedTuple):
    """An operation that is a command, its id, and where the log has it."""

    operation: Operation
    command: UUID
    commits: tuple[Commit, ...]


@dataclass(frozen=True)
class Shelf:
    """A log that was read out before, as an event store that is only read."""

    shards: Mapping[int, Sequence[Commit]]

    async def log(self, shard: int, after: int, limit: int) -> list[Commit]:
        """By place, not by seq: a hole or a double must be met as it lies there."""
        lying = self.shards.get(shard, ())
        if not after:
            return list(lying[:limit])
        if len(lying) >= after and lying[after - 1].seq == after:
            return list(lying[after : after + limit])
        last = max((n for n, commit in enumerate(lying) if commit.seq == after), default=len(lying))
        return list(lying[last + 1 : last + 1 + limit])

    async def rows(self, shard: int, after: int, limit: int = LOG_BATCH_MAX) -> list[Row]:
        return [Row.of(commit) for commit in await self.log(shard, after, limit)]


class Verdict(NamedTuple):
    findings: list[Finding]
    figures: Mapping[str, int]


async def judge(evidence: Evidence) -> Verdict:
    asked = _asked(evidence)
    findings = [finding for rule in RULES for finding in rule(evidence, asked)]
    findings += [finding async for finding in _whole(evidence)]
    findings += [finding async for finding in _at_rest(evidence)]
    return Verdict(findings, _figures(evidence, asked))


def _asked(evidence: Evidence) -> list[Asked]:
    by_command: dict[UUID, list[Commit]] = {}
    for commits in evidence.logs.values():
        for commit in commits:
            by_command.setdefault(commit.command, []).append(commit)
    found = []
    for operation in evidence.operations:
        if operation.key is not None:
            command = evidence.command_of(operation)
            found.append(Asked(operation, command, tuple(by_command.get(command, ()))))
    return found


# --- what callers were told ----------------------------------------------------------------------


def outcomes(_: Evidence, asked: Sequence[Asked]) -> Iterator[Finding]:
    """ok: exactly once. fail: never. unknown: at most once."""
    for operation, _command, commits in asked:
        outcome, times = operation.outcome, len(commits)
        where = f"operation {operation.number}: {', '.join(str(c.position) for c in commits)}"
        if outcome == OK and times != 1:
            yield Finding("acknowledged", f"stored {times} times, {where}")
        elif outcome == FAIL and times:
            yield Finding("refused", f"stored all the same, {where}")
        elif times > 1:
            yield Finding("unknown", f"stored {times} times, {where}")


def unasked(evidence: Evidence, asked: Sequence[Asked]) -> Iterator[Finding]:
    """What somebody is said to have asked was asked by an operation of the history."""
    known = {one.command for one in asked}
    for commit in (c for commits in evidence.logs.values() for c in commits):
        if commit.content["actor"]["role"] != Role.SYSTEM and commit.command not in known:
            yield Finding("unasked", f"{commit.position} belongs to no operation")


def answers(_: Evidence, asked: Sequence[Asked]) -> Iterator[Finding]:
    """What a reply says of its commit is so, and every reply to one command says the same."""
    for operation, _command, commits in asked:
        told = [one.heard for one in operation.attempts if one.heard.outcome == OK]
        if sum(not heard.replayed for heard in told) > 1:
            yield Finding("answer", f"operation {operation.number}: carried out anew")
        for heard in told if len(commits) == 1 else ():
            commit = commits[0]
            if heard.position != str(commit.position) or heard.version != commit.last:
                yield Finding("answer", f"operation {operation.number}: not {commit.position}")
            if (heard.result or None) != (commit.content.get("result") or None):
                yield Finding("answer", f"operation {operation.number}: another result")


def real_time(_: Evidence, asked: Sequence[Asked]) -> Iterator[Finding]:
    """What was acknowledged before another thing was asked comes before it in their shard."""
    shards: dict[tuple[str, int], list[tuple[int, Operation, Attempt]]] = {}
    for operation, _command, commits in asked:
        answered = operation.answered
        for commit in commits[:1] if answered is not None else ():
            assert answered is not None
            shards.setdefault(commit.place, []).append((commit.seq, operation, answered))
    for place, entries in sorted(shards.items()):
        latest, whose = -1, 0
        for seq, operation, answered in sorted(entries, key=lambda entry: entry[0]):
            if answered.ended is not None and answered.ended < latest:
                where = f"{place[0]}:{place[1]}:{seq}"
                what = f"operation {operation.number} ({where}) was told before {whose} was asked"
                yield Finding("real time", what)
            invoked = operation.attempts[0].invoked
            if invoked > latest:
                latest, whose = invoked, operation.number


def reads(evidence: Evidence, _: Sequence[Asked]) -> Iterator[Finding]:
    """A read tells a prefix of the stream, never less than was asked for, and never less than the
    same reader was told before."""
    ends: dict[str, set[int]] = {}
    for commits in evidence.logs.values():
        for commit in commits:
            ends.setdefault(commit.stream, set()).add(commit.last)
    before: dict[tuple[int, str], int] = {}
    for operation in sorted(evidence.operations, key=lambda one: one.attempts[0].invoked):
        answered, stream = operation.answered, operation.stream
        if stream is None or answered is None or answered.heard.version is None:
            continue
        version, number = answered.heard.version, operation.number
        if version not in ends.get(stream, ()):
            yield Finding("read", f"operation {number}: version {version} is no end of a commit")
        if version < (operation.at_least or 0):
            yield Finding("read", f"operation {number}: less than was asked for")
        session = (operation.client, stream)
        if version < before.get(session, 0):
            yield Finding("read", f"operation {number}: less than before")
        before[session] = version


# --- what lies there -----------------------------------------------------------------------------


async def _whole(evidence: Evidence) -> AsyncIterator[Finding]:
    """Dense, chained, every stream dense, every command once; and so it lies there, row by row."""
    for name, commits in evidence.logs.items():
        shelf = Shelf(_by_shard(commits))
        try:
            await verify(shelf)  # type: ignore[arg-type] # it only reads `rows`
        except Broken as broken:
            yield Finding("whole log", f"{name}: {broken}")
    for wrong in evidence.unsound:
        yield Finding("whole log", wrong)


def topics(evidence: Evidence, _: Sequence[Asked]) -> Iterator[Finding]:
    """What a reader of the topic keeps is the store's log, byte for byte: it skips what it has seen
    and drops what jumps, in the hope that what is missing comes later."""
    for name, commits in evidence.logs.items():
        delivered, stored = _by_shard(evidence.topics.get(name, ())), _by_shard(commits)
        for shard in sorted(delivered.keys() | stored.keys()):
            lying = stored.get(shard, [])
            reached, told = 0, {commit.seq: commit.hash for commit in lying}
            for commit in delivered.get(shard, ()):
                if told.get(commit.seq) != commit.hash:
                    yield Finding("topic", f"{commit.position} is not the store's")
                    break
                reached += commit.seq == reached + 1
            else:
                if reached != len(lying):
                    yield Finding("topic", f"{name}:{shard} ends at {reached}, not {len(lying)}")


def effects(evidence: Evidence, _: Sequence[Asked]) -> Iterator[Finding]:
    """A policy asks a stream once for one cause, by an id that follows from both; and the cause is
    there, earlier."""
    places = {c.position: c for commits in evidence.logs.values() for c in commits}
    for commit in (c for commits in evidence.logs.values() for c in commits):
        actor = str(commit.content["actor"]["sub"])
        if not actor.startswith(POLICY):
            continue
        cause = Position.parse(commit.content["cause"])
        wanted = command_id(cause, actor.removeprefix(POLICY), commit.stream)
        if wanted != commit.command:
            yield Finding("effect", f"{commit.position} does not follow from {cause}")
        if cause not in places or places[cause].at >= commit.at:
            yield Finding("effect", f"{commit.position} is not later than its cause {cause}")


def folds(evidence: Evidence, _: Sequence[Asked]) -> Iterator[Finding]:
    """The rules' own memory can be folded over every prefix, and breaks no law on the way."""
    for rooms in evidence.rooms:
        streams: dict[str, list[Commit]] = {}
        for commit in evidence.logs[rooms.name]:
            streams.setdefault(commit.stream, []).append(commit)
        deciders = {decider.category: decider for decider in rooms.deciders}
        for stream, commits in streams.items():
            decider = deciders[stream.partition("/")[0]]
            for position, law in broken_laws(decider, commits):
                yield Finding("law", f"{position}: {law}")


async def _at_rest(evidence: Evidence) -> AsyncIterator[Finding]:
    """Every read model is what its log folds to, two readers could not tell them apart; and what
    must hold once nothing moves any more."""
    shelves = {name: Shelf(_by_shard(commits)) for name, commits in evidence.logs.items()}
    folded: dict[str, Said] = {}
    for rooms in evidence.rooms:
        name, kinds, kept = rooms.name, evidence.kinds[rooms.name], readers(rooms)
        try:
            folded[name] = await as_of(shelves, [one for one, _ in kept], None)  # type: ignore[arg-type] # only `log`
        except Fork as fork:
            yield Finding("read model", f"{name}: nothing to fold, {fork}")
            return
        for projection, its_kind in kept:
            kind = its_kind or live_kind(kinds, projection.name)
            docs = kinds.get(kind, {}) if kind else {}
            if said(folded[name][projection.name]) != said_by(docs):
                yield Finding("read model", f"{name}.{kind or projection.name}")
    for found in (*cursors(evidence), *unopened(evidence), *unasked_for(evidence, folded)):
        yield Finding(*found)


def _by_shard(commits: Sequence[Commit]) -> dict[int, list[Commit]]:
    found: dict[int, list[Commit]] = {}
    for commit in commits:
        found.setdefault(commit.shard, []).append(commit)
    return found


# --- figures -------------------------------------------------------------------------------------


def _figures(evidence: Evidence, asked: Sequence[Asked]) -> dict[str, int]:
    counts = Counter(
        attempt.heard.outcome for one in evidence.operations for attempt in one.attempts
    )
    commits = [c for found in evidence.logs.values() for c in found]
    return {
        "operations": len(evidence.operations),
        "ok": counts[OK],
        "fail": counts[FAIL],
        "unknown": counts[UNKNOWN],
        "away": counts[AWAY],
        "stored unknown": sum(map(_stored_unknown, asked)),
        "commits": len(commits),
        "by policies": sum(c.content["actor"]["sub"].startswith(POLICY) for c in commits),
    }


def _stored_unknown(asked: Asked) -> bool:
    """Whether an attempt whose outcome was unknown had in fact been stored: nobody was told so
    afresh, and it is there."""
    operation = asked.operation
    lost = any(one.heard.outcome == UNKNOWN for one in operation.attempts)
    afresh = any(one.heard.outcome == OK and not one.heard.replayed for one in operation.attempts)
    return lost and not afresh and bool(asked.commits)


Rule = Callable[[Evidence, Sequence[Asked]], Iterator[Finding]]
RULES: tuple[Rule, ...] = (
    outcomes,
    unasked,
    answers,
    real_time,
    reads,
    topics,
    effects,
    folds,
)
