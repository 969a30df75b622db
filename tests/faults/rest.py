"""What must be so once all has come to rest: nothing is left to be asked, every reader stands in
this history, and whatever was sealed can be opened.

These say what a kill in the wrong moment would leave behind for ever, and nobody would be told.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from libs.common.commit import Commit
from libs.common.consume import CURSORS
from libs.common.errors import Refused
from libs.common.messages import Actor, Command, Position, Recorded, Role, Stamp, View
from libs.common.react import Reacting, command_id
from libs.common.replay import Said
from libs.common.service import Rooms
from libs.common.shapes import Policy, Projection, types_of
from tests.faults.evidence import Evidence

Found = tuple[str, str]
"""(rule, what was found)"""


def readers(rooms: Rooms) -> list[tuple[Projection[Any], str | None]]:
    """Whatever a service folds into documents, and the kind it is kept under; None: the live
    generation's, by the alias."""
    found: list[tuple[Projection[Any], str | None]] = []
    found += [(projection, None) for projection in (*rooms.projections, rooms.clocks)]
    for policy in rooms.policies:
        memory = Reacting(policy).memory
        if memory is not None:
            found.append((memory.projection, memory.kind))
    assert len({projection.name for projection, _ in found}) == len(found), "one name, two readers"
    return found


def cursors(evidence: Evidence) -> Iterator[Found]:
    """A reader stands at a commit of the log, the very one that it says."""
    hashes = {c.position: c.hash for commits in evidence.logs.values() for c in commits}
    for service, kinds in evidence.kinds.items():
        for key, doc in kinds.get(CURSORS, {}).items():
            if "seq" not in doc:
                continue  # where a policy began to ask
            log, _, shard = key.partition("|")[2].partition(":")
            there = hashes.get(Position(log, int(shard), doc["seq"]))
            if doc["hash"] != there:
                yield "cursor", f"{service}: {key} stands at {doc['seq']} of another history"


def unopened(evidence: Evidence) -> Iterator[Found]:
    """A commit is stored when its keys are durable, not before. Nobody is erased in these runs."""
    for position in evidence.unreadable:
        yield "sealed", f"{position} holds what no key opens"


def unasked_for(evidence: Evidence, said: Mapping[str, Said]) -> Iterator[Found]:
    """For each cause a policy's command is in the log, or it would change nothing.

    The rules are asked about the end, with the memory of the end, so it holds for loads in which
    nothing that a policy has done is undone by later news: nobody reopens, nobody comes back.
    """
    there = {c.command for commits in evidence.logs.values() for c in commits}
    for rooms in evidence.rooms:
        resting = _Resting.of(rooms, evidence.logs[rooms.name])
        for policy in rooms.policies:
            views = said[rooms.name][policy.memory.name] if policy.memory else {}
            for commit in _heard(policy, evidence.logs):
                for entry, view in _seen(policy, commit, views):
                    for stream, command in policy.asks(entry, view):
                        asked = command_id(commit.position, policy.name, stream)
                        if asked not in there and resting.would_change(stream, command, commit):
                            yield "effect", f"{policy.name} never asked after {commit.position}"


class _Resting:
    """Where every stream of a service ended."""

    def __init__(self, rooms: Rooms) -> None:
        self.deciders = {decider.category: decider for decider in rooms.deciders}
        self.states: dict[str, Any] = {}

    @classmethod
    def of(cls, rooms: Rooms, commits: Sequence[Commit]) -> "_Resting":
        made = cls(rooms)
        for commit in commits:
            decider = made.deciders[commit.stream.partition("/")[0]]
            state = made.states.get(commit.stream, decider.initial)
            events = [entry.event for entry in commit.recorded]
            made.states[commit.stream] = decider.fold(events, state)
        return made

    def would_change(self, stream: str, command: Command, cause: Commit) -> bool:
        decider = self.deciders[stream.partition("/")[0]]
        stamped = command.stamped(Stamp(cause.at, Actor("policy:", Role.SYSTEM, "district")))
        try:
            return bool(decider.decide(self.states.get(stream, decider.initial), stamped))
        except Refused:
            return False


def _heard(policy: Policy[Any], logs: Mapping[str, Sequence[Commit]]) -> Iterator[Commit]:
    heard = types_of(policy.hears)
    for log in policy.logs:
        yield from (commit for commit in logs[log] if not heard.isdisjoint(commit.types))


def _seen(
    policy: Policy[Any], commit: Commit, views: Mapping[str, View]
) -> Iterator[tuple[Recorded[Any], View | None]]:
    if policy.memory is None:
        yield from ((entry, None) for entry in commit.recorded)
        return
    for entry, key in policy.memory.places(commit):
        yield entry, views.get(key)
