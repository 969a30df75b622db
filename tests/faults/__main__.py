"""`make prove`: the long runs under faults, a progress line each, and one page at the end.

`python -m tests.faults [--only NAME]… [--short] [--seed N] [--keep FOLDER]`, or `--judge FOLDER`
for what such a run has kept. Ends with 1 when a promise was broken or a run proves nothing.
"""

import argparse
import asyncio
import shutil
import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path
from time import monotonic

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from deploy.engines import engines
from tests.faults.again import judged_again
from tests.faults.checker import Finding
from tests.faults.deployment import Progress as Said
from tests.faults.report import Report, page
from tests.faults.table import RUNS, Entry, Run

PAGE = Path("build/prove/report.md")
SEED = 20_261_124
SHORT_SHARE = 10
PLAIN_LINES = 20
"""Progress where there is no terminal: a line for each twentieth."""


def main() -> int:
    asked = _asked()
    if asked.judge:
        return _told([asyncio.run(judged_again(asked.judge.absolute()))])
    chosen = {name: RUNS[name] for name in asked.only or RUNS}
    if any(entry.engines for entry in chosen.values()):
        engines.fetch()
    console = Console(stderr=True)
    _tell_expected(console, chosen, asked.short)
    return _told([_one(console, name, entry, asked) for name, entry in chosen.items()])


def _told(reports: Sequence[Report]) -> int:
    written = page(reports, f"python -m tests.faults {' '.join(sys.argv[1:])}".strip())
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(written)
    print(written)
    return 0 if all(report.good for report in reports) else 1


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Long runs under faults.")
    parser.add_argument("--only", action="append", choices=sorted(RUNS), help="this run alone")
    parser.add_argument("--short", action="store_true", help="a first look, a minute or so each")
    parser.add_argument("--seed", type=int, default=SEED, help="the same seed, the same faults")
    parser.add_argument("--keep", type=Path, help="keep all that the runs leave, in this folder")
    parser.add_argument("--judge", type=Path, help="judge again what one run has kept")
    return parser.parse_args()


def _tell_expected(console: Console, chosen: dict[str, Entry], short: bool) -> None:
    for name, entry in chosen.items():
        minutes = entry.minutes / SHORT_SHARE if short else entry.minutes
        console.print(f"{name:16} about {minutes:.0f} min  {entry.what}", soft_wrap=True)


def _one(console: Console, name: str, entry: Entry, asked: argparse.Namespace) -> Report:
    """A run that breaks down is a finding, and the others go on."""
    folder = (asked.keep or Path(tempfile.mkdtemp(prefix="alliance-prove-"))) / name
    began = monotonic()
    columns = TextColumn("{task.description:16}"), BarColumn(), TextColumn("{task.fields[what]:32}")
    with Progress(*columns, TimeElapsedColumn(), console=console) as bars:
        bar = bars.add_task(name, total=1.0, what="starting")

        told = ""

        def progress(share: float, what: str) -> None:
            nonlocal told
            bars.update(bar, completed=share, what=what)
            line = f"{int(PLAIN_LINES * share)}" if share < 1 else what
            if not console.is_terminal and line != told:
                told = line
                console.print(f"{name}: {share:4.0%} after {monotonic() - began:.0f} s, {what}")

        run = entry.short if asked.short else entry.run
        try:
            return asyncio.run(_run(run, folder.absolute(), asked.seed, progress))
        except Exception as broken:
            console.print(traceback.format_exc(), highlight=False)
            finding = Finding("the run itself", f"{type(broken).__name__}: {broken}")
            return Report(name, asked.seed, monotonic() - began, findings=(finding,))
        finally:
            if asked.keep is None:
                shutil.rmtree(folder.parent, ignore_errors=True)


async def _run(run: Run, folder: Path, seed: int, progress: Said) -> Report:
    return await run(folder, seed, progress)


if __name__ == "__main__":
    sys.exit(main())
