"""Rows are read as they lie, a page ahead, whatever is in them."""

import asyncio
import gc
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from libs.common.adapters import open_store
from libs.common.commit import Commit
from libs.common.errors import StoreAway
from libs.common.ports import Row
from libs.common.replay import commits
from libs.common.verify import Broken, ReadingAhead, verify
from tests.common.broken import behind_its_back
from tests.failing import Failing, FailingStore
from tests.ports.chains import LOG, Chain, stream_in

ODD: Sequence[bytes | str] = (b"", b"\n", b'{"a":\n1}', b"\x00\xff", b"a\x00\nb")
SEVERAL = 1_200
"""More than two pages."""


async def written(folder: Path, count: int) -> list[Commit]:
    chain = Chain()
    rows = [chain.grow(stream_in(5, number % 7)) for number in range(count)]
    async with open_store(f"sqlite://{folder}", LOG) as store:
        assert (await store.insert(rows)).n == count
    return rows


@pytest.mark.parametrize("odd", ODD)
async def test_rows_with_odd_bytes_are_told_apart(tmp_path: Path, odd: bytes) -> None:
    rows = [Row.of(commit) for commit in await written(tmp_path, 5)]
    with behind_its_back(tmp_path) as connection:
        connection.execute("UPDATE commits SET body = ? WHERE seq = 3", (odd,))
    rows[2] = rows[2]._replace(body=odd)
    async with open_store(f"sqlite://{tmp_path}", LOG, readonly=True) as store:
        assert await store.rows(5, 0) == rows
        with pytest.raises(Broken, match="no commit"):
            await verify(store)
        with pytest.raises(StoreAway, match="cannot be read"):
            [commit async for commit in commits(store)]


async def test_rows_whose_columns_hold_a_line_s_end_are_told_apart(tmp_path: Path) -> None:
    rows = [Row.of(commit) for commit in await written(tmp_path, 5)]
    with behind_its_back(tmp_path) as connection:
        connection.execute("UPDATE commits SET subjects = char(10) WHERE seq = 3")
    async with open_store(f"sqlite://{tmp_path}", LOG, readonly=True) as store:
        found = await store.rows(5, 0)
        assert [row.seq for row in found] == [row.seq for row in rows]
        assert [one == other for one, other in zip(found, rows, strict=True)].count(False) == 1


async def test_a_long_log_is_read_whole_and_in_order(tmp_path: Path) -> None:
    wanted = await written(tmp_path, SEVERAL)
    async with open_store(f"sqlite://{tmp_path}", LOG, readonly=True) as store:
        assert [commit async for commit in commits(store)] == wanted
        assert (await verify(store)).commits == SEVERAL


async def test_what_fails_a_page_ahead_is_told_when_its_turn_has_come(tmp_path: Path) -> None:
    wanted = await written(tmp_path, SEVERAL)
    async with open_store(f"sqlite://{tmp_path}", LOG, readonly=True) as store:
        pages = ReadingAhead(FailingStore(store, Failing(2, armed=True)), 5)
        first = await pages.rows()
        assert first == [Row.of(commit) for commit in wanted[: len(first)]]
        with pytest.raises(StoreAway, match="was made to fail"):
            await pages.rows()
        assert (await pages.rows())[0].seq == len(first) + 1
        pages.close()


async def test_what_fails_behind_what_was_wanted_is_told_to_nobody(tmp_path: Path) -> None:
    await written(tmp_path, SEVERAL)
    told: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, about: told.append(about))
    async with open_store(f"sqlite://{tmp_path}", LOG, readonly=True) as store:
        with closing(ReadingAhead(FailingStore(store, Failing(2, armed=True)), 5)) as pages:
            assert await pages.rows()
        await asyncio.sleep(0)
    gc.collect()
    assert told == []
