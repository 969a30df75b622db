"""A restored store and a lost topic on real engines: told, mended by an operator, going on."""

import asyncio
from io import StringIO
from pathlib import Path
from uuid import uuid4

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from motor.motor_asyncio import AsyncIOMotorClient
from rich.console import Console

from libs.common.errors import Unavailable
from libs.common.fence import Why
from libs.common.operators.console import NOT_WELL, WELL, Operator
from libs.common.operators.operate import operate
from libs.common.ports import SHARDS
from libs.common.service import Running
from libs.common.settings import Settings
from tests.common.beads import add
from tests.common.doors import ROOMS, Doors, alive, service, settled, until
from tests.common.test_real_engines import open_real, topic_is_whole
from tests.common.test_recover import flows, strung_everywhere
from tests.ports.chains import everything

pytestmark = pytest.mark.engines
BEADS = 150
FIRST, SECOND = 1_000, 2_000
"""Where the names of two loads begin."""
ASK_SECONDS = 0.1


class Place:
    """One deployment of the beads' service, and its operator."""

    def __init__(self, kafka: str, mongo: str, folder: Path) -> None:
        self.kafka, self.mongo, self.folder = kafka, mongo, folder
        self.prefix = f"test-{uuid4().hex[:8]}"
        self.topic = f"{self.prefix}.beads.commits"

    async def ask(self, word: str) -> tuple[int, list[str]]:
        """What an operator's command answers, and its exit code."""
        given = {
            "STORE_URL": self.mongo,
            "VIEWS_URL": self.mongo,
            "BUS_URL": self.kafka,
            "PREFIX": self.prefix,
            "DATA_DIR": str(self.folder / "data"),
            "KEK_FILE": str(self.folder / "kek"),
        }
        page = StringIO()
        operator = Operator(Settings.of("beads", given), [ROOMS], (), Console(file=page))
        return await operate(word, operator), page.getvalue().splitlines()

    async def restore_older_copy(self) -> int:
        """The store as it was when every shard was half as long; how many commits that took."""
        client: AsyncIOMotorClient[dict[str, object]] = AsyncIOMotorClient(self.mongo)
        commits = client[f"{self.prefix}_beads"]["commits"]
        gone = 0
        for shard in range(SHARDS):
            count = await commits.count_documents({"shard": shard})
            wanted = [f"{shard:02}:{seq:012}" for seq in range(count // 2 + 1, count + 1)]
            gone += (await commits.delete_many({"_id": {"$in": wanted}})).deleted_count
        client.close()
        return gone

    async def admin(self) -> AIOKafkaAdminClient:
        found = AIOKafkaAdminClient(bootstrap_servers=self.kafka.removeprefix("kafka://"))
        await found.start()
        return found


@pytest.fixture
def place(kafka: str, mongo: str, tmp_path: Path) -> Place:
    return Place(kafka, mongo, tmp_path)


async def strung(running: Running, start: int) -> None:
    async def one(number: int) -> None:
        while True:
            try:
                await running.handle(add(number, f"colour{number % 7}", f"string/{number}"))
            except Unavailable:
                await asyncio.sleep(ASK_SECONDS)  # as a client is told to
            else:
                return

    await asyncio.gather(*map(one, range(start, start + BEADS)))


async def written(running: Running, doors: Doors, start: int) -> None:
    """Commands that have come all the way: into the read models and onto the topic."""
    await strung(running, start)
    await settled(running, doors.store)
    await until(lambda: topic_is_whole(doors))


async def relayed(doors: Doors) -> Running:
    running = await service(doors)
    running.relayed = True
    return running


async def test_a_restored_store_is_fenced_until_recover_has_brought_back_the_same_bytes(
    place: Place,
) -> None:
    async with open_real(place.kafka, place.mongo, place.prefix) as doors:
        running = await relayed(doors)
        async with alive(running):
            await written(running, doors, FIRST)
        before = [commit.body for commit in await everything(doors.store)]
    gone = await place.restore_older_copy()
    assert gone > BEADS / 3
    assert (await place.ask("fsck"))[0] == NOT_WELL
    async with open_real(place.kafka, place.mongo, place.prefix) as doors:
        running = await relayed(doors)
        async with alive(running):
            held = running.relay.fence.held
            assert set(held.values()) == {Why.BEHIND}
            assert len(running.relay.fence.reasons()) == len(held)
            assert set(running.relay.fence.reasons()) <= set(running.not_ready())
            refused, _ = await strung_everywhere(running)
            assert refused == set(held)
            code, lines = await place.ask("recover")
            assert (code, lines[-1]) == (WELL, "beads: well")
            assert len(lines) == len(refused) + 1
            assert [
                c.body for c in await everything(doors.store) if c.body in set(before)
            ] == before
            await until(lambda: flows(running))
            refused, _ = await strung_everywhere(running)
            assert not refused
            await settled(running, doors.store)
            await until(lambda: topic_is_whole(doors))
    assert (await place.ask("fsck"))[0] == WELL
    assert (await place.ask("recover"))[1] == ["beads: nothing to recover", "beads: well"]


async def test_a_deleted_topic_is_filled_again_and_readers_see_no_gap(place: Place) -> None:
    """With the service stopped, so that nobody but `recover` makes it again."""
    async with open_real(place.kafka, place.mongo, place.prefix) as doors:
        running = await relayed(doors)
        async with alive(running):
            await written(running, doors, FIRST)
    admin = await place.admin()
    await admin.delete_topics([place.topic])
    while any(each["topic"] == place.topic for each in await admin.describe_topics()):
        await asyncio.sleep(ASK_SECONDS)  # until its broker has let go of it
    await admin.close()
    code, lines = await place.ask("recover")
    assert (code, lines[-1]) == (WELL, "beads: well")
    async with open_real(place.kafka, place.mongo, place.prefix) as doors:
        assert await topic_is_whole(doors)
        running = await relayed(doors)
        async with alive(running):
            await strung(running, SECOND)
            await settled(running, doors.store)
            assert not [standing for standing in running.standings() if standing.gaps]
            await until(lambda: topic_is_whole(doors))
    assert (await place.ask("fsck"))[0] == WELL


async def test_a_topic_deleted_under_a_service_at_work_heals(place: Place) -> None:
    """Its relay notices, makes it again and sends all; readers that were at work go on reading."""
    async with open_real(place.kafka, place.mongo, place.prefix) as doors:
        running = await relayed(doors)
        async with alive(running):
            await strung(running, FIRST)
            await settled(running, doors.store)
            admin = await place.admin()
            await admin.delete_topics([place.topic])
            await admin.close()
            await written(running, doors, SECOND)
    assert (await place.ask("fsck"))[0] == WELL


async def test_records_deleted_under_a_relay_are_sent_again(place: Place) -> None:
    """All of some shards: their partitions are not empty but begin at their end."""
    async with open_real(place.kafka, place.mongo, place.prefix) as doors:
        running = await relayed(doors)
        async with alive(running):
            await written(running, doors, FIRST)
            admin = await place.admin()
            everything_there = RecordsToDelete(before_offset=-1)
            await admin.delete_records(
                {TopicPartition(place.topic, shard): everything_there for shard in (1, 2, 3)}
            )
            await admin.close()
        code, lines = await place.ask("recover")
        assert (code, len(lines)) == (WELL, 4), lines
        assert await topic_is_whole(doors)
        running = await relayed(doors)
        async with alive(running):
            await written(running, doors, SECOND)
