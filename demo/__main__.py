"""`python -m demo`: a school year of a whole district, played over HTTP, and Carl's story told."""

import argparse
import sys
from asyncio import create_task, to_thread
from asyncio import run as run_loop
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Any

import orjson
from rich.console import Console

from demo import partners, proof, report, roster
from demo.asks import Ask, crews, moment
from demo.callers import Gone
from demo.carl import DAY_BEFORE, HELPED, MEETING, R2, TAKEN_BACK, cast, scenes
from demo.district import STUDENTS, District, district
from demo.importing import imported, references
from demo.partners import CARL_AGENCY, FIRST_DAY
from demo.plan import REFERRED, plan
from demo.platform import Files, NotOurs, Platform, emptied, engines_of, started
from demo.play import Play, Unexpected
from demo.schools import schools
from demo.stepping import Laggard
from demo.telling import Telling, Told
from demo.year import both, played
from libs.common.directory import Directory
from libs.common.errors import Fork
from libs.common.messages import instant
from libs.common.verify import Broken, verify
from libs.common.verify_shards import verified

REPLAYED = (MEETING, HELPED, DAY_BEFORE, TAKEN_BACK)
OFFSET = "clock-offset"
SUMMARY = "summary.json"


@dataclass(frozen=True)
class Wanted:
    students: int
    referred: int
    version: roster.Version
    files: Files
    apart: int = 0


@dataclass(eq=False)
class Watch:
    """How long each part took."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        began = monotonic()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + monotonic() - began


@dataclass(frozen=True)
class Demo:
    wanted: Wanted
    people: District
    directory: Directory
    console: Console
    watch: Watch

    async def on(self, platform: Platform) -> report.Figures:
        callers = platform.callers
        with self.watch.part("import"):
            page = await self._import(platform)
            asks = plan(self.people, self.directory, self.wanted.referred)
            wanted = {ask.student for ask in asks} | {self.people.carl.source}
            students = await references(callers, wanted)
        play = Play(callers, students)
        with self.watch.part("school year"):
            end = await self._year(platform, play, asks)
        with self.watch.part("replay and verify"):
            guardians = page["report"]["guardians"]
            figures = await self._prove(platform, play, guardians, len(students))
        self._leave(end, figures)
        return figures

    async def _import(self, platform: Platform) -> dict[str, Any]:
        data = await to_thread(self.wanted.files.roster.read_bytes)
        with report.bars(self.console) as bars:
            bar = bars.add_task("Roster import", total=len(self.people.students))

            def progress(done: int, total: int) -> None:
                bars.update(bar, completed=done, total=total or None)

            page = await imported(platform.callers, data, progress)
        taken = page["counts"]["added"], page["report"]["errors"], page["report"]["warnings"]
        if taken != (len(self.people.students), 0, 0):
            raise Unexpected("the importer did not take every student as written")
        await platform.steps.settled(moment(FIRST_DAY))
        return page

    async def _year(self, platform: Platform, play: Play, asks: Sequence[Ask]) -> datetime:
        carl = self.people.carl
        people = cast(carl, crews(self.people)[carl.school])
        story = tuple(scenes(carl, people))
        total = len(asks) + sum(len(scene.asks) for scene in story)
        telling = Telling(platform.callers, play, people)
        with report.bars(self.console) as bars:
            bar = bars.add_task("School year", total=total)

            def tell(told: Told) -> None:
                for line in told.lines():
                    self.console.print(line, highlight=False, soft_wrap=True)

            year = both(asks, story)
            return await played(
                year, play, platform.steps, telling, lambda n: bars.advance(bar, n), tell
            )

    async def _prove(
        self, platform: Platform, play: Play, guardians: int, referred: int
    ) -> report.Figures:
        async with proof.logs(platform.engines) as stores:
            engines = platform.engines
            elsewhere = create_task(verified(engines.store_url, "consent", prefix=engines.prefix))
            with report.bars(self.console) as bars:
                bar = bars.add_task("Verifying", total=await proof.size(stores["referrals"]))
                ours = await verify(stores["referrals"], lambda n: bars.advance(bar, n))
                bar = bars.add_task("Replaying four days", total=None)
                then = await proof.known_then(
                    stores, REPLAYED, play.known[R2], CARL_AGENCY, lambda n: bars.advance(bar, n)
                )
                found = {"consent": await elsewhere, "referrals": ours}
        if not proof.as_told(then):
            raise Unexpected("the replay tells another story than the one that was played")
        report.replayed(self.console, then)
        return report.Figures(
            students=len(self.people.students),
            guardians=guardians,
            schools=len(self.directory.schools),
            served=len({terms.school for terms in self.directory.terms}),
            agencies=len(self.directory.agencies),
            referred=referred,
            asked=play.asked,
            refused=report.plain(play.noes),
            done=report.plain(play.counts),
            events=report.plain(proof.counted(found)),
            logs=report.logs_of(found),
        )

    def _leave(self, end: datetime, figures: report.Figures) -> None:
        """What `make run` and the next reader find."""
        data = self.wanted.files.data
        offset = int((end - datetime.now(UTC)).total_seconds())
        (data / OFFSET).write_text(str(offset))
        (data / SUMMARY).write_bytes(orjson.dumps(figures.values(), option=orjson.OPT_INDENT_2))


async def run(wanted: Wanted, console: Console) -> None:
    """The platform starts while the people are invented."""
    watch, files = Watch(), wanted.files
    engines = engines_of(files, wanted.apart)
    emptied(files)
    directory = partners.directory(schools())
    partners.write(directory, files.directory)
    async with AsyncExitStack() as stack:
        with watch.part("people, roster, start"):
            start = instant(moment(FIRST_DAY))
            starting = create_task(
                stack.enter_async_context(started(engines, files, start)), name="start"
            )
            try:
                people = await to_thread(_invented, wanted)
            finally:
                platform = await starting
        figures = await Demo(wanted, people, directory, console, watch).on(platform)
        with watch.part("stop"):
            await stack.aclose()
    report.summary(console, figures, watch.seconds)


def _invented(wanted: Wanted) -> District:
    people = district(wanted.students)
    roster.write(people, wanted.files.roster, wanted.version)
    return people


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--students", type=int, default=STUDENTS)
    parser.add_argument("--referred", type=int, default=REFERRED)
    parser.add_argument("--roster", choices=("1.1", "1.2"), default="1.2", help="OneRoster")
    parser.add_argument("--data", type=Path, default=Files.data, help="emptied at the start")
    parser.add_argument("--beside", type=Path, default=Files.beside, help="roster, key and log")
    parser.add_argument("--apart", type=int, default=0, help="processes of each part, on servers")
    asked = parser.parse_args()
    files = Files(asked.data, asked.beside)
    wanted = Wanted(asked.students, asked.referred, asked.roster, files, asked.apart)
    try:
        run_loop(run(wanted, Console()))
    except* (Broken, Fork, Gone, Laggard, NotOurs, Unexpected) as wrong:
        for each in wrong.exceptions:
            print(f"{type(each).__name__}: {each}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
