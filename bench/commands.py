"""Question: how many durable commands a second do 64 callers get, and how long do they wait?"""

from bench.question import Contender, Question, Row

question = Question(
    "commands",
    "Durable commands of 64 concurrent callers on SQLite, two personal fields sealed in each",
    (
        Contender("ours", "bench.ours:commands", 60_000, 3_000),
        Contender("raw", "bench.raw:commands", 60_000, 3_000),
        Contender("eventsourcing, default", "bench.peers:default_commands", 5_000, 400),
        Contender("eventsourcing, best", "bench.peers:best_commands", 8_000, 800),
        Contender(
            "eventsourcing, default, one thread", "bench.peers:default_in_one_thread", 5_000, 400
        ),
        Contender("eventsourcing, best, one thread", "bench.peers:best_in_one_thread", 8_000, 800),
        Contender("eventsource-py", "bench.peers:other_commands", 5_000, 400),
    ),
    (
        Row("B1", "commands/s, against a raw group commit of the same rows", "ours", 0.5, "raw"),
        Row(
            "B2",
            "commands/s, against `eventsourcing` in its default",
            "ours",
            25,
            "eventsourcing, default",
        ),
        Row(
            "B2",
            "commands/s, against the best recipe for `eventsourcing`",
            "ours",
            8,
            "eventsourcing, best",
        ),
        Row(
            "B2",
            "the same, its callers before one thread",
            "ours",
            8,
            "eventsourcing, best, one thread",
        ),
        Row("B2", "commands/s, against `eventsource-py`", "ours", 25, "eventsource-py"),
        Row(
            "B4",
            "99 of 100 wait no longer than (ms), against the raw group commit",
            "ours",
            3,
            "raw",
            "p99_ms",
            at_most=True,
        ),
    ),
)
