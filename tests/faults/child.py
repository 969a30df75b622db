"""A service whose replies dawdle after the store has written: `python -m tests.faults.child SEED
MODULE [PART]…`.

A kill between the insert and the reply is what a retry must survive; left alone that moment lasts
a millisecond and is seldom hit. The product knows nothing of this page: it wraps the store as it is
opened.
"""

import asyncio
import os
import runpy
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from random import Random

from libs.common import serving
from libs.common.adapters import PREFIX, open_store
from libs.common.commit import Commit
from libs.common.ports import EventStore, Inserted

DAWDLES = 0.5
"""The share of inserts after which the reply waits."""
DAWDLE_SECONDS = (0.05, 0.4)


def dawdling(chance: Random) -> None:
    """From now on every store that a service opens dawdles."""

    @asynccontextmanager
    async def opened(
        url: str, log: str, readonly: bool = False, prefix: str = PREFIX
    ) -> AsyncIterator[EventStore]:
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


def main() -> None:
    _, seed, module, *parts = sys.argv
    dawdling(Random(f"{seed}/{os.getpid()}"))  # one that is started again dawdles elsewhere
    sys.argv = [module, *parts]
    runpy.run_module(module, run_name="__main__")


if __name__ == "__main__":
    main()
