"""What time it is: the real one, one that is moved by hand, or the real one shifted."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from libs.common.ports import Clock
from libs.common.settings import Settings

STEP_MAX = timedelta(days=800)
"""A step beyond this is a typing error, and time never goes back."""


class SystemClock:
    def now(self) -> datetime:
        return datetime.now(UTC)


@dataclass(eq=False)
class SteppedClock:
    """Stands still until it is moved: for tests and the demo. Waits and timeouts stay real."""

    at: datetime

    def now(self) -> datetime:
        return self.at

    def advance(self, to: datetime) -> None:
        """Raises ValueError unless it is forward (or stays), to a whole second with an offset."""
        if to.tzinfo is None or to.microsecond:
            raise ValueError("a step ends on a whole second, with an offset")
        if to < self.at:
            raise ValueError("time does not go back")
        if to - self.at > STEP_MAX:
            raise ValueError("a step this long is a mistake")
        self.at = to.astimezone(UTC)


@dataclass(frozen=True)
class ShiftedClock:
    """Runs like the real one, some way off: a played year goes on where it ended."""

    offset: timedelta

    def now(self) -> datetime:
        return datetime.now(UTC) + self.offset


def clock_of(settings: Settings) -> Clock:
    match settings.clock:
        case "stepped":
            return SteppedClock(settings.clock_start)
        case "shifted":
            return ShiftedClock(settings.clock_offset)
        case "system":
            return SystemClock()
