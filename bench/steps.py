"""Question: where do the microseconds of a command and of a reader go? One step at a time, alone.

A step is called over and over with the same values, which then lie in the processor's caches: this
is the least that it costs. What the steps of a command do not add up to is waiting, waking, and
caches that others have filled meanwhile.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from time import perf_counter, process_time

from bench.domain import LOG, SOMEBODY, STAMP, Notes, ask_of, decide, evolve, latest
from bench.figures import Figures
from bench.ours import Desk, desk
from bench.question import Contender, Question
from bench.raw import draft_of
from libs.common.adapters.sqlite import row_of
from libs.common.append import not_before
from libs.common.commit import NO_PREV, encode, leaf_hash, parse
from libs.common.handle import request_hash
from libs.common.messages import Stamp

STREAM = 7
ASK = ask_of(STREAM)
STUDENT = ASK.command.student
SIZE, QUICK = 100_000, 5_000
STEPS = (
    "stamp a command",
    "decide it",
    "name the request",
    "write its event",
    "give the commit its place",
    "hash it",
    "lay out its row",
    "fold the state",
    "parse a commit",
    "parse it and decode its event",
    "fold a document",
)


def _steps(opened: Desk, sealed: object) -> Mapping[str, Callable[[], object]]:
    """Name -> one call."""
    (event,) = decide(Notes(), sealed)  # type: ignore[arg-type]  # a sealed Write is a Write
    draft = draft_of(ASK, [event])
    commit = encode(draft, LOG, 1, NO_PREV, STAMP.at)
    (entry,) = parse(commit.body).recorded
    now = opened.handler.appender.clock.now
    calls: tuple[Callable[[], object], ...] = (
        lambda: ASK.command.stamped(Stamp(not_before(now(), STAMP.at, None, ()), SOMEBODY)),
        lambda: decide(Notes(), sealed),  # type: ignore[arg-type]  # as above
        lambda: request_hash(ASK.path, sealed),
        lambda: draft_of(ASK, [event]),
        lambda: encode(draft, LOG, 1, NO_PREV, STAMP.at),
        lambda: leaf_hash(commit.body),
        lambda: row_of(commit),
        lambda: evolve(Notes(), event),
        lambda: parse(commit.body),
        lambda: parse(commit.body).recorded,
        lambda: latest.fold(None, entry, STUDENT),
    )
    return dict(zip(STEPS, calls, strict=True))


async def step(folder: Path, size: int, number: int) -> Figures:
    async with desk(f"sqlite://{folder}", streams=[STREAM]) as opened:
        sealed, _ = await opened.handler.keyring.sealed(ASK.command, STUDENT)
        call = _steps(opened, sealed)[STEPS[number]]
        began, cpu = perf_counter(), process_time()
        for _ in range(size):
            call()
        return _figures(size, perf_counter() - began, process_time() - cpu)


async def seal(folder: Path, size: int) -> Figures:
    """Two fields, the key at hand."""
    async with desk(f"sqlite://{folder}", streams=[STREAM]) as opened:
        sealed = opened.handler.keyring.sealed
        began, cpu = perf_counter(), process_time()
        for _ in range(size):
            await sealed(ASK.command, STUDENT)
        return _figures(size, perf_counter() - began, process_time() - cpu)


def _figures(size: int, wall: float, cpu: float) -> Figures:
    return {"per_second": size / wall, "cpu_us": 1e6 * cpu / size}


question = Question(
    "steps",
    "What one step costs, called over and over: of a command, and of a reader",
    (
        Contender("seal two fields", "bench.steps:seal", SIZE, QUICK),
        *(
            Contender(name, "bench.steps:step", SIZE, QUICK, {"number": number})
            for number, name in enumerate(STEPS)
        ),
    ),
    rounds=3,
    quick_rounds=1,
)
