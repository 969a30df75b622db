"""Question: does the whole platform hold a thousand commands a second, and what does it cost?

`python -m services`, embedded, over HTTP; the load generator sits on the same cores. Commands are
sent by the clock whatever becomes of the earlier ones, and each waits from its own moment on.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from time import perf_counter, process_time
from typing import Any

from bench.figures import Figures, Measured, at_share, cpu_seconds, in_turns, latencies, megabytes
from bench.programs import HOST, Server, served
from bench.question import Contender, Question, Row, Timeline
from demo import partners, roster
from demo.asks import Who, crews
from demo.callers import Callers, Place
from demo.district import District, district
from demo.importing import imported, references
from demo.play import Unexpected
from demo.schools import schools
from deploy.engines.engines import free_port
from libs.common.web.client import Client, Reply

SECONDS = 60
"""For the whole: `python -m bench --only peak --seconds 600`."""
COMMANDS_A_SECOND = 1_000
STUDENTS = 10_000
STUDENTS_A_SECOND = 100
"""A short run does with a smaller district."""
CONNECTIONS = 96
RAISING = 32
TICK_SECONDS = 0.005
RAISES_SHARE = 0.1
"""Of the commands, begin a referral; the others add to one."""
IN_SPRING = datetime(2026, 3, 4, 15, tzinfo=UTC)
SEED = 20_261_124
WORDS = "Note {}: reading aloud goes better than writing, and two observations in class agree."
SAMPLE_SECONDS = 1.0
LAG_SECONDS_MAX = 60.0
STATUS_OK = (200, 201)


@dataclass(frozen=True)
class Case:
    """A student's referral, and who at the school may ask about it."""

    student: str
    who: Who
    referral: str


@dataclass(eq=False)
class Load:
    """What is sent, and what came back; `late`: how long after its moment a command set out, which
    is the generator's own doing; `latest`: the last command's position and case. Whoever asks what
    is `seen` has a connection of their own."""

    server: Server
    callers: Callers
    watchers: Callers
    people: list[tuple[str, Who]]
    cases: list[Case] = field(default_factory=list)
    chance: Random = field(default_factory=lambda: Random(SEED))  # noqa: S311 - no secret
    took: list[float] = field(default_factory=list)
    late: list[float] = field(default_factory=list)
    bad: int = 0
    latest: tuple[str, Case] | None = None

    async def raised(self, number: int) -> Case:
        student, who = self.people[number % len(self.people)]
        body = {
            "student": student,
            "domains": ["emotional"],
            "setting": "school",
            "words": WORDS.format(number),
            "override": "other-trouble",
        }
        reply = await self._post(who, "/v1/referrals", body, f"raise-{number:012}")
        case = Case(student, who, str(reply.body.get("referral", "")))
        self._note(reply, case)
        return case

    async def begin(self, number: int) -> None:
        """One of the referrals that stand before anything is measured."""
        self.cases.append(await self.raised(number))

    async def command(self, number: int, due: float) -> None:
        self.late.append(perf_counter() - due)
        if self.chance.random() < RAISES_SHARE:
            await self.raised(number)
        else:
            case = self.chance.choice(self.cases)
            body = {"setting": "school", "words": WORDS.format(number)}
            path = f"/v1/referrals/{case.referral}/concerns"
            self._note(await self._post(case.who, path, body, f"concern-{number:012}"), case)
        self.took.append(perf_counter() - due)

    async def _post(self, who: Who, path: str, body: Any, key: str) -> Reply:
        return await self.callers.ask(who, "all", "POST", path, body, key)

    def _note(self, reply: Reply, case: Case) -> None:
        if reply.status in STATUS_OK and "position" in reply.headers:
            self.latest = (reply.headers["position"], case)
        else:
            self.bad += 1

    async def seen(self) -> float:
        """Seconds until the newest command is in the student's list: asked for by position."""
        if self.latest is None:
            return 0.0
        position, case = self.latest
        began = perf_counter()
        while perf_counter() - began < LAG_SECONDS_MAX:
            path = f"/v1/referrals?student={case.student}"
            reply = await self.watchers.ask(
                case.who, "all", "GET", path, headers={"Min-Position": position}
            )
            if reply.status == 200:
                break
        return perf_counter() - began


@dataclass(eq=False)
class Watch:
    """Looks at the server once a second: memory, its write-ahead logs, how far views lag."""

    load: Load
    data: Path
    began: float
    series: dict[str, list[float]] = field(
        default_factory=lambda: {"seconds": [], "megabytes": [], "wal_megabytes": [], "lag": []}
    )

    async def run(self) -> None:
        while True:
            lag = await self.load.seen()
            wal = sum(path.stat().st_size for path in self.data.rglob("*-wal"))
            self.series["seconds"].append(perf_counter() - self.began)
            self.series["megabytes"].append(megabytes(self.load.server.pid))
            self.series["wal_megabytes"].append(wal / 1024**2)
            self.series["lag"].append(lag)
            await asyncio.sleep(SAMPLE_SECONDS)


async def held(folder: Path, size: int) -> Measured:
    """`size` is in seconds."""
    port = free_port()
    people = district(min(STUDENTS, STUDENTS_A_SECOND * size))
    environment = _environment(folder, port)
    async with (
        served(("services",), port, folder / "output", CONNECTIONS, environment) as server,
        Client(HOST, port, 1) as beside,
    ):
        load = await _ready(server, beside, people)
        await in_turns(range(len(load.people)), load.begin, RAISING)
        await load.seen()  # what stood before is folded, and no part of the measured
        cpu, began, own = cpu_seconds(server.pid), perf_counter(), process_time()
        watch = Watch(load, folder, began)
        watching = asyncio.create_task(watch.run())
        await _send(load, began, size * COMMANDS_A_SECOND, lambda: not watching.done())
        wall, own = perf_counter() - began, process_time() - own
        lag = await load.seen()
        used = cpu_seconds(server.pid) - cpu
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
    figures = _told(load, watch.series, wall, used, lag)
    figures["generator_cpu_us"] = 1e6 * own / len(load.took)
    return Measured(figures, watch.series)


async def _send(load: Load, began: float, count: int, going: Callable[[], bool]) -> None:
    """Command n leaves at its own moment, n / rate, however late the others are."""
    offset, tasks, number = len(load.people), set[asyncio.Task[None]](), 0
    while number < count:
        assert going(), "nobody watches any more"
        due = min(count, int((perf_counter() - began) * COMMANDS_A_SECOND) + 1)
        for each in range(number, due):
            moment = began + each / COMMANDS_A_SECOND
            task = asyncio.create_task(load.command(offset + each, moment))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        number = due
        await asyncio.sleep(TICK_SECONDS)
    await asyncio.gather(*tasks)


def _told(
    load: Load, series: dict[str, list[float]], wall: float, used: float, last_lag: float
) -> Figures:
    lags = [*series["lag"], last_lag]
    memory = series["megabytes"] or [0.0]
    settled = memory[len(memory) // 3]
    return {
        **latencies(load.took),
        "left_late_p99_ms": 1e3 * at_share(load.late, 0.99),
        "per_second": len(load.took) / wall,
        "refused": float(load.bad),
        "server_cpu_us": 1e6 * used / len(load.took),
        "lag_p50_seconds": at_share(lags, 0.5),
        "lag_max_seconds": max(lags),
        "megabytes": max(memory),
        "memory_growth": memory[-1] / settled if settled else 1.0,
        "wal_megabytes": max(series["wal_megabytes"], default=0.0),
    }


def _environment(folder: Path, port: int) -> dict[str, str]:
    partners.write(partners.directory(schools()), folder / "directory.json")
    data = folder / "data"
    offset = int((IN_SPRING - datetime.now(UTC)).total_seconds())
    return {
        "DATA_DIR": str(data),
        **dict.fromkeys(("STORE_URL", "VIEWS_URL", "KEYS_URL", "BUS_URL"), f"sqlite://{data}"),
        "KEK_FILE": str(folder / "kek"),
        "DIRECTORY_FILE": str(folder / "directory.json"),
        "OIDC_ISSUER": f"http://{HOST}:{port}/issuer",
        "ALLOW_DEV_ISSUER": "yes",
        "CLOCK": "shifted",
        "CLOCK_OFFSET": str(offset),
        "HOST": HOST,
        "PORT": str(port),
    }


async def _ready(server: Server, beside: Client, people: District) -> Load:
    """The roster is in; who stands for each student is a counselor of the school."""
    callers, watchers = _callers(server.client), _callers(beside)
    await imported(callers, roster.zipped(people), lambda _, __: None)
    known = await _seen(callers, [student.source for student in people.students])
    staff = crews(people)
    asking = [
        (known[student.source], staff[student.school].counselor) for student in people.students
    ]
    return Load(server, callers, watchers, asking)


async def _seen(callers: Callers, sources: list[str]) -> dict[str, str]:
    """The read model comes some time after the import. Raises Unexpected when it never does."""
    until = perf_counter() + LAG_SECONDS_MAX
    while True:
        try:
            return await references(callers, sources)
        except Unexpected:
            if perf_counter() > until:
                raise
            await asyncio.sleep(SAMPLE_SECONDS)


def _callers(client: Client) -> Callers:
    place = Place([client])
    return Callers({"all": place, "consent": place}, Place([client], "/issuer"))


question = Question(
    "peak",
    "1,000 commands/s over HTTP on the embedded platform, all services and parts in one process",
    (Contender("platform", "bench.peak:held", SECONDS, 5),),
    (
        Row("B6", "commands/s that were answered, of 1,000 sent", "platform", 990),
        Row("B6", "commands that were refused", "platform", 0, figure="refused", at_most=True),
        Row("B6", "99 of 100 answered within (ms), from the moment each was due", "platform", 100,
            figure="p99_ms", at_most=True),
        Row("B6", "processor time of the server for one command, projections and all (us)",
            "platform", 600, figure="server_cpu_us", at_most=True),
        Row("B6", "furthest that a read model lagged (s)", "platform", 1,
            figure="lag_max_seconds", at_most=True),
        Row("B6", "memory at the end, against a third into the run", "platform", 1.1,
            figure="memory_growth", at_most=True),
        Row("B6", "largest write-ahead logs, all files together (MB)", "platform", 640,
            figure="wal_megabytes", at_most=True),
    ),
    timelines=(
        Timeline("peak-memory", "Memory and write-ahead logs under 1,000 commands a second",
                 "MB", "platform", {"megabytes": "memory", "wal_megabytes": "write-ahead logs"}),
        Timeline("peak-lag", "How far read models lag under 1,000 commands a second", "seconds",
                 "platform", {"lag": "from answered to visible"}),
    ),
    rounds=1,
)  # fmt: skip
