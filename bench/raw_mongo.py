"""The raw MongoDB driver: the same documents, in ordered inserts of 64."""

from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

from bench.domain import LOG
from bench.figures import Figures, latencies
from bench.raw import rows
from libs.common.adapters.mongo import COMMIT_INDEXES, COMMITS, Mongo, document_of

GROUP = 64


async def commands(folder: Path, size: int, url: str) -> Figures:
    """One insert after the other, acknowledged by the majority's journals, into the same indexes;
    the documents are made beforehand."""
    documents = [document_of(commit) async for commit in rows(size)]
    took: list[float] = []
    async with Mongo(url, f"bench-{folder.name}"[:40]) as mongo:
        commits = mongo.database(LOG)[COMMITS]
        await commits.create_indexes(COMMIT_INDEXES)
        began = perf_counter()
        for group in _groups(documents):
            started = perf_counter()
            await commits.insert_many(group, ordered=True)
            took += [perf_counter() - started] * len(group)
        wall = perf_counter() - began
    return {**latencies(took), "per_second": size / wall}


def _groups(documents: Sequence[dict[str, Any]]) -> list[Sequence[dict[str, Any]]]:
    return [documents[start : start + GROUP] for start in range(0, len(documents), GROUP)]
