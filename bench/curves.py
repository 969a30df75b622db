"""Question: what do one, a few, and many callers get?"""

from bench.question import Contender, Curve, Question

CALLERS = (1, 4, 16, 64, 256, 512)
QUICK = (1, 64, 512)
A_CALLER = 400
SIZES = (4_000, 60_000)
"""Commands at the least and at the most."""


def _contenders(name: str, call: str) -> tuple[Contender, ...]:
    return tuple(
        Contender(
            f"{name}, {callers}",
            call,
            min(max(SIZES[0], A_CALLER * callers), SIZES[1]),
            max(SIZES[0] // 10, 2 * callers) if callers in QUICK else 0,
            {"callers": callers},
        )
        for callers in CALLERS
    )


def _curve(name: str, title: str, y: str, figure: str) -> Curve:
    series = {
        label: {callers: f"{contender}, {callers}" for callers in CALLERS}
        for label, contender in {"ours": "ours", "raw group commit": "raw"}.items()
    }
    return Curve(name, title, "callers", y, series, figure)


question = Question(
    "curves",
    "Durable commands on SQLite by the number of concurrent callers",
    (*_contenders("ours", "bench.ours:commands"), *_contenders("raw", "bench.raw:commands")),
    curves=(
        _curve("callers", "Durable commands a second by callers", "commands/s", "per_second"),
        _curve("latency", "99 of 100 commands wait no longer than", "milliseconds", "p99_ms"),
    ),
    quick_rounds=1,
)
