"""One referral, from a teacher's worry to an agency's yes, and what each side may see of it."""

from pathlib import Path
from secrets import token_hex

import pytest

from libs.common.adapters import open_store
from libs.common.verify import verify
from tests.canary import CANARIES
from tests.common.doors import until
from tests.serving import SERVICES, Served, logs, served
from tests.stories.people import (
    CLOCK,
    INTAKE,
    MOTHER,
    OTHER_INTAKE,
    PROOF,
    WORKER,
    accepted,
    enrolled,
    said,
)

WORDS = tuple(CANARIES.values())
APART = tuple(
    f"services.{name} {part}"
    for part in ("api", "relay", "project")
    for name in SERVICES
    for _ in range(2)
)


async def test_the_agency_reads_what_the_mother_allowed_and_nobody_else_does(
    tmp_path: Path,
) -> None:
    async with served(tmp_path, **CLOCK) as platform:
        await _told(platform)
        await platform.stop()
    async with logs(tmp_path) as stores:
        for store in stores.values():
            await verify(store)


@pytest.mark.engines
async def test_the_same_with_two_processes_for_each_part_of_each_service(
    tmp_path: Path, kafka: str, mongo: str
) -> None:
    prefix = f"story{token_hex(6)}"
    urls = {"STORE_URL": mongo, "VIEWS_URL": mongo, "KEYS_URL": mongo, "BUS_URL": kafka}
    platform = Served(tmp_path, APART, {**CLOCK, **urls, "PREFIX": prefix})
    try:
        await platform.start()
        await _told(platform)
        await platform.stop()
    finally:
        await platform.close()
    for name in SERVICES:
        async with open_store(mongo, name, readonly=True, prefix=prefix) as store:
            await verify(store)


async def _told(platform: Served) -> None:
    student = await enrolled(platform)
    referral = await accepted(platform, student)
    base = f"/v1/referrals/{referral}"
    inbox = await platform.surely(INTAKE, "GET", "/v1/agencies/agy_a/inbox")
    assert [row["referral"] for row in inbox.body["items"]] == [referral]
    assert not any(word in str(inbox.body) for word in WORDS)
    packet = await platform.surely(INTAKE, "GET", f"{base}/packet")
    assert packet.status == 200, packet
    assert CANARIES["words"] in str(packet.body)
    for stranger in (OTHER_INTAKE, ("x-1", "agency_clinician", "agy_b")):
        for path in (base, f"{base}/packet"):
            assert (await platform.surely(stranger, "GET", path)).status == 404
    other = await platform.surely(OTHER_INTAKE, "GET", "/v1/agencies/agy_a/inbox")
    assert other.status == 404
    revoke = {"proof": PROOF}
    await said(platform, MOTHER, f"/v1/students/{student}/revocations", revoke, "revoke-0001")

    async def gone() -> bool:
        return (await platform.surely(INTAKE, "GET", f"{base}/packet")).status == 404

    async def held() -> bool:
        told = await platform.surely(WORKER, "GET", base)
        return bool(told.body["situation"] == "sharing-ended")

    await until(gone)
    await until(held)
    alert = {"to": "school", "words": "He needs you today."}
    refused = await platform.surely(
        ("kline", "agency_clinician", "agy_a"), "POST", f"{base}/alerts", alert, "alert-0001"
    )
    assert refused.status in (404, 409)
