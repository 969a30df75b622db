"""What must be true of a world once its weather has cleared; trusts only bytes, answers and words.

Each rule yields one line for each broken promise. None of them asks the machinery that it judges.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, NamedTuple
from uuid import UUID

import orjson

from libs.common.commit import Commit, shard_of
from libs.common.handle import Answer, Ask
from libs.common.messages import Recorded
from libs.common.ports import SHARDS
from libs.common.shapes import Projection
from tests.common.beads import tallies
from tests.faults.hosts import Doors
from tests.faults.two_logs import BEADS, BOX_MAX, BOXES, balances, box_of, clocks

FIRST_PREV = "0" * 64


class Stored(NamedTuple):
    """A commit as its bytes tell it."""

    log: str
    shard: int
    body: Mapping[str, Any]
    commit: Commit

    @property
    def place(self) -> str:
        return f"{self.log}:{self.shard:02}:{self.body['seq']}"


@dataclass(eq=False)
class Told:
    """What clients were told: by command, the log and the answer; and those that got a no."""

    answers: dict[UUID, tuple[str, Ask[Any], Answer]] = field(default_factory=dict)
    denied: dict[UUID, str] = field(default_factory=dict)
    asked: set[UUID] = field(default_factory=set)
    wrong: list[str] = field(default_factory=list)
    """Answers that contradict an earlier one."""
    unknown: int = 0


def findings(doors: Doors, told: Told) -> Iterator[str]:
    logs = {name: _read(name, store.oplog) for name, store in doors.stores.items()}
    for name, log in logs.items():
        yield from _chain(name, log)
        yield from _streams(log)
        yield from _topic(name, log, doors.bus.topics)
    yield from told.wrong
    yield from _answers(logs, told)
    yield from _drops(logs)
    yield from _knots(logs[BEADS])
    yield from _times(logs)
    for owner, projection in ((BEADS, tallies), (BEADS, clocks), (BOXES, balances)):
        yield from _view(doors, owner, projection)


def _read(log: str, rows: Sequence[Commit]) -> list[Stored]:
    return [Stored(log, row.shard, orjson.loads(row.body), row) for row in rows]


def _chain(name: str, log: Sequence[Stored]) -> Iterator[str]:
    """Dense and chained in every shard, by the hash of the bytes."""
    ends = dict.fromkeys(range(SHARDS), (0, FIRST_PREV, ""))
    for one in log:
        seq, prev, at = ends[one.shard]
        body = one.body
        if (body["log"], body["shard"]) != (name, shard_of(body["stream"])):
            yield f"{one.place} lies in a shard that is not its own"
        if body["seq"] != seq + 1:
            yield f"{one.place} comes after {seq}: the log is not dense"
        if body["prev"] != prev:
            yield f"{one.place} does not name the commit before it"
        if body["at"] < at:
            yield f"{one.place} is earlier than the commit before it"
        whole = sha256(b"\x00" + one.commit.body).hexdigest()
        ends[one.shard] = (body["seq"], whole, body["at"])


def _streams(log: Sequence[Stored]) -> Iterator[str]:
    """Dense in every stream, every command once."""
    versions: Counter[str] = Counter()
    commands: Counter[str] = Counter()
    for one in log:
        body = one.body
        if body["first"] != versions[body["stream"]] + 1:
            yield f"{one.place} begins at version {body['first']} of {body['stream']}"
        versions[body["stream"]] = body["last"]
        commands[body["command"]] += 1
    for command, times in commands.items():
        if times > 1:
            yield f"command {command} is stored {times} times"


def _topic(
    name: str, log: Sequence[Stored], topics: Mapping[tuple[str, int], Sequence[Commit]]
) -> Iterator[str]:
    """Whoever skips what was seen and drops what jumps hears the whole log, byte for byte."""
    heard: dict[int, list[bytes]] = {}
    for (topic, shard), commits in topics.items():
        for commit in commits if topic == name else ():
            known = heard.setdefault(shard, [])
            if commit.seq == len(known) + 1:
                known.append(commit.body)
            elif commit.seq > len(known) + 1:
                yield f"topic {name}:{shard} jumps from {len(known)} to {commit.seq}"
            elif known[commit.seq - 1] != commit.body:
                yield f"topic {name}:{shard} tells two histories of {commit.seq}"
    for shard in range(SHARDS):
        stored = [one.commit.body for one in log if one.shard == shard]
        if heard.get(shard, []) != stored:
            count = len(heard.get(shard, []))
            yield f"topic {name}:{shard} tells {count} of {len(stored)} commits"


def _answers(logs: Mapping[str, Sequence[Stored]], told: Told) -> Iterator[str]:
    """A yes is stored once, at the place that was told; a no is stored nowhere."""
    by_command = {UUID(one.body["command"]): one for log in logs.values() for one in log}
    for command, (log, ask, answer) in told.answers.items():
        stored = by_command.get(command)
        if answer.silent:
            if stored is not None:
                yield f"{stored.place}: its command {command} was answered with silence"
        elif stored is None:
            yield f"command {command} was acknowledged at {answer.position}, and is not stored"
        elif (stored.place, stored.body["last"]) != (str(answer.position), answer.version):
            yield f"{stored.place}: its command was told {answer.position}"
        elif (stored.body["stream"], stored.log) != (ask.stream, log):
            yield f"{stored.place} is not what was asked"
    for command, why in told.denied.items():
        if command in by_command:
            yield f"{by_command[command].place}: its command was refused ({why})"
    for command, one in by_command.items():
        if one.body["actor"]["role"] != "system" and command not in told.asked:
            yield f"{one.place}: nobody asked command {command}"


def _drops(logs: Mapping[str, Sequence[Stored]]) -> Iterator[str]:
    """For each bead one drop into its box, unless the box was full."""
    drops: Counter[tuple[str, str]] = Counter()
    full: Counter[str] = Counter()
    for one in logs[BOXES]:
        full[one.body["stream"]] += 1
        if one.body["actor"]["role"] == "system":
            drops[one.body["cause"], one.body["stream"]] += 1
    strung = set()
    for one in logs[BEADS]:
        for event in one.body["events"]:
            if event["type"] == "bead.strung":
                strung.add((one.place, box_of(event["data"]["colour"])))
    for cause, box in sorted(strung):
        times = drops.pop((cause, box), 0)
        if times != 1 and not (times == 0 and full[box] == BOX_MAX):
            yield f"the bead of {cause} was dropped {times} times into {box}"
    for cause, box in drops:
        yield f"{box} got a bead that nobody strung: {cause}"


def _knots(log: Sequence[Stored]) -> Iterator[str]:
    """For each bead one knot, not before its time."""
    beads: dict[tuple[str, int], str] = {}
    knots: Counter[tuple[str, int]] = Counter()
    for one in log:
        for number, event in enumerate(one.body["events"]):
            if event["type"] == "bead.strung":
                beads[one.body["stream"], one.body["first"] + number] = one.place
            else:
                knots[one.body["stream"], event["data"]["entered"]] += 1
    for bead, place in beads.items():
        if knots[bead] != 1:
            yield f"the bead of {place} was knotted {knots[bead]} times"
    for stream, version in knots.keys() - beads.keys():
        yield f"{stream} has a knot for version {version}, which is no bead"


def _times(logs: Mapping[str, Sequence[Stored]]) -> Iterator[str]:
    """An effect is later than what it rests on."""
    at = {one.place: one.body["at"] for log in logs.values() for one in log}
    for log in logs.values():
        for one in log:
            rests = [*one.body.get("deps", ()), *filter(None, [one.body.get("cause")])]
            for rest in rests:
                if rest not in at:
                    yield f"{one.place} rests on {rest}, which is not there"
                elif at[rest] >= one.body["at"]:
                    yield f"{one.place} is not later than {rest}, on which it rests"


def _view(doors: Doors, owner: str, projection: Projection[Any]) -> Iterator[str]:
    """What is stored under the live alias says what a fold of the whole log says."""
    documents = doors.documents[owner].kinds
    alias = documents.get("aliases", {}).get(projection.name)
    if alias is None:
        yield f"view {projection.name} is not shown"
        return
    stored = documents[orjson.loads(alias[1])["live"]]
    seen = {key: orjson.loads(body) for key, (_, body) in stored.items()}
    found = {key: _plain(doc) for key, doc in seen.items() if not doc.get("_gone")}
    wanted = {
        key: orjson.loads(view.model_dump_json()) for key, view in folded(doors, projection).items()
    }
    for key in sorted(found.keys() | wanted.keys()):
        if found.get(key) != wanted.get(key):
            yield f"view {projection.name} says {found.get(key)} of {key}, not {wanted.get(key)}"


def folded(doors: Doors, projection: Projection[Any], openly: Any = None) -> dict[str, Any]:
    """The fold from zero, by a loop that has no cursor, no cache and no batch."""
    views: dict[str, Any] = {}
    for log in projection.logs:
        for commit in doors.stores[log].oplog:
            for entry in commit.recorded:
                told: Recorded[Any] = entry if openly is None else openly(entry)
                for key in projection.keys(told):
                    views[key] = projection.fold(views.get(key), told, key)
    return {key: view for key, view in views.items() if view is not None}


def _plain(doc: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in doc.items() if not name.startswith("_")}
