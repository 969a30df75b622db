"""A student is erased: the keys are gone, the history is not, and no name was ever on the disk."""

import shutil
from hashlib import sha256
from pathlib import Path

from libs.common.adapters import open_keys
from libs.common.ports import SHARDS, EventStore
from libs.common.verify import verify
from tests.canary import CANARIES, scan
from tests.common.doors import until
from tests.serving import Served, logs, operated, served
from tests.stories.people import (
    CLOCK,
    INTAKE,
    PSYCHOLOGIST,
    REGISTRAR,
    SECOND_REGISTRAR,
    WORKER,
    accepted,
    enrolled,
    said,
)


async def _bodies(store: EventStore) -> list[str]:
    return [
        sha256(commit.body).hexdigest()
        for shard in range(SHARDS)
        for commit in await store.log(shard, 0)
    ]


async def _found(platform: Served) -> list[str]:
    search = {"names": CANARIES["given"]}
    reply = await platform.surely(REGISTRAR, "POST", "/v1/students/search", search)
    return [item["student"] for item in reply.body["items"]]


async def test_an_erased_student_is_unreadable_and_the_history_is_whole(tmp_path: Path) -> None:
    async with served(tmp_path, **CLOCK) as platform:
        student = await enrolled(platform)
        referral = await accepted(platform, student)
        assert await _found(platform) == [student]
        packet = await platform.surely(INTAKE, "GET", f"/v1/referrals/{referral}/packet")
        assert CANARIES["words"] in str(packet.body)
        async with logs(tmp_path) as stores:
            before = {name: await _bodies(store) for name, store in stores.items()}
        await _erased(platform, student)

        async def gone() -> bool:
            return not await _found(platform)

        await until(gone)
        shown: list[str] = []

        async def unreadable() -> bool:
            story = await platform.surely(PSYCHOLOGIST, "GET", f"/v1/referrals/{referral}")
            shown.append(str(story.body))
            return "Erased" in shown[-1]

        await until(unreadable)
        family = await platform.surely(PSYCHOLOGIST, "GET", f"/v1/students/{student}/family")
        shown.append(str(family.body))
        assert not [word for word in CANARIES.values() if word in shown[-2] + shown[-1]]
        late = {"setting": "home", "words": "Too late."}
        refused = await platform.surely(
            WORKER, "POST", f"/v1/referrals/{referral}/concerns", late, "late-00001"
        )
        assert refused.status in (404, 409)
        await platform.stop()
    async with logs(tmp_path) as stores:
        for name, store in stores.items():
            await verify(store)
            after = await _bodies(store)
            assert set(before[name]) <= set(after), "history was changed"
            assert len(after) >= len(before[name])
    assert scan(tmp_path, [word for word in CANARIES.values() if len(word) > 7]) == []


async def _erased(platform: Served, student: str) -> None:
    """Two persons: one asks for the code, the other orders with it."""
    path = f"/v1/students/{student}/erasure"
    code = await said(platform, REGISTRAR, f"{path}/approvals", {}, "approve-001")
    order = {"approver": code["approver"], "approval": code["approval"]}
    alone = await platform.surely(REGISTRAR, "POST", path, order, "alone-00001")
    assert (alone.status, alone.body["code"]) == (409, "same-person")
    await said(platform, SECOND_REGISTRAR, path, order, "erase-00001")


async def test_whom_an_older_copy_of_the_keys_brings_back_is_forgotten_by_command(
    tmp_path: Path,
) -> None:
    keys, copy = tmp_path / "data" / "keys.db", tmp_path / "older-keys.db"
    async with served(tmp_path, **CLOCK) as platform:
        student = await enrolled(platform)
        await platform.stop()
        shutil.copy(keys, copy)
        await platform.start()
        await _erased(platform, student)

        async def gone() -> bool:
            return not await _found(platform)

        await until(gone)
        await platform.stop()
        shutil.copy(copy, keys)
        said_so = await operated(platform, "services.consent", "forget")
        assert said_so.startswith("consent: 1 students erased, "), said_so
        assert not said_so.endswith(", 0 of their keys now\n")
        assert (await operated(platform, "services.consent", "forget")).endswith(
            ", 0 of their keys now\n"
        )
    async with open_keys(f"sqlite://{tmp_path / 'data'}") as opened:
        assert (await opened.held([student]))[student] is None


async def test_a_planted_leak_is_found_where_the_platform_writes(tmp_path: Path) -> None:
    async with served(tmp_path, **CLOCK) as platform:
        await enrolled(platform)
        await platform.stop()
    words = [word for word in CANARIES.values() if len(word) > 7]
    assert scan(tmp_path, words) == []
    with (tmp_path / "data" / "consent" / "log.db").open("ab") as log:
        log.write(CANARIES["family"].encode())
    assert {leak.canary for leak in scan(tmp_path, words)} == {CANARIES["family"]}
