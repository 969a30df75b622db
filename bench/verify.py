"""Question: how fast can anybody check that a log is whole?"""

from bench.question import Contender, Question, Row

question = Question(
    "verify",
    "Checking a whole log offline: chain, streams, commands",
    (Contender("ours", "bench.ours:verified", 1_000_000, 20_000, log=True),),
    (Row("B14", "commits/s checked, of a log of 10^6", "ours", 100_000),),
)
