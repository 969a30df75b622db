"""The page: every row with its goal, figure, ratio and spread, and what was not measured."""

from collections.abc import Iterator, Mapping, Sequence
from statistics import median

from bench.judging import Spread, Verdict, judge, spread
from bench.plots import Point, lines, number
from bench.question import Curve, Question, Timeline
from bench.reasons import REASONS
from bench.results import Result

FIGURES = {
    "per_second": "a second",
    "p50_ms": "p50 ms",
    "p99_ms": "p99 ms",
    "cpu_us": "CPU us each",
    "server_cpu_us": "server CPU us each",
    "megabytes": "peak MB",
    "wal_megabytes": "WAL MB",
    "lag_p50_seconds": "lag p50 s",
    "lag_max_seconds": "lag at most s",
    "memory_growth": "memory growth",
    "refused": "refused",
}
WORDS = {"reached": "reached", "missed": "**missed**", "not measured": "not measured"}
HEAD = """# Performance

Measured by `make bench`, which writes this page; `{command}` measures one question anew. A ratio is
taken within one round: the contenders of a question run one after the other, in another order each
round, each in a process of its own, and the median of the rounds' ratios decides. Absolute figures
drift by tens of percent from run to run and from machine to machine; ratios much less.

Durability is the same for all: every SQLite commit is synced, MongoDB acknowledges at majority and
journal, Kafka by all in-sync replicas. The other libraries neither seal nor chain nor remember
command ids: they have less to do. The larger the better, unless a goal says "at most".
"""
QUICK = "**A quick run, small and of two rounds: it shows that the bench works, no more.**\n"


def page(questions: Mapping[str, Question], results: Mapping[str, Result], quick: bool) -> str:
    parts = [HEAD.format(command="python -m bench --only QUESTION"), *([QUICK] if quick else [])]
    parts += ["## Goals\n", *_goals(questions, results), ""]
    for name, question in questions.items():
        parts += _answer(question, results.get(name))
    return "\n".join(parts).rstrip() + "\n"


def plots(questions: Mapping[str, Question], results: Mapping[str, Result]) -> dict[str, str]:
    """File name -> SVG, of what was measured."""
    found: dict[str, str] = {}
    for name, result in results.items():
        question = questions.get(name)
        for curve in question.curves if question else ():
            if series := _points(curve, result):
                found[f"{curve.name}.svg"] = lines(curve.title, curve.x, curve.y, series, True)
        for timeline in question.timelines if question else ():
            if series := _over_time(timeline, result):
                found[f"{timeline.name}.svg"] = lines(timeline.title, "seconds", timeline.y, series)
    return found


def _goals(questions: Mapping[str, Question], results: Mapping[str, Result]) -> Iterator[str]:
    yield "| row | what | goal | ours | measured, median (lowest to highest) | |"
    yield "| --- | --- | --- | --- | --- | --- |"
    verdicts = [
        judge(row, results[name].rounds if name in results else [])
        for name, question in questions.items()
        for row in question.rows
    ]
    verdicts.sort(key=lambda verdict: _place(verdict.row.name))
    yield from map(_goal, verdicts)
    missed = dict.fromkeys(one.row.name for one in verdicts if one.word == "missed")
    if told := [f"- {name}: {REASONS[name]}" for name in missed if name in REASONS]:
        yield "\n## What stands in the way of a goal that was missed\n"
        yield from told


def _place(name: str) -> tuple[int, str]:
    """B2 before B10, and what has no number last."""
    digits = name[1:]
    return (int(digits), "") if digits.isdigit() else (99, name)


def _goal(verdict: Verdict) -> str:
    row = verdict.row
    times = "x" if row.over else ""
    bound = "at most" if row.at_most else "at least"
    ours = number(verdict.ours.median) if verdict.ours else "-"
    found = _shown(verdict.found, times)
    goal = f"{bound} {number(row.goal)}{times}"
    return f"| {row.name} | {row.what} | {goal} | {ours} | {found} | {WORDS[verdict.word]} |"


def _shown(found: Spread | None, times: str = "") -> str:
    if found is None:
        return "-"
    middle = f"{number(found.median)}{times}"
    if found.rounds == 1:
        return f"{middle} (one round)"
    return f"{middle} ({number(found.low)} to {number(found.high)})"


def _answer(question: Question, result: Result | None) -> Iterator[str]:
    yield f"## {question.what}\n"
    if result is None:
        yield f"Not measured; `python -m bench --only {question.name}` does it.\n"
        return
    yield from _contenders(question, result)
    for name, why in result.skipped.items():
        yield f"- Not measured: {name}; {why}."
    for name, why in result.failed.items():
        yield f"- Failed: {name}; {why}."
    yield ""
    drawn = [(curve.name, curve.title) for curve in question.curves]
    drawn += [(timeline.name, timeline.title) for timeline in question.timelines]
    made = plots({question.name: question}, {question.name: result})
    yield from (f"![{title}](performance/{name}.svg)\n" for name, title in drawn
                if f"{name}.svg" in made)  # fmt: skip
    with_what = "; ".join(f"{name} {value}" for name, value in result.measured_with.items())
    yield f"{result.at}. {with_what}.\n"


def _contenders(question: Question, result: Result) -> Iterator[str]:
    """Medians, and of the first figure also the spread."""
    names = [one.name for one in question.contenders if _values(result, one.name)]
    known = {figure for name in names for figure in _values(result, name)}
    shown = [figure for figure in FIGURES if figure in known]
    if not names:
        return
    yield f"| contender | size | rounds | {' | '.join(FIGURES[figure] for figure in shown)} |"
    yield f"| --- {'| ---: ' * (2 + len(shown))}|"
    for name in names:
        values = _values(result, name)
        cells = [_cell(values.get(figure, []), place == 0) for place, figure in enumerate(shown)]
        rounds = max(map(len, values.values()))
        yield f"| {name} | {number(result.sizes[name])} | {rounds} | {' | '.join(cells)} |"
    yield ""


def _cell(values: Sequence[float], spread_too: bool) -> str:
    if not values:
        return "-"
    return _shown(spread(values)) if spread_too and len(values) > 1 else number(median(values))


def _values(result: Result, contender: str) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for one in result.rounds:
        for figure, value in one.get(contender, {}).items():
            found.setdefault(figure, []).append(value)
    return found


def _points(curve: Curve, result: Result) -> dict[str, list[Point]]:
    found: dict[str, list[Point]] = {}
    for label, contenders in curve.series.items():
        for x, contender in contenders.items():
            values = _values(result, contender).get(curve.figure)
            if values:
                found.setdefault(label, []).append((float(x), median(values)))
    return found


def _over_time(timeline: Timeline, result: Result) -> dict[str, list[Point]]:
    series = result.series.get(timeline.contender, {})
    return {
        label: list(zip(series["seconds"], series[name], strict=True))
        for name, label in timeline.lines.items()
        if series.get(name)
    }
