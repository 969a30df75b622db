"""A run that proves nothing says so, a broken promise is on the page, and outages are judged."""

from collections import Counter
from random import Random

from tests.faults.away import GRACE_NS, PROBES_MIN, Probe, false_successes
from tests.faults.checker import Finding
from tests.faults.clients import Person
from tests.faults.history import AWAY, OK, Attempt, Heard, Operation
from tests.faults.kills import Sensitivity, missed
from tests.faults.report import Report, page
from tests.faults.table import RUNS

WHO = ("a", "b", "c")
START, END = 0, 60 * GRACE_NS
INSIDE = START + 2 * GRACE_NS


def _operations(*outcomes: str, at: int = INSIDE) -> list[Operation]:
    return [
        Operation(n, 1, WHO, "POST", "/v1/x", "k", attempts=[Attempt(at, at + 1, Heard(outcome))])
        for n, outcome in enumerate(outcomes)
    ]


def test_a_run_that_met_too_little_is_void() -> None:
    wanted = Sensitivity(unknown=10, stored_unknown=2)
    figures = {"unknown": 10, "stored unknown": 2, "by policies": 1}
    assert missed(figures, wanted) == ""
    for name in figures:
        assert missed({**figures, name: figures[name] - 1}, wanted)


def test_findings_and_void_runs_are_not_good_and_stand_on_the_page() -> None:
    kept = Report("kept", 1, 2.0, {"kill api": 3}, {"ok": 4_000})
    broken = Report("broken", 1, 2.0, findings=[Finding("topic", "log:3 jumps")] * 30)
    void = Report("empty", 1, 2.0, void="no load")
    assert [report.good for report in (kept, broken, void)] == [True, False, False]
    written = page([kept, broken, void], "python -m tests.faults")
    for words in ("| kept | 1 | kept | 2 |", "30 findings", "log:3 jumps", "void: no load",
                  "kill api 3", "ok 4,000", "10 more findings"):  # fmt: skip
        assert words in written


def test_an_acknowledgement_while_the_store_was_away_is_found() -> None:
    honest = _operations(*[AWAY] * PROBES_MIN)
    assert false_successes(honest, [(START, END)]) == []
    late = _operations(OK, at=END + GRACE_NS)
    assert false_successes([*honest, *late], [(START, END)]) == []
    (found,) = false_successes([*honest, *_operations(OK)], [(START, END)])
    assert found.rule == "false success"


def test_a_load_that_was_never_told_to_come_back_shows_nothing() -> None:
    (found,) = false_successes(_operations(AWAY), [(START, END)])
    assert found.rule == "while away"


def test_a_reader_who_is_told_an_old_story_is_found() -> None:
    person: Person = Person(None, 1, {}, Random(1))  # type: ignore[arg-type] # asks nobody
    good = Counter({"written": 5, "told that it is behind": 5, "read afterwards": 1})
    assert Probe(person, good).findings() == []
    for name in ("told something else", "not written"):
        assert Probe(person, good + Counter({name: 1})).findings()
    for name in good:
        assert Probe(person, Counter({**good, name: 0})).findings()


def test_every_run_of_the_table_has_a_short_form_and_says_how_long_it_takes() -> None:
    for name, entry in RUNS.items():
        assert entry.what, name
        assert entry.minutes > 0, name
        assert entry.run is not entry.short, name
