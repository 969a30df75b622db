"""What the handler knows by heart is what the log says, whoever asked and whoever went away."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import orjson
import pytest

from libs.common.adapters import open_keys, open_store
from libs.common.append import Appender
from libs.common.clock import SystemClock
from libs.common.commit import Commit, Draft
from libs.common.errors import KeyReused, StoreAway
from libs.common.handle import Ask, Handler
from libs.common.ports import EventStore, Inserted
from libs.common.sealing import Keyring
from tests.common.beads import SOMEBODY, STAMP, Add, BeadStrung, String, string
from tests.failing import Failing, FailingStore

WITHIN_SECONDS = 60


@asynccontextmanager
async def handling(
    folder: Path,
) -> AsyncIterator[tuple[Handler[String, Add, BeadStrung], EventStore]]:
    url = f"sqlite://{folder}"
    async with open_store(url, "beads") as store, open_keys(url) as keys:
        appender = Appender(store, "beads", SystemClock())
        yield Handler(string, appender, Keyring(keys, bytes(64))), store
        await appender.close()


def adding(colour: str, number: int, path: str = "POST /beads") -> Ask[Add]:
    return Ask("string/a", Add(colour=colour, stamp=STAMP), UUID(int=number), path=path)


async def stored(store: EventStore) -> list[Commit]:
    return [commit async for commit in store.stream("string/a")]


async def left(handle: Handler[String, Add, BeadStrung], ask: Ask[Add]) -> None:
    """Its caller goes away while it is being stored."""
    leaving = asyncio.create_task(handle(ask))
    async with asyncio.timeout(WITHIN_SECONDS):
        while not handle.appender.waiting():
            await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    await handle.appender.close()


async def test_a_command_that_is_asked_twice_at_once_is_stored_once(tmp_path: Path) -> None:
    async with handling(tmp_path) as (handle, store):
        one, two = await asyncio.gather(handle(adding("red", 1)), handle(adding("red", 1)))
        assert two == one._replace(replayed=True)
        assert len(await stored(store)) == 1


async def test_a_key_that_is_used_twice_at_once_with_other_words_is_refused(tmp_path: Path) -> None:
    async with handling(tmp_path) as (handle, store):
        outcomes = await asyncio.gather(
            handle(adding("red", 1)), handle(adding("blue", 1)), return_exceptions=True
        )
        assert isinstance(outcomes[1], KeyReused)
        assert len(await stored(store)) == 1


async def test_what_is_stored_is_known_though_its_caller_went_away(tmp_path: Path) -> None:
    async with handling(tmp_path) as (handle, store):
        await handle(adding("red", 1))
        await left(handle, adding("blue", 2))
        assert len(await stored(store)) == 2
        assert (await handle.newest("string/a")).state.colours == ("red", "blue")


async def test_a_new_stream_is_known_though_its_caller_went_away(tmp_path: Path) -> None:
    async with handling(tmp_path) as (handle, _):
        await left(handle, adding("red", 1))
        assert (await handle.newest("string/a")).state.colours == ("red",)


class Mute(FailingStore):
    """Stores, says that it does not know, and cannot be asked."""

    async def insert(self, rows: Sequence[Commit]) -> Inserted:
        await self.store.insert(rows)
        return Inserted(0, "unknown")

    async def by_commands(self, _: Sequence[UUID], local: bool = False) -> dict[UUID, Commit]:
        raise StoreAway("locally" if local else "at majority")


async def no_pause(_: float) -> None:
    await asyncio.sleep(0)


async def test_what_may_be_stored_is_not_denied(tmp_path: Path) -> None:
    """Its caller was told that the outcome is unknown, and never asks again."""
    async with handling(tmp_path) as (handle, store):
        await handle(adding("red", 1))
        handle.appender.store, handle.appender.sleep = Mute(store, Failing(0)), no_pause
        with pytest.raises(StoreAway):
            await handle(adding("blue", 2))
        assert (await handle.newest("string/a")).state.colours == ("red", "blue")


async def test_a_command_that_a_newer_release_has_stored_gets_its_answer(tmp_path: Path) -> None:
    """In a shape that this build does not know: nothing is folded, and nobody else is harmed."""
    async with handling(tmp_path) as (handle, _):
        ask = replace(adding("red", 1), path=None)
        await handle(replace(adding("red", 9), stream="string/b"))
        newer = Draft(
            stream=ask.stream,
            expected=0,
            events=(orjson.dumps({"data": {"hue": 9}, "type": BeadStrung.type, "v": 99}),),
            types=(BeadStrung.type,),
            command=ask.id,
            correlation=ask.id,
            actor=SOMEBODY,
        )
        await handle.appender.append(newer)
        known, other = await asyncio.gather(
            handle(replace(ask, new=True)), handle(replace(adding("blue", 2), stream="string/b"))
        )
        assert (known.replayed, other.version) == (True, 2)


class Slow(FailingStore):
    """The first read of a stream gives what it found once it is let go."""

    def __init__(self, store: EventStore) -> None:
        super().__init__(store, Failing(0))
        self.found, self.go = asyncio.Event(), asyncio.Event()

    async def stream(self, stream: str, after: int = 0) -> AsyncIterator[Commit]:
        commits = [commit async for commit in self.store.stream(stream, after)]
        if not self.found.is_set():
            self.found.set()
            await self.go.wait()
        for commit in commits:
            yield commit


async def test_a_slow_reader_does_not_bring_back_what_has_passed(tmp_path: Path) -> None:
    async with handling(tmp_path) as (first, store):
        await first(adding("red", 1))
        slow = Slow(store)
        handle = Handler(string, Appender(slow, "beads", SystemClock()), first.keyring)
        reading = asyncio.create_task(handle.known("string/a"))
        await slow.found.wait()
        await handle(adding("blue", 2))
        slow.go.set()
        assert (await reading).state.colours == ("red",)
        assert (await handle.newest("string/a")).state.colours == ("red", "blue")
