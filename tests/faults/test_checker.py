"""The checker finds what is broken: one broken build, or one forged history, for each rule."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from libs.common import react
from libs.common.commit import NO_PREV, Commit, Draft, encode, encode_event, shard_of
from libs.common.errors import Refused
from libs.common.handle import Answer, Ask
from libs.common.messages import Event, Position
from libs.common.ports import EventStore, Inserted
from libs.common.project import Generation
from libs.common.service import Running
from services.referrals.decider import referrals
from tests.common.beads import SOMEBODY
from tests.common.topics import MemoryBus
from tests.faults.beadwork import Build, honestly, played
from tests.faults.checker import judge
from tests.faults.evidence import Evidence
from tests.faults.history import FAIL, OK, Heard, Operation
from tests.faults.laws import broken_laws
from tests.referrals import histories

WHO = ("a", "b", "c")


async def rules(evidence: Evidence) -> set[str]:
    return {finding.rule for finding in (await judge(evidence)).findings}


async def test_nothing_is_found_where_nothing_is_broken(tmp_path: Path) -> None:
    verdict = await judge(await played(tmp_path, Build()))
    assert verdict.findings == []
    assert verdict.figures["ok"] == 20
    assert verdict.figures["unknown"] == verdict.figures["stored unknown"] == 1
    assert verdict.figures["by policies"] == 5


# --- broken builds -------------------------------------------------------------------------------


@dataclass(eq=False)
class Forgetful:
    """Acknowledges before it writes, and then the power goes: the last thing is never written."""

    store: EventStore
    written: int = 0

    async def insert(self, rows: Sequence[Commit]) -> Inserted:
        kept = [row for row in rows if row.command != UUID(int=5)]
        outcome = await self.store.insert(kept) if kept else Inserted(0)
        return Inserted(len(rows)) if outcome.error is None else outcome

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)


async def test_an_acknowledgement_before_the_write_is_found(tmp_path: Path) -> None:
    build = Build(store=Forgetful, whole=False)
    found = await rules(await played(tmp_path, build))
    assert "acknowledged" in found


async def test_a_command_carried_out_anew_on_retry_is_found(tmp_path: Path) -> None:
    async def anew(running: Running, ask: Ask[Any]) -> Answer:
        """Idempotency keys are ignored."""
        stream = f"string/{uuid4()}"
        return await running.handle(replace(ask, id=uuid4(), stream=stream))

    assert {"acknowledged", "unasked"} <= await rules(await played(tmp_path, Build(say=anew)))


async def test_a_refusal_of_what_was_stored_is_found(tmp_path: Path) -> None:
    async def refusing(running: Running, ask: Ask[Any]) -> Answer:
        answer = await honestly(running, ask)
        if ask.id == UUID(int=22):
            raise Refused("late-no", "No, after all.")
        return answer

    assert await rules(await played(tmp_path, Build(say=refusing))) == {"refused"}


@dataclass(eq=False)
class Skipping(MemoryBus):
    """A relay's bus that loses the second record of a shard and says that it has it."""

    async def publish(self, log: str, shard: int, commits: Sequence[Commit]) -> int:
        for commit in commits:
            if commit.seq != 2:
                await super().publish(log, shard, [commit])
        return commits[0].seq - 1


async def test_a_relay_that_skips_a_record_is_found(tmp_path: Path) -> None:
    found = await rules(await played(tmp_path, Build(bus=Skipping(), whole=False)))
    assert {"topic", "read model"} <= found


async def test_a_projection_that_folds_twice_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    once = Generation.fold

    def twice(self: Any, commit: Commit, places: Sequence[Any]) -> Any:
        return once(self, commit, [*places, *places] if commit.seq == 2 else places)

    monkeypatch.setattr(Generation, "fold", twice)
    assert await rules(await played(tmp_path, Build())) == {"read model"}


async def test_a_policy_that_asks_by_chance_ids_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def by_chance(_cause: Position, _policy: str, _stream: str) -> UUID:
        return uuid4()

    monkeypatch.setattr(react, "command_id", by_chance)
    assert await rules(await played(tmp_path, Build())) == {"effect"}


# --- forged evidence -----------------------------------------------------------------------------

Forge = Callable[[Evidence], Evidence]


def _with_log(evidence: Evidence, commits: Sequence[Commit]) -> Evidence:
    return replace(evidence, logs={"beads": commits})


def lost(evidence: Evidence) -> Evidence:
    """The last commit of a shard is gone, as if it had never been."""
    log = evidence.logs["beads"]
    mine = next(c for c in reversed(log) if c.stream.startswith("string/"))
    return _with_log(evidence, [c for c in log if c.place != mine.place or c.seq < mine.seq])


def doubled(evidence: Evidence) -> Evidence:
    """The same thing once more, in a commit of its own at the end of its shard."""
    log = list(evidence.logs["beads"])
    place = max(n for n, c in enumerate(log) if c.stream.startswith("string/"))
    last = next(n for n in range(len(log) - 1, -1, -1) if log[n].shard == log[place].shard)
    head, twin = log[last], log[place]
    events = tuple(encode_event(entry.event) for entry in twin.recorded)
    draft = Draft(twin.stream, twin.last, events, twin.types, twin.command, twin.command, SOMEBODY)
    log.insert(last + 1, encode(draft, "beads", head.seq + 1, head.hash, head.at))
    return _with_log(evidence, log)


def reordered(evidence: Evidence) -> Evidence:
    """Two things of one shard, told in the other order."""
    found: dict[int, Operation] = {}
    operations = list(evidence.operations)
    shards = {c.command: c.shard for c in evidence.logs["beads"]}
    for number, operation in enumerate(operations):
        if len(operation.attempts) != 1 or operation.outcome != OK:
            continue
        shard = shards[evidence.command_of(operation)]
        if shard in found:
            first, (mine,) = found[shard], operation.attempts
            (other,) = first.attempts
            exchanged = mine._replace(invoked=other.invoked, ended=other.ended)
            operations[number] = replace(operation, attempts=[exchanged])
            other = other._replace(invoked=mine.invoked, ended=mine.ended)
            operations[operations.index(first)] = replace(first, attempts=[other])
            break
        found[shard] = operation
    return replace(evidence, operations=operations)


def reading(*versions: int, at_least: int | None = None) -> Forge:
    """One reader is told these versions of a stream, one after the other."""

    def forge(evidence: Evidence) -> Evidence:
        start = evidence.operations[-1].attempts[-1]
        made = [
            replace(
                Operation(
                    1_000 + n, 9, ("a", "b", "c"), "GET", "/v1/x", None, "string/a", at_least
                ),
                attempts=[start._replace(invoked=start.invoked + n, heard=Heard(OK, version=v))],
            )
            for n, v in enumerate(versions)
        ]
        return replace(evidence, operations=[*evidence.operations, *made])

    return forge


def told_elsewhere(evidence: Evidence) -> Evidence:
    """The reply names another position than the commit has."""
    operations = list(evidence.operations)
    (attempt,) = operations[0].attempts
    heard = attempt.heard._replace(position="beads:1:999")
    operations[0] = replace(operations[0], attempts=[attempt._replace(heard=heard)])
    return replace(evidence, operations=operations)


def refused_all(evidence: Evidence) -> Evidence:
    operations = [
        replace(one, attempts=[a._replace(heard=Heard(FAIL, 409)) for a in one.attempts])
        for one in evidence.operations
    ]
    return replace(evidence, operations=operations)


def topic_of_another(evidence: Evidence) -> Evidence:
    """One record of the topic is not what the store has."""
    topic = list(evidence.topics["beads"])
    topic[0] = replace(topic[0], body=topic[1].body)
    return replace(evidence, topics={"beads": topic})


FORGED: list[tuple[Forge, set[str]]] = [
    (lost, {"acknowledged", "topic", "read model"}),
    (doubled, {"acknowledged", "whole log"}),
    (reordered, {"real time"}),
    (reading(2, 3, 1), {"read"}),
    (reading(77), {"read"}),
    (reading(2, at_least=3), {"read"}),
    (told_elsewhere, {"answer"}),
    (refused_all, {"refused"}),
    (topic_of_another, {"topic"}),
]


async def test_every_forged_piece_of_evidence_is_found(tmp_path: Path) -> None:
    evidence = await played(tmp_path, Build())
    assert await rules(reading(1, 2, 2, 5, at_least=1)(evidence)) == set(), "an honest reader"
    for forge, wanted in FORGED:
        assert wanted <= await rules(forge(evidence)), forge


def test_a_law_broken_in_the_middle_of_a_stream_is_found() -> None:
    """A referral is sent to an agency that the family never agreed to."""
    whole = histories.history(*histories.SENT)
    unasked = [event for event in whole if event.type != "referral.ready"]
    assert list(broken_laws(referrals, _commits(whole))) == []
    ((position, law),) = broken_laws(referrals, _commits(unasked))
    assert position.seq == len(unasked)
    assert law == "referral.sent when it was AwaitingConsent"


def _commits(events: Sequence[Event]) -> list[Commit]:
    stream, found, prev = "referral/ref_1", list[Commit](), NO_PREV
    for number, event in enumerate(events):
        draft = Draft(
            stream, number, (encode_event(event),), (event.type,), uuid4(), uuid4(), SOMEBODY
        )
        found.append(encode(draft, "referrals", number + 1, prev, histories.MONDAY))
        prev = found[-1].hash
    assert {commit.shard for commit in found} == {shard_of(stream)}
    return found
