"""Question: how many durable commands a second on a server that speaks MongoDB's protocol?"""

from bench.question import Contender, Question, Row

question = Question(
    "mongo",
    "Durable commands of 64 concurrent callers on a MongoDB-compatible server, at majority",
    (
        Contender("ours", "bench.ours:on_engine", 20_000, 1_000, engine="mongo"),
        Contender("raw", "bench.raw_mongo:commands", 20_000, 1_000, engine="mongo"),
    ),
    (
        Row("B11", "commands/s, against ordered inserts of 64 of the same documents", "ours", 0.5,
            "raw"),
    ),
)  # fmt: skip
