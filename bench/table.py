"""Every question of the bench, in the order in which the page answers them."""

from bench import (
    commands,
    consent,
    curves,
    growth,
    http,
    kafka,
    mongo,
    peak,
    rebuild,
    replay,
    roster,
    serial,
    steps,
    verify,
)
from bench.question import Question

QUESTIONS: dict[str, Question] = {
    one.question.name: one.question
    for one in (
        commands,
        serial,
        steps,
        http,
        peak,
        replay,
        rebuild,
        kafka,
        mongo,
        consent,
        growth,
        verify,
        roster,
        curves,
    )
}
