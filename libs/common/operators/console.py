"""Who runs a command on a service, and where it is told what came of it.

Nothing about a person is told: positions, counts, and what is wrong.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from libs.common.service import Rooms
from libs.common.settings import Settings

WELL, NOT_WELL, MISUSED = 0, 1, 2
"""Exit codes."""


Bar = Callable[[str, int | None], Callable[[int], None]]
"""Starts a bar of this name and length; the answer moves it on by so many."""


def no_bar(_name: str, _total: int | None) -> Callable[[int], None]:
    """Nobody watches."""
    return lambda _: None


@dataclass(frozen=True)
class Operator:
    """A process's settings, the services it means, and the words behind the command's own."""

    settings: Settings
    rooms: Sequence[Rooms]
    words: Sequence[str] = ()
    console: Console = field(default_factory=Console)

    def say(self, line: str) -> None:
        """A line as it is, however long."""
        self.console.out(line, highlight=False)

    def bars(self) -> Progress:
        """For what takes long; gone when it is done."""
        return Progress(
            TextColumn("{task.description:<28}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        )

    def bar(self, bars: Progress, about: str) -> Bar:
        def start(name: str, total: int | None) -> Callable[[int], None]:
            task = bars.add_task(f"{about}: {name}", total=total)
            return lambda count: bars.advance(task, count)

        return start


Operation = Callable[[Operator], Awaitable[int]]
"""Answers with the exit code."""
