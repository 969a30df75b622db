"""`make bench`: every performance figure side by side, a progress line each, and one page.

`python -m bench [--quick] [--only QUESTION]… [--seconds N] [--page]`. Results lie in build/bench, a
JSON file a question, and a page is written of all of them: docs/performance.md, or the like in
build/bench/quick after a quick run. Ends with 1 when a contender failed; a missed goal is shown.
"""

import argparse
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bench import peak
from bench.judging import judge
from bench.machine import is_busy, load, measured_with
from bench.page import page, plots
from bench.plots import number
from bench.question import Question
from bench.results import Result, read
from bench.running import Told, Workshop, run_round, workshop
from bench.table import QUESTIONS

RESULTS = Path("build/bench")
DOCS = Path("docs")
PAGE = "performance.md"
PLOTS = "performance"
LOOKS = {"reached": "green", "missed": "bold red", "not measured": "yellow"}


def main() -> int:
    asked = _asked()
    folder = RESULTS / "quick" if asked.quick else RESULTS
    console = Console(stderr=True)
    failed = False
    if not asked.page:
        if is_busy():
            console.print(
                f"This machine is busy (load {load()}): ratios will scatter, figures be too low."
            )
        for result in _run(console, _chosen(asked), folder, asked.quick):
            _tell(console, QUESTIONS[result.question], result)
            failed = failed or bool(result.failed)
    place = folder if asked.quick else DOCS
    _write(place, folder, asked.quick)
    console.print(f"The page is {place / PAGE}, the figures are in {folder}.", highlight=False)
    return 1 if failed else 0


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Performance figures.")
    parser.add_argument("--quick", action="store_true", help="small and in under two minutes")
    parser.add_argument("--only", action="append", choices=QUESTIONS, help="this question alone")
    parser.add_argument("--seconds", type=int, help=f"of the peak, {peak.SECONDS} by itself")
    parser.add_argument("--page", action="store_true", help="only write the page anew")
    return parser.parse_args()


def _chosen(asked: argparse.Namespace) -> list[Question]:
    chosen = [QUESTIONS[name] for name in asked.only or QUESTIONS]
    if asked.seconds is None:
        return chosen
    return [_lasting(one, asked.seconds) if one is peak.question else one for one in chosen]


def _lasting(question: Question, seconds: int) -> Question:
    contenders = tuple(replace(one, size=seconds, quick=seconds) for one in question.contenders)
    return replace(question, contenders=contenders)


def _run(console: Console, questions: list[Question], folder: Path, quick: bool) -> list[Result]:
    total = sum(one.rounds_of(each, quick) for one in questions for each in one.contenders)
    columns = (
        TextColumn("{task.description:10}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[what]:24}"),
    )
    found = []
    with (
        workshop(folder / "work") as shop,
        Progress(*columns, TimeElapsedColumn(), console=console) as bars,
    ):
        bar = bars.add_task("bench", total=total, what="")
        for question in questions:
            if not console.is_terminal:
                console.print(f"{question.name}: {question.what}", highlight=False)

            def told(contender: str, name: str = question.name) -> None:
                bars.update(bar, advance=1, description=name, what=contender)

            found.append(_answered(shop, question, quick, told))
            found[-1].write(folder)
    return found


def _answered(shop: Workshop, question: Question, quick: bool, told: Told) -> Result:
    sizes = {one.name: one.sized(quick) for one in question.contenders if one.sized(quick)}
    at = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    result = Result(question.name, quick, at, measured_with(), sizes)
    for number_ in range(max(question.rounds_of(one, quick) for one in question.contenders)):
        run_round(shop, question, number_, result, told)
    return result


def _tell(console: Console, question: Question, result: Result) -> None:
    for row in question.rows:
        verdict = judge(row, result.rounds)
        found = "" if verdict.found is None else number(verdict.found.median)
        bound = "at most" if row.at_most else "at least"
        said = f"{row.name:7}{row.what}: {found or '-'} ({bound} {number(row.goal)})"
        console.print(f"{said}  [{LOOKS[verdict.word]}]{verdict.word}[/]", highlight=False)
    for name, why in {**result.skipped, **result.failed}.items():
        console.print(f"       {name}: {why}", style="yellow", highlight=False, markup=False)


def _write(place: Path, folder: Path, quick: bool) -> None:
    results = read(folder)
    drawn = place / PLOTS
    drawn.mkdir(parents=True, exist_ok=True)
    for name, plot in plots(QUESTIONS, results).items():
        (drawn / name).write_text(plot, encoding="utf-8")
    (place / PAGE).write_text(page(QUESTIONS, results, quick), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
