"""How a figure is taken: rates, latencies, processor time, memory; the same for every contender."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from time import perf_counter, process_time
from typing import NamedTuple, TypeVar

T = TypeVar("T")
Figures = dict[str, float]
PROC = Path("/proc")


class Measured(NamedTuple):
    """`series` are figures over time, a list for each name; all of one length."""

    figures: Figures
    series: dict[str, list[float]]


async def in_turns(
    coming: Iterable[T], ask: Callable[[T], Awaitable[object]], callers: int
) -> list[float]:
    """So many callers share the work; the seconds that each piece took."""
    pieces = iter(coming)
    took: list[float] = []

    async def caller() -> None:
        for piece in pieces:
            began = perf_counter()
            await ask(piece)
            took.append(perf_counter() - began)

    await asyncio.gather(*(caller() for _ in range(callers)))
    return took


async def measured(work: Callable[[], Awaitable[Sequence[float]]]) -> Figures:
    """Rate, latency and this process's processor time of some commands."""
    cpu, began = process_time(), perf_counter()
    took = await work()
    wall, used = perf_counter() - began, process_time() - cpu
    return {**latencies(took), "per_second": len(took) / wall, "cpu_us": 1e6 * used / len(took)}


def latencies(took: Sequence[float]) -> Figures:
    """In milliseconds."""
    return {"p50_ms": 1e3 * at_share(took, 0.5), "p99_ms": 1e3 * at_share(took, 0.99)}


def at_share(values: Sequence[float], share: float) -> float:
    """The value that this share of all values is not above, nearest rank."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def peak_megabytes() -> float:
    """The most that this process has held in memory since it began."""
    return _status("self", "VmHWM") / 1024


def megabytes(pid: int) -> float:
    """What a process holds in memory now."""
    return _status(str(pid), "VmRSS") / 1024


def cpu_seconds(pid: int) -> float:
    """Processor time that a process has used since it began, all threads."""
    fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _status(process: str, name: str) -> int:
    with (PROC / process / "status").open() as status:
        return int(next(line for line in status if line.startswith(f"{name}:")).split()[1])
