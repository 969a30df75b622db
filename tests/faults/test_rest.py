"""What must be so at rest is missed where it is not: one broken build, or one forgery, for each."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from libs.common import react
from libs.common.commit import NO_PREV, Draft, encode, encode_event, shard_of
from libs.common.consume import CURSORS
from libs.common.ports import Documents, Keys, Put, WrappedKey
from libs.common.sealing import key_id
from libs.common.shapes import Policy
from tests.common.beads import SOMEBODY, STAMP, BeadBoxed, Tally, boxing, tallies
from tests.common.broken import behind_its_back
from tests.common.doors import ROOMS
from tests.faults.beadwork import Build, played
from tests.faults.checker import judge
from tests.faults.evidence import Evidence

counted = replace(tallies, name="counted")
MINDFUL = replace(ROOMS, policies=(replace(boxing, memory=counted),))
"""Its policy remembers, and asks the same."""
MEMORY = "policy_boxing_counted_v1"


async def rules(evidence: Evidence) -> set[str]:
    return {finding.rule for finding in (await judge(evidence)).findings}


async def test_a_policy_with_a_memory_is_judged_and_its_memory_too(tmp_path: Path) -> None:
    evidence = await played(tmp_path, Build(rooms=MINDFUL))
    assert await rules(evidence) == set()
    kinds = evidence.kinds["beads"]
    (key, doc), *others = kinds[MEMORY].items()
    wrong = {**kinds, MEMORY: {key: {**doc, "count": doc["count"] + 1}, **dict(others)}}
    assert await rules(replace(evidence, kinds={"beads": wrong})) == {"read model"}


@pytest.mark.parametrize("policies", [ROOMS.policies, MINDFUL.policies], ids=["plain", "mindful"])
async def test_a_policy_that_stands_before_it_has_asked_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, policies: tuple[Policy[Tally], ...]
) -> None:
    """Its process died after the cursor was stored and before a command was answered."""
    one = react._one

    async def dying(policy: str, cause: Any, stream: str, *rest: Any) -> None:
        if stream != "box/green":
            await one(policy, cause, stream, *rest)

    monkeypatch.setattr(react, "_one", dying)
    build = Build(rooms=replace(ROOMS, policies=policies))
    assert await rules(await played(tmp_path, build)) == {"effect"}


@dataclass(eq=False)
class CursorFirst:
    """Its first documents are lost after it has said that they are there."""

    documents: Documents
    lost: bool = False

    async def put(self, puts: Sequence[Put]) -> list[bool]:
        if not self.lost and any(put.kind.startswith("tallies") for put in puts):
            self.lost = True
            return [True for _ in puts]
        return await self.documents.put(puts)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.documents, name)


async def test_a_cursor_that_was_stored_before_its_documents_is_found(tmp_path: Path) -> None:
    assert await rules(await played(tmp_path, Build(documents=CursorFirst))) == {"read model"}


@dataclass(eq=False)
class Hasty:
    """Says that a student's key is durable, and never writes it."""

    keys: Keys

    async def ensure(
        self, offers: Mapping[tuple[str, str], bytes]
    ) -> dict[tuple[str, str], WrappedKey]:
        if all(subject == "stu_1" for subject, _ in offers):
            return {key: WrappedKey(key_id(*key), wrapped) for key, wrapped in offers.items()}
        return await self.keys.ensure(offers)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.keys, name)


async def test_a_key_that_was_not_durable_before_the_commit_is_found(tmp_path: Path) -> None:
    assert await rules(await played(tmp_path, Build(keys=Hasty))) == {"sealed"}


async def test_a_cursor_in_another_history_is_found(tmp_path: Path) -> None:
    evidence = await played(tmp_path, Build())
    kinds = evidence.kinds["beads"]
    key, doc = next(iter(kinds[CURSORS].items()))
    for change in ({"hash": NO_PREV}, {"seq": doc["seq"] + 1}):
        moved = {**kinds, CURSORS: {**kinds[CURSORS], key: {**doc, **change}}}
        assert await rules(replace(evidence, kinds={"beads": moved})) == {"cursor"}


async def test_a_record_of_a_shard_that_the_store_does_not_have_is_found(tmp_path: Path) -> None:
    evidence = await played(tmp_path, Build())
    used = {commit.shard for commit in evidence.logs["beads"]}
    stream = next(name for name in map("box/{}".format, range(100)) if shard_of(name) not in used)
    event = BeadBoxed(colour="x")
    ident = evidence.logs["beads"][0].command
    draft = Draft(stream, 0, (encode_event(event),), (event.type,), ident, ident, SOMEBODY)
    ghost = encode(draft, "beads", 1, NO_PREV, STAMP.at)
    topics = {"beads": [*evidence.topics["beads"], ghost]}
    assert await rules(replace(evidence, topics=topics)) == {"topic"}


async def test_what_jumps_and_comes_again_is_no_finding(tmp_path: Path) -> None:
    """A relay that was frozen wakes and sends once more what others have sent long ago."""
    evidence = await played(tmp_path, Build())
    topic = list(evidence.topics["beads"])
    shard = next(c.shard for c in topic if c.seq == 2)
    ours = [c for c in topic if c.shard == shard]
    others = [c for c in topic if c.shard != shard]
    woken = [ours[0], *ours[1:2], ours[0], *ours[2:], ours[1], *ours]
    assert await rules(replace(evidence, topics={"beads": [*others, *woken]})) == set()
    early = [ours[0], *ours[2:], *ours[1:]]
    assert await rules(replace(evidence, topics={"beads": [*others, *early]})) == set()
    assert await rules(replace(evidence, topics={"beads": [*others, *early[:-1]]})) == {"topic"}


def misfiled(folder: Path) -> None:
    """An index says another stream than the bytes; whoever asks by stream finds nothing."""
    with behind_its_back(folder, "beads") as connection:
        connection.execute("UPDATE commits SET stream = 'string/lost' WHERE rowid = 3")


def holed(folder: Path) -> None:
    """A commit is gone, and what lay behind it is still there."""
    with behind_its_back(folder, "beads") as connection:
        connection.execute("DELETE FROM commits WHERE seq = 2")


@pytest.mark.parametrize("spoil", [misfiled, holed])
async def test_rows_that_do_not_lie_as_they_should_are_found(
    tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    assert "whole log" in await rules(await played(tmp_path, Build(spoil=spoil)))
