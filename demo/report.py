"""What the demo shows while it runs, and its summary."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from demo.proof import KnownThen
from libs.common.verify import Verified


def bars(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description:<22}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
    )


@dataclass(frozen=True)
class Figures:
    """What two runs with the same seed have in common, whatever they ran on."""

    students: int
    guardians: int
    schools: int
    served: int
    agencies: int
    referred: int
    asked: int
    refused: Mapping[str, int]
    done: Mapping[str, int]
    events: Mapping[str, int]
    logs: Mapping[str, tuple[int, int, int]]

    def values(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


def summary(console: Console, figures: Figures, seconds: Mapping[str, float]) -> None:
    console.print(_district(figures))
    console.print(_events(figures.events))
    console.print(_times(seconds))


def _district(figures: Figures) -> Table:
    table = Table(title="The year 2025-26", show_header=False)
    without = figures.schools - figures.served
    rows: Sequence[tuple[str, object]] = (
        ("Students, with guardians", f"{figures.students:,} with {figures.guardians:,}"),
        ("Schools, without a partner", f"{figures.schools}, {without}"),
        ("Agencies, at schools", f"{figures.agencies}, {figures.served}"),
        ("Students referred", f"{figures.referred:,}"),
        ("Commands over HTTP", f"{figures.asked:,}"),
        ("Refused, as it should be", _few(figures.refused)),
        *((f"Log of {name}", _log(found)) for name, found in figures.logs.items()),
    )
    for name, value in rows:
        table.add_row(name, str(value))
    return table


def _log(found: tuple[int, int, int]) -> str:
    commits, events, streams = found
    return f"{commits:,} commits, {events:,} events, {streams:,} streams: whole"


def _few(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {code}" for code, count in sorted(counts.items()))


def _events(events: Mapping[str, int]) -> Table:
    """Two pairs of columns, by name."""
    table = Table("event", "count", "event", "count", title="What happened")
    rows = sorted(events.items())
    half = (len(rows) + 1) // 2
    for number in range(half):
        left = rows[number]
        right = rows[number + half] if number + half < len(rows) else ("", 0)
        table.add_row(left[0], f"{left[1]:,}", right[0], f"{right[1]:,}" if right[0] else "")
    return table


def _times(seconds: Mapping[str, float]) -> Table:
    table = Table("part", "seconds", title="The time it took")
    for part, took in seconds.items():
        table.add_row(part, f"{took:.1f}")
    table.add_row("[bold]in all[/bold]", f"[bold]{sum(seconds.values()):.1f}[/bold]")
    return table


def replayed(console: Console, days: Sequence[KnownThen]) -> None:
    table = Table(
        "at the end of",
        "in the agency's inbox",
        "packets opened",
        "what it may read",
        title="What did the agency know of Carl?",
    )
    for known in days:
        table.add_row(known.day.isoformat(), known.inbox, str(known.opened), known.permission)
    console.print(table)


def logs_of(found: Mapping[str, Verified]) -> dict[str, tuple[int, int, int]]:
    return {name: (one.commits, one.events, one.streams) for name, one in found.items()}


def plain(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(counts.items()))
