"""Question: what does a lone caller get, who waits for each command before the next?"""

from bench.question import Contender, Question, Row

ALONE = {"callers": 1}

question = Question(
    "serial",
    "Durable commands of one caller on SQLite, one after the other",
    (
        Contender("ours", "bench.ours:commands", 6_000, 500, ALONE),
        Contender("raw", "bench.raw:commands", 6_000, 500, ALONE),
        Contender("eventsourcing, default", "bench.peers:default_commands", 4_000, 400, ALONE),
        Contender("eventsource-py", "bench.peers:other_commands", 3_000, 300, ALONE),
    ),
    (
        Row(
            "B3",
            "serial commands/s, against `eventsourcing` in its default",
            "ours",
            2,
            "eventsourcing, default",
        ),
    ),
    quick_rounds=1,
)
