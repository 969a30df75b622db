"""Question: does a command cost more when much lies in the log already?"""

from bench.question import Contender, Curve, Question, Row

SIZES = {10_000: 1_000, 100_000: 5_000, 1_000_000: 20_000}
"""Commits in the log -> as many in a quick run."""

question = Question(
    "growth",
    "Commands to cold streams, drawn at random, in a log that holds so many commits already",
    tuple(
        Contender(f"ours, {size}", "bench.ours:growth", size, quick, log=True)
        for size, quick in SIZES.items()
    ),
    (
        Row("B13", "commands/s at 10^5 stored commits, against 10^4", "ours, 100000", 0.7,
            "ours, 10000"),
        Row("B13", "commands/s at 10^6 stored commits, against 10^4", "ours, 1000000", 0.7,
            "ours, 10000"),
    ),
    (
        Curve("growth", "Commands a second as the log grows", "commits stored", "commands/s",
              {"ours, 64 callers, cold streams": {size: f"ours, {size}" for size in SIZES}}),
    ),
    quick_rounds=1,
)  # fmt: skip
