"""The time in worlds whose time is virtual: it begins in September and follows the loop's."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

START = datetime(2025, 9, 1, tzinfo=UTC)


def later(at: datetime, seconds: float) -> datetime:
    return at + timedelta(seconds=seconds)


@dataclass(frozen=True)
class WorldClock:
    """Wall time that follows the loop's virtual time; `off_seconds` as a bad clock is."""

    off_seconds: float = 0.0

    def now(self) -> datetime:
        return later(START, asyncio.get_running_loop().time() + self.off_seconds)
