"""Question: how fast is a log read, its chain checked, decoded and folded?"""

from bench.question import Contender, Question, Row

question = Question(
    "replay",
    "Reading a whole log on SQLite into memory",
    (
        Contender("ours", "bench.ours:replay", 200_000, 10_000, log=True),
        Contender("raw", "bench.raw:decoded", 200_000, 10_000, log=True),
        Contender("eventsourcing, best", "bench.peers:best_decode", 50_000, 5_000),
        Contender("ours, 10^6", "bench.ours:replay", 1_000_000, 0, log=True, rounds=1),
    ),
    (
        Row(
            "B7",
            "events/s: read, verify the chain, decode and fold, against decode and fold alone",
            "ours",
            0.6,
            "raw",
        ),
        Row(
            "B7",
            "the same, against plain decoding of a third of the bytes by the best recipe for "
            "`eventsourcing`",
            "ours",
            1.2,
            "eventsourcing, best",
        ),
        Row(
            "B7",
            "peak memory of replaying 10^6 events (MB)",
            "ours, 10^6",
            300,
            figure="megabytes",
            at_most=True,
        ),
    ),
)
