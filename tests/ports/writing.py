"""A writer to be killed: `python -m tests.ports.writing <folder> <seed>` stores until it dies.

Prints a line for each commit once it is acknowledged: its command, its shard and its seq.
"""

import asyncio
import sys
from random import Random

from libs.common.adapters import open_store
from libs.common.ports import SHARDS
from tests.ports.chains import LOG, Chain

GROUP_MAX = 40
STREAMS = 200


async def write(folder: str, seed: int) -> None:
    random = Random(seed)
    async with open_store(f"sqlite://{folder}", LOG) as store:
        heads = [await store.head(shard) for shard in range(SHARDS)]
        chain = Chain(heads={head.shard: head for head in heads if head is not None})
        while True:
            for number in random.sample(range(STREAMS), random.randint(1, GROUP_MAX)):
                stream = f"pearl/{number}"
                if stream not in chain.versions:
                    versions = [commit.last async for commit in store.stream(stream)]
                    chain.versions[stream] = versions[-1] if versions else 0
            rows = [
                chain.grow(stream, random.randint(1, 3))
                for stream in random.sample(sorted(chain.versions), min(9, len(chain.versions)))
            ]
            stored = await store.insert(rows)
            assert stored == (len(rows), None), stored
            for row in rows:
                print(row.command, row.shard, row.seq, flush=True)


if __name__ == "__main__":
    asyncio.run(write(sys.argv[1], int(sys.argv[2])))
