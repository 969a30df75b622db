"""Medians, ratios, verdicts, plots and the page are right; a missed goal is shown as missed."""

import ast
import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from bench.judging import Round, Spread, judge, ratios, spread
from bench.page import page, plots
from bench.plots import HEIGHT, WIDTH, lines, number
from bench.question import QUICK_ROUNDS, ROUNDS, Contender, Curve, Question, Row, Timeline
from bench.reasons import REASONS
from bench.results import Result, read
from bench.running import Missing, workshop
from bench.table import QUESTIONS

ROOT = Path(__file__).parent.parent.parent
SVG = "{http://www.w3.org/2000/svg}"
FAST = Row("B1", "as fast as half of it", "ours", 0.5, "raw")
QUICKLY = Row("B4", "soon", "ours", 3, "raw", "p99_ms", at_most=True)
MANY = Row("B12", "many", "ours", 1_000)
ELSEWHERE = Row("B9", "on another engine", "theirs", 0.5, "raw")
ROUNDS_GIVEN: list[Round] = [
    {"ours": {"per_second": 600.0, "p99_ms": 9.0}, "raw": {"per_second": 1_000.0, "p99_ms": 2.0}},
    {"ours": {"per_second": 100.0, "p99_ms": 4.0}, "raw": {"per_second": 200.0, "p99_ms": 1.0}},
    {"ours": {"per_second": 900.0, "p99_ms": 2.0}, "raw": {"per_second": 3_000.0, "p99_ms": 2.0}},
    {"raw": {"per_second": 5.0}},
]
QUESTION = Question(
    "speed",
    "How fast",
    (
        Contender("ours", "m:f", 1_000, 10),
        Contender("raw", "m:g", 1_000, 10),
        Contender("theirs", "m:h", 9, 0, engine="kafka", rounds=1),
    ),
    (FAST, QUICKLY, MANY, ELSEWHERE),
    (Curve("scale", "By <callers>", "callers", "a second", {"ours": {1: "ours", 64: "raw"}}),),
    (Timeline("memory", "Memory", "MB", "ours", {"megabytes": "held"}),),
)
RESULT = Result(
    "speed",
    False,
    "2026-03-04 15:00 UTC",
    {"interpreter": "CPython 3.11"},
    {"ours": 1_000, "raw": 1_000},
    [{name: dict(found) for name, found in one.items()} for one in ROUNDS_GIVEN],
    {"ours": {"seconds": [0.0, 1.0, 2.0], "megabytes": [80.0, 90.0, 85.0]}},
    {"theirs": "no Kafka found"},
)


def test_ratios_are_taken_within_a_round() -> None:
    assert ratios(ROUNDS_GIVEN, "ours", "raw", "per_second") == [0.6, 0.5, 0.3]
    assert ratios(ROUNDS_GIVEN, "ours", "nobody", "per_second") == []


def test_a_spread_is_median_lowest_and_highest() -> None:
    assert spread([3.0, 1.0, 2.0]) == Spread(2.0, 1.0, 3.0, 3)
    assert spread([1.0, 2.0]) == Spread(1.5, 1.0, 2.0, 2)
    assert spread([]) is None


@pytest.mark.parametrize(
    ("row", "word", "found"),
    [
        (FAST, "reached", 0.5),
        (replace(FAST, goal=0.51), "missed", 0.5),
        (QUICKLY, "missed", 4.0),
        (replace(QUICKLY, goal=4), "reached", 4.0),
        (MANY, "missed", 600.0),
        (replace(MANY, goal=600), "reached", 600.0),
    ],
)
def test_the_median_decides_whether_a_goal_is_reached(row: Row, word: str, found: float) -> None:
    verdict = judge(row, ROUNDS_GIVEN)
    assert verdict.word == word
    assert verdict.found is not None
    assert verdict.found.median == found


def test_what_nobody_measured_is_neither_reached_nor_missed() -> None:
    assert judge(ELSEWHERE, ROUNDS_GIVEN).word == "not measured"
    assert judge(FAST, []).word == "not measured"


def test_rounds_run_everybody_each_time_in_another_order() -> None:
    orders = [[one.name for one in QUESTION.order(number, False)] for number in range(ROUNDS)]
    assert orders[:3] == [["ours", "raw", "theirs"], ["raw", "ours"], ["ours", "raw"]]
    assert orders[4] == ["raw", "ours"]
    assert [QUESTION.rounds_of(one, True) for one in QUESTION.contenders] == [2, 2, 0]
    assert QUICK_ROUNDS == 2


def test_the_page_shows_a_missed_goal_as_missed() -> None:
    told = page({"speed": QUESTION}, {"speed": RESULT}, False)
    rows = {line.split(" | ")[0]: line for line in told.splitlines() if line.startswith("| B")}
    assert rows["| B1"].endswith("| at least 0.50x | 600 | 0.50x (0.30 to 0.60) | reached |")
    assert rows["| B4"].endswith("| at most 3x | 4 | 4x (1 to 4.50) | **missed** |")
    assert rows["| B12"].endswith("| at least 1,000 | 600 | 600 (100 to 900) | **missed** |")
    assert rows["| B9"].endswith("| at least 0.50x | - | - | not measured |")
    assert list(rows) == ["| B1", "| B4", "| B9", "| B12"]
    assert f"- B12: {REASONS['B12']}" in told
    assert "- Not measured: theirs; no Kafka found." in told
    assert "![By <callers>](performance/scale.svg)" in told
    assert "CPython 3.11" in told


def test_a_reason_is_given_for_what_was_missed_alone() -> None:
    met = replace(QUESTION, rows=(replace(MANY, goal=1),))
    assert REASONS["B12"] not in page({"speed": met}, {"speed": RESULT}, False)


def test_every_goal_says_what_stands_in_its_way() -> None:
    assert {row.name for one in QUESTIONS.values() for row in one.rows} == REASONS.keys()


def test_a_question_without_results_says_so() -> None:
    told = page({"speed": QUESTION}, {}, True)
    assert "Not measured; `python -m bench --only speed` does it." in told
    assert "A quick run" in told
    assert "reached" not in told.partition("## Goals")[2]


def test_plots_are_whole_and_told_in_words() -> None:
    drawn = plots({"speed": QUESTION}, {"speed": RESULT})
    assert drawn.keys() == {"scale.svg", "memory.svg"}
    tree = ElementTree.fromstring(drawn["scale.svg"])
    assert tree.findtext(f"{SVG}title") == "By <callers>"
    told = tree.findtext(f"{SVG}desc")
    assert told == "a second by callers. ours: 600 at 1, 600 at 64."
    assert tree.get("aria-labelledby") == "title desc"


def test_what_is_drawn_lies_within_the_plot() -> None:
    series = {"a": [(1.0, 5.0), (512.0, 123_456.0)], "b": [(64.0, 0.0)]}
    for doubling in (True, False):
        tree = ElementTree.fromstring(lines("t", "x", "y", series, doubling))
        points = [line.get("points", "") for line in tree.iter(f"{SVG}polyline")]
        assert len(points) == len(series)
        for point in " ".join(points).split():
            x, y = map(float, point.split(","))
            assert 0 < x < WIDTH
            assert 0 < y < HEIGHT
        looks = {(line.get("stroke"), line.get("stroke-dasharray")) for line in
                 tree.iter(f"{SVG}polyline")}  # fmt: skip
        assert len(looks) == len(series)


@pytest.mark.parametrize("series", [{}, {str(number): [(1.0, 1.0)] for number in range(5)}])
def test_nothing_and_too_much_are_not_drawn(series: dict[str, list[tuple[float, float]]]) -> None:
    with pytest.raises(ValueError, match="1 to 4 series"):
        lines("t", "x", "y", series)


def test_numbers_read_well() -> None:
    shown = [number(value) for value in (12_345.6, 1_234.5, 85.25, 8.25, 0.516, 0, 3, -0.5)]
    assert shown == ["12,300", "1,234", "85.2", "8.25", "0.52", "0", "3", "-0.50"]


def test_results_are_kept(tmp_path: Path) -> None:
    RESULT.write(tmp_path)
    assert read(tmp_path) == {"speed": RESULT}


def test_every_goal_is_about_somebody_who_is_measured() -> None:
    for question in QUESTIONS.values():
        names = [one.name for one in question.contenders]
        assert len(set(names)) == len(names)
        wanted = {row.ours for row in question.rows} | {row.over for row in question.rows} - {None}
        wanted |= {x for c in question.curves for s in c.series.values() for x in s.values()}
        wanted |= {timeline.contender for timeline in question.timelines}
        assert wanted <= set(names), question.name
    rows = {row.name for question in QUESTIONS.values() for row in question.rows}
    assert {f"B{number}" for number in range(1, 15)} <= rows


def test_every_contender_is_there() -> None:
    """Read, not imported: the other libraries are an extra."""
    for question in QUESTIONS.values():
        for one in question.contenders:
            module, _, name = one.call.partition(":")
            tree = ast.parse((ROOT / f"{module.replace('.', '/')}.py").read_text("utf-8"))
            [found] = [
                n for n in tree.body if isinstance(n, ast.AsyncFunctionDef) and n.name == name
            ]
            taken = {argument.arg for argument in found.args.args[2:]}
            given = {*one.options, *(["log"] if one.log else []), *(["url"] if one.engine else [])}
            assert given <= taken, one.call


def test_an_engine_that_is_missing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ALLIANCE_TEST_KAFKA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with workshop(tmp_path / "work") as shop, pytest.raises(Missing, match="no Kafka found"):
        shop.run(Contender("raw", "m:f", 1, 1, engine="kafka"), 1)


def test_the_driver_measures_in_a_process_of_its_own(tmp_path: Path) -> None:
    """The smallest of all: that it works, not how fast."""
    with workshop(tmp_path / "work") as shop:
        found = shop.run(Contender("ours", "bench.ours:replay", 50, 50, log=True), 50)
        assert found.figures["per_second"] > 0
    assert not (tmp_path / "work").exists()


def test_make_bench_is_the_driver() -> None:
    recipe = re.findall(r"^bench:.*\n\t(.*)", (ROOT / "Makefile").read_text(), re.M)
    assert [line.startswith("$(RUN) -m bench ") for line in recipe] == [True]
