"""One referral, from a teacher's worry to an agency's yes, and what each side may see of it."""

from pathlib import Path

from libs.common.verify import verify
from tests.canary import CANARIES
from tests.common.doors import until
from tests.serving import logs, served
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


async def test_the_agency_reads_what_the_mother_allowed_and_nobody_else_does(
    tmp_path: Path,
) -> None:
    async with served(tmp_path, **CLOCK) as platform:
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
        await platform.stop()
    async with logs(tmp_path) as stores:
        for store in stores.values():
            await verify(store)
