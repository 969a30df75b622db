"""What leaves: the packet, alerts and words, as far as the family allows."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from services.referrals.api.packet import FRESH_SECONDS_MAX, NOTICE
from tests.common.doors import until
from tests.referrals.flows import (
    ANA,
    MOTHER,
    allowed,
    at_work,
    code,
    revoke,
    sent,
    serving,
)
from tests.referrals.office import Office


@pytest.fixture
async def at(tmp_path: Path) -> AsyncIterator[Office]:
    async with at_work(tmp_path) as opened:
        yield opened


async def test_outside_the_packet_an_agency_reads_codes_of_its_own_part(at: Office) -> None:
    ref = await sent(at)
    more = {"setting": "home", "words": "worse at home"}
    await at.done("counselor", f"/referrals/{ref}/concerns", more)
    await at.done("intake", f"/referrals/{ref}/accept")
    page = await at.read("intake", f"/referrals/{ref}")
    lines = page.json()["lines"]
    assert [line["type"] for line in lines] == ["referral.sent", "referral.accepted"]
    assert at.student() not in page.text
    assert "dear" not in page.text
    story = await at.shown("counselor", f"/referrals/{ref}")
    told = [line for line in story["lines"] if "words" in line["data"]]
    assert [line["type"] for line in told] == ["concern.added"], "a word added opens no others"


async def test_the_packet_carries_what_the_family_allows_and_a_notice(at: Office) -> None:
    ref = await sent(at)
    body = await at.shown("intake", f"/referrals/{ref}/packet")
    assert (body["notice"], body["grant"], body["version"]) == (NOTICE, f"{ref}.1.out", 1)
    assert body["contact"]["names"] == ANA["names"]
    assert body["contact"]["family"][0]["contact"] == MOTHER["contact"]
    told = {line["type"]: line["data"] for line in body["lines"]}
    assert told["concern.raised"]["words"] == "cries in class"
    assert told["referral.sent"]["letter"] == "dear colleague"
    assert told["referral.triaged"]["evidence"] == "three teachers say so"


async def test_every_opening_of_a_packet_is_on_record(at: Office) -> None:
    ref = await sent(at)
    for _ in range(2):
        await at.shown("intake", f"/referrals/{ref}/packet")
    opened: list[Any] = []

    async def is_told() -> bool:
        story = await at.shown("mother", f"/referrals/{ref}")
        opened[:] = [one for one in story["lines"] if one["type"] == "referral.packet_opened"]
        return len(opened) == 2

    await until(is_told)
    assert opened[0]["data"]["by"] == at.person("intake")
    assert "contact" in opened[0]["data"]["classes"]


async def test_a_packet_is_for_the_receiver_only(at: Office) -> None:
    ref = await sent(at)
    assert (await at.read("intake-2", f"/referrals/{ref}/packet")).status_code == 404
    assert (await at.read("worker", f"/referrals/{ref}/packet")).status_code == 403


async def test_a_narrowed_permission_narrows_the_packet(at: Office) -> None:
    ref = await sent(at)
    family = await at.shown("mother", f"/students/{at.student()}/family")
    question = next(one for one in family["requests"] if one["grant"] == f"{ref}.1.out")
    terms = {**question["terms"], "classes": ["referral"]}
    body = {"grant": question["grant"], "terms": terms}
    await at.done("mother", f"/students/{at.student()}/narrowings", body)

    async def is_narrow() -> bool:
        packet = await at.shown("intake", f"/referrals/{ref}/packet")
        return packet["version"] == 2 and packet["contact"] is None

    await until(is_narrow)
    packet = await at.shown("intake", f"/referrals/{ref}/packet")
    assert {line["record_class"] for line in packet["lines"]} == {"referral"}


async def test_no_packet_opens_while_it_is_unsure_what_was_taken_back(at: Office) -> None:
    ref = await sent(at)
    before = len((await at.shown("mother", f"/referrals/{ref}"))["lines"])
    at.ahead[0] = FRESH_SECONDS_MAX + 1
    reply = await at.read("intake", f"/referrals/{ref}/packet")
    assert reply.status_code == 503
    assert reply.headers["retry-after"]
    assert len((await at.shown("mother", f"/referrals/{ref}"))["lines"]) == before


async def test_what_the_mother_takes_back_is_held_and_closed_to_the_agency(at: Office) -> None:
    ref = await serving(at)
    await revoke(at, ref)
    assert (await at.read("kline", f"/referrals/{ref}/packet")).status_code == 404
    alert = {"to": "school", "words": "a bad night"}
    assert await code(at, "kline", f"/referrals/{ref}/alerts", alert) == (409, "sharing-ended")
    (row,) = (await at.shown("kline", "/agencies/agy_one/inbox?mine=true"))["items"]
    assert row["situation"] == "sharing-ended"


async def test_alerts_cross_each_way_as_far_as_the_family_allows(at: Office) -> None:
    ref = await serving(at)
    words = {"to": "school", "words": "a bad night"}
    assert await code(at, "kline", f"/referrals/{ref}/alerts", words) == (409, "not-shared")
    await allowed(at, ref, "back")
    await at.done("kline", f"/referrals/{ref}/alerts", words)
    await at.done("worker", f"/referrals/{ref}/alerts", {"to": "agency", "words": "a bad day"})
    story = await at.shown("worker", f"/referrals/{ref}")
    told = [line["data"]["words"] for line in story["lines"] if line["type"] == "alert.raised"]
    assert told == ["a bad night", "a bad day"]
    assert await code(at, "worker", f"/referrals/{ref}/alerts/read", {"alert": 1}) == (200, None)
    assert await code(at, "worker", f"/referrals/{ref}/alerts/read", {"alert": 2}) == (
        409,
        "unknown-alert",
    )
    packet = await at.shown("kline", f"/referrals/{ref}/packet")
    alerts = [line["data"]["words"] for line in packet["lines"] if line["type"] == "alert.raised"]
    assert alerts == ["a bad day"]


async def test_an_agency_s_words_reach_the_school_as_far_as_the_family_allows(at: Office) -> None:
    ref = await serving(at)
    review = {"settings": {"home": "better", "words": "sleeps again"}}
    await at.done("kline", f"/referrals/{ref}/reviews", review)
    line = (await at.shown("psychologist", f"/referrals/{ref}"))["lines"][-1]
    assert (line["type"], line["data"]) == ("progress.reviewed", {})
    await allowed(at, ref, "back")

    async def is_told() -> bool:
        last = (await at.shown("psychologist", f"/referrals/{ref}"))["lines"][-1]
        return bool(last["data"].get("settings") == review["settings"])

    await until(is_told)
