"""Question: how fast is a read model built anew, and how much memory does it take?"""

from bench.question import Contender, Question, Row

question = Question(
    "rebuild",
    "Building a read model anew from a log on SQLite, every document and cursor stored",
    (
        Contender("ours", "bench.ours:rebuild", 200_000, 10_000, log=True),
        Contender("raw", "bench.ours:bare_rebuild", 200_000, 10_000, log=True),
        Contender("eventsourcing, follower", "bench.peers:follower", 20_000, 2_000),
        Contender("eventsourcing, by hand", "bench.peers:by_hand", 20_000, 2_000),
        Contender("ours, 10^6", "bench.ours:rebuild", 1_000_000, 0, log=True, rounds=1),
        Contender("raw, 10^6", "bench.ours:bare_rebuild", 1_000_000, 0, log=True, rounds=1),
    ),
    (
        Row("B8", "events/s, against `eventsourcing`'s follower", "ours", 20,
            "eventsourcing, follower"),
        Row("B8", "events/s, against a bare fold in memory, each document written once",
            "ours", 0.7, "raw"),
        Row("B8", "events/s at 10^6 events and 57,000 documents, against the bare fold",
            "ours, 10^6", 0.7, "raw, 10^6"),
        Row("B8", "peak memory of rebuilding from 10^6 events (MB)", "ours, 10^6", 300,
            figure="megabytes", at_most=True),
    ),
)  # fmt: skip
