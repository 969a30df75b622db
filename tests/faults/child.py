"""A service whose replies dawdle after the store has written: `python -m tests.faults.child SEED
MODULE [PART]…`.

A kill between the insert and the reply is what a retry must survive; left alone that moment lasts
a millisecond and is seldom hit. The product knows nothing of this page: it wraps the store as it is
opened.
"""

import asyncio
import os
import runpy
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

from libs.common import serving
from libs.common.adapters import PREFIX, open_store
from libs.common.commit import Commit
from libs.common.ports import EventStore, Inserted

ASKED_WHERE = signal.SIGUSR1
"""On this signal it writes into its log where it waits: for a run that does not go on."""
DAWDLES = 0.5
"""The share of inserts after which the reply waits."""
DAWDLE_SECONDS = (0.05, 0.4)


def dawdling(chance: Random) -> None:
    """From now on every store that a service opens dawdles."""

    @asynccontextmanager
    async def opened(
        url: str, log: str, readonly: bool = False, prefix: str = PREFIX
    ) -> AsyncIterator[EventStore]:
        asyncio.get_running_loop().add_signal_handler(ASKED_WHERE, tell_where)
        async with open_store(url, log, readonly, prefix) as store:
            insert = store.insert

            async def slowly(rows: Sequence[Commit]) -> Inserted:
                outcome = await insert(rows)
                if chance.random() < DAWDLES:
                    await asyncio.sleep(chance.uniform(*DAWDLE_SECONDS))  # the window to be hit
                return outcome

            store.insert = slowly  # type: ignore[method-assign] # the fault point
            yield store

    serving.open_store = opened  # type: ignore[attr-defined] # where services get it from


def tell_where() -> None:
    """Where each task of this process waits, outermost first."""
    for task in asyncio.all_tasks():
        waits: Any = task.get_coro()
        places = []
        while waits is not None:
            frame = _first(waits, "cr_frame", "gi_frame", "ag_frame")
            if frame is not None:
                places.append(f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}")
            waits = _first(waits, "cr_await", "gi_yieldfrom", "ag_await")
        sys.stderr.write(f"{task.get_name()}: {' > '.join(places)}\n")
    sys.stderr.flush()


def _first(of: object, *names: str) -> Any:
    return next((found for name in names if (found := getattr(of, name, None)) is not None), None)


def main() -> None:
    _, seed, module, *parts = sys.argv
    dawdling(Random(f"{seed}/{os.getpid()}"))  # one that is started again dawdles elsewhere
    sys.argv = [module, *parts]
    runpy.run_module(module, run_name="__main__")


if __name__ == "__main__":
    main()
