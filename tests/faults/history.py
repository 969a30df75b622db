"""What clients asked and heard, line by line, with monotonic times: one half of the evidence.

An operation is one command key (or one read); it may take several attempts. Each attempt is two
lines of JSON: `invoke`, and how it ended. A line that never came means unknown.

* ok: the whole reply came, 2xx. * fail: a whole reply said no, so nothing was decided.
* unknown: sent, and no whole reply. * away: 503; like unknown, but the caller was told to wait.
* unsent: no connection; nothing was sent.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic_ns
from typing import IO, Any, NamedTuple

import orjson

OK, FAIL, UNKNOWN, AWAY, UNSENT = "ok", "fail", "unknown", "away", "unsent"


class Heard(NamedTuple):
    """How an attempt ended. `position` and `version` as the reply's headers say."""

    outcome: str
    status: int = 0
    code: str = ""
    position: str | None = None
    version: int | None = None
    replayed: bool = False
    result: Any = None
    retry_after: bool = False


class Attempt(NamedTuple):
    """`ended` is None when the answer was still awaited when the run ended."""

    invoked: int
    ended: int | None
    heard: Heard


@dataclass(eq=False)
class Operation:
    """`stream` and `at_least` belong to reads: whose version is told, and the version that the
    reader had asked to see."""

    number: int
    client: int
    who: tuple[str, str, str]
    method: str
    path: str
    key: str | None
    stream: str | None = None
    at_least: int | None = None
    attempts: list[Attempt] = field(default_factory=list)

    @property
    def outcome(self) -> str:
        """ok beats all; then unknown; a fail only when every attempt was told no, or unsent."""
        heard = {attempt.heard.outcome for attempt in self.attempts}
        if OK in heard:
            return OK
        return UNKNOWN if heard & {UNKNOWN, AWAY} else FAIL

    @property
    def answered(self) -> Attempt | None:
        """The first ok."""
        return next((one for one in self.attempts if one.heard.outcome == OK), None)


class Recorder:
    """Writes the history. Lines reach the kernel one by one: a crash of the run loses none."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file: IO[bytes] = path.open("wb", buffering=0)
        self._number = 0
        self.counts: Counter[str] = Counter()
        self.statuses: Counter[int] = Counter()

    def begin(
        self,
        client: int,
        who: tuple[str, str, str],
        method: str,
        path: str,
        key: str | None = None,
        stream: str | None = None,
        at_least: int | None = None,
    ) -> int:
        self._number += 1
        words = {"client": client, "who": who, "method": method, "path": path, "key": key}
        more = {"stream": stream, "at_least": at_least}
        self._write({"e": "op", "op": self._number, **words, **more})
        return self._number

    def invoke(self, operation: int) -> None:
        self._write({"e": "invoke", "op": operation, "t": monotonic_ns()})

    def end(self, operation: int, heard: Heard) -> None:
        self.counts[heard.outcome] += 1
        self.statuses[heard.status] += 1
        self._write({"e": "end", "op": operation, "t": monotonic_ns(), "heard": heard._asdict()})

    def close(self) -> None:
        self._file.close()

    def _write(self, words: dict[str, Any]) -> None:
        self._file.write(orjson.dumps(words) + b"\n")


def read(path: Path) -> list[Operation]:
    with path.open("rb") as lines:
        return parsed(orjson.loads(line) for line in lines)


def parsed(lines: Iterable[dict[str, Any]]) -> list[Operation]:
    found: dict[int, Operation] = {}
    waiting: dict[int, int] = {}
    for line in lines:
        number = line["op"]
        match line["e"]:
            case "op":
                rest = {name: line[name] for name in ("client", "method", "path", "key")}
                more = {"stream": line["stream"], "at_least": line["at_least"]}
                found[number] = Operation(number, who=tuple(line["who"]), **rest, **more)
            case "invoke":
                waiting[number] = line["t"]
            case "end":
                heard = Heard(**line["heard"])
                found[number].attempts.append(Attempt(waiting.pop(number), line["t"], heard))
    for number, invoked in waiting.items():
        found[number].attempts.append(Attempt(invoked, None, Heard(UNKNOWN)))
    return [operation for operation in found.values() if operation.attempts]
