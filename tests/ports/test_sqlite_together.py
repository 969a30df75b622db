"""Questions to a thread go together, and each asker hears of their own alone."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from libs.common.adapters.sqlite_together import TOGETHER_MAX, Together
from libs.common.errors import StoreAway

SECONDS_MAX = 60.0


class Counting(ThreadPoolExecutor):
    """How many questions each hand-over brings."""

    def __init__(self) -> None:
        super().__init__(1)
        self.hand_overs: list[int] = []

    def submit(self, work: Callable[..., Any], /, *about: Any, **more: Any) -> Future[Any]:
        self.hand_overs.append(len(about[0]))
        return super().submit(work, *about, **more)


@pytest.fixture
def thread() -> Iterator[Counting]:
    with Counting() as counting:
        yield counting


async def test_who_asks_while_others_are_answered_goes_with_all_who_do(thread: Counting) -> None:
    together, gate = Together(thread), threading.Event()

    def held() -> str:
        assert gate.wait(SECONDS_MAX)
        return "held"

    first = asyncio.create_task(together.ask(held))
    while not thread.hand_overs:
        await asyncio.sleep(0)
    others = [asyncio.create_task(together.ask(partial(int, n))) for n in range(TOGETHER_MAX + 6)]
    while len(together._waiting) < len(others):
        await asyncio.sleep(0)
    gate.set()
    assert await first == "held"
    assert await asyncio.gather(*others) == list(range(TOGETHER_MAX + 6))
    assert thread.hand_overs == [1, TOGETHER_MAX, 6]


async def test_an_error_is_told_to_whoever_asked_and_to_nobody_else(thread: Counting) -> None:
    together = Together(thread)

    def wrong() -> int:
        raise LookupError("mine")

    outcomes = await asyncio.gather(
        together.ask(lambda: 1),
        together.ask(wrong),
        together.ask(lambda: 3),
        return_exceptions=True,
    )
    assert [outcomes[0], outcomes[2]] == [1, 3]
    assert isinstance(outcomes[1], LookupError)
    assert thread.hand_overs == [3]


async def test_who_has_gone_away_keeps_nobody_waiting(thread: Counting) -> None:
    together = Together(thread)
    asked = [asyncio.create_task(together.ask(partial(int, n))) for n in range(3)]
    await asyncio.sleep(0)
    asked[1].cancel()
    outcomes = await asyncio.gather(*asked, return_exceptions=True)
    assert [outcomes[0], outcomes[2]] == [0, 2]
    assert isinstance(outcomes[1], asyncio.CancelledError)
    assert await together.ask(lambda: "and on") == "and on"


async def test_a_thread_that_has_ended_is_a_store_that_is_away(thread: Counting) -> None:
    together = Together(thread)
    assert await together.ask(lambda: 1) == 1
    thread.shutdown()
    for _ in range(2):
        with pytest.raises(StoreAway):
            await together.ask(lambda: 1)
