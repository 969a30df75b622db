"""Questions to a thread: those that come while others are answered go together, in one hand-over.

A hand-over costs both threads more than most questions do, so sixty callers who each look up
something of their own would do little else.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

from libs.common.errors import StoreAway

TOGETHER_MAX = 64
"""Questions of one hand-over."""

T = TypeVar("T")
Question = Callable[[], Any]


@dataclass(eq=False)
class Together:
    thread: ThreadPoolExecutor
    _waiting: deque[tuple[Question, asyncio.Future[Any]]] = field(default_factory=deque)
    _asking: bool = False

    async def ask(self, question: Callable[[], T]) -> T:
        """Raises what the question raises, or StoreAway when the thread has ended."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()
        self._waiting.append((question, answer))
        if not self._asking:
            self._asking = True
            loop.call_soon(self._hand_over, loop)
        return await answer

    def _hand_over(self, loop: asyncio.AbstractEventLoop) -> None:
        some = [self._waiting.popleft() for _ in range(min(TOGETHER_MAX, len(self._waiting)))]
        self._asking = bool(some)
        if not some:
            return
        answers = [answer for _, answer in some]
        try:
            asked = loop.run_in_executor(self.thread, _all, [question for question, _ in some])
        except RuntimeError:  # it was closed meanwhile
            self._told(loop, answers, [StoreAway("closed")] * len(some))
        else:
            asked.add_done_callback(lambda done: self._told(loop, answers, done.result()))

    def _told(
        self,
        loop: asyncio.AbstractEventLoop,
        answers: Sequence[asyncio.Future[Any]],
        outcomes: Sequence[Any],
    ) -> None:
        for answer, outcome in zip(answers, outcomes, strict=True):
            if answer.done():
                continue  # nobody waits for it any more
            if isinstance(outcome, Exception):
                answer.set_exception(outcome)
            else:
                answer.set_result(outcome[0])
        self._hand_over(loop)


def _all(questions: Sequence[Question]) -> list[Any]:
    """Each answer by itself in a tuple, or what was raised."""
    found: list[Any] = []
    for question in questions:
        try:
            found.append((question(),))
        except Exception as error:
            found.append(error)
    return found
