"""Two releases take turns over one log: what the older one cannot read it does not pass over."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from libs.common.web.client import Reply
from tests.common.doors import until
from tests.serving import SERVICES, Served, logs, operated
from tests.stories.people import (
    CLOCK,
    INTAKE,
    MOTHER,
    PROOF,
    PSYCHOLOGIST,
    REGISTRAR,
    TEACHER,
    WORKER,
    accepted,
    enrolled,
    raised,
    said,
)

OLD = ""
"""This build."""


async def test_an_older_release_leaves_out_what_it_may_and_refuses_the_rest(tmp_path: Path) -> None:
    platform = Served(tmp_path, more=CLOCK)
    try:
        platform.release = "field"
        await platform.start()
        student, other = await enrolled(platform), await enrolled(platform, "student-2")
        told = await raised(platform, other, "raise-0002")
        await _more(platform, told, "more-00001")
        assert (await _data(platform, "concern.added"))[0]["data"]["heard"] == "by-phone"
        referral = await _back_on_the_old_release(platform, student, told)
        await _taken_back_in_a_new_shape(platform, student, referral)
        await _left_out_by_the_old_release(platform, student, referral, told)
        await _all_there_after_a_rebuild(platform, student, referral)
    finally:
        await platform.close()


async def _restarted(platform: Served, release: str, module: str = "services") -> None:
    await platform.stop()
    platform.release, platform.modules = release, (module,)
    await platform.start()


async def _more(platform: Served, referral: str, key: str) -> None:
    body = {"setting": "school", "words": "Synthetic."}
    await said(platform, TEACHER, f"/v1/referrals/{referral}/concerns", body, key)


async def _data(platform: Served, kind: str) -> list[Mapping[str, Any]]:
    """Events of a kind as they lie in the logs; the platform is stopped for it."""
    await platform.stop()
    found = []
    async with logs(platform.folder) as stores:
        for name in SERVICES:
            for shard in range(16):
                for commit in await stores[name].log(shard, 0, 1_000):
                    found += [one for one in commit.content["events"] if one["type"] == kind]
    return found


async def _back_on_the_old_release(platform: Served, student: str, told: str) -> str:
    """An optional field is nothing to it: it reads, decides and goes on. The referral it makes."""
    await _restarted(platform, OLD)
    read = await platform.surely(TEACHER, "GET", f"/v1/referrals/{told}")
    assert read.status == 200, read
    triage = {"tier": 3, "services": ["counseling"], "evidence": "Synthetic."}
    await said(platform, PSYCHOLOGIST, f"/v1/referrals/{told}/triage", triage, "triage-0002")
    return await accepted(platform, student)


async def _taken_back_in_a_new_shape(platform: Served, student: str, referral: str) -> None:
    """By an API whose projectors are not there; what it read, it read in the old shape."""
    await _restarted(platform, "shapes", "services api")
    helper = ("helper-a", "agency_clinician", "agy_a")
    await said(platform, helper, f"/v1/referrals/{referral}/start", {}, "start-0001")
    path = f"/v1/students/{student}/revocations"
    await said(platform, MOTHER, path, {"proof": PROOF}, "revoke-0001")
    assert {one["v"] for one in await _data(platform, "consent.revoked")} == {2}
    assert {one["v"] for one in await _data(platform, "referral.sent")} == {1}


async def _left_out_by_the_old_release(
    platform: Served, student: str, referral: str, told: str
) -> None:
    platform.started_path = "/health/live"
    await _restarted(platform, OLD)

    async def halted() -> bool:
        reasons = (await platform.plainly("/health/ready"))["reasons"]
        names = {one.partition("_")[0] for one in reasons if one.endswith("(newer-release)")}
        return names == {"access", "covering", "policy"}

    await until(halted)
    assert await _situations(platform, student) == {"open"}, "its read model leaves it out"
    packet = await platform.ask(INTAKE, "GET", f"/v1/referrals/{referral}/packet")
    _to_be_tried_again(packet)
    path = f"/v1/students/{student}/leaving"
    _to_be_tried_again(
        await platform.ask(REGISTRAR, "POST", path, {"reason": "moved"}, "leave-0001")
    )
    await _more(platform, told, "more-00002")


def _to_be_tried_again(reply: Reply) -> None:
    assert reply.status == 503, reply
    assert "retry-after" in reply.headers


async def _situations(platform: Served, student: str) -> set[str]:
    page = await platform.surely(MOTHER, "GET", f"/v1/students/{student}/family")
    return {one["situation"] for one in page.body["requests"]}


async def _all_there_after_a_rebuild(platform: Served, student: str, referral: str) -> None:
    """What stood still goes on by itself: the referral is held although the old release was there
    when the mother's word came."""
    await platform.stop()
    platform.release = "shapes"
    await operated(platform, "services.consent", "rebuild", "family")
    platform.started_path = "/health/ready"
    await _restarted(platform, "shapes")
    assert await _situations(platform, student) == {"ended"}

    async def held() -> bool:
        told = await platform.surely(WORKER, "GET", f"/v1/referrals/{referral}")
        return bool(told.body["situation"] == "sharing-ended")

    await until(held)
    packet = await platform.surely(INTAKE, "GET", f"/v1/referrals/{referral}/packet")
    assert packet.status == 404, packet
