"""What each caller may rely on at the door of referrals: whose is what."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.common.doors import until
from tests.referrals.flows import (
    ANA,
    CONCERN,
    MOTHER,
    ROUTE,
    TRIAGE,
    allowed,
    at_work,
    code,
    raised,
    routed,
    sent,
    serving,
)
from tests.referrals.office import Office


@pytest.fixture
async def at(tmp_path: Path) -> AsyncIterator[Office]:
    async with at_work(tmp_path) as opened:
        yield opened


async def test_whom_nobody_can_be_asked_about_is_back_with_who_routes_and_says_why(
    at: Office,
) -> None:
    alone = {**ANA, "roster_id": "S-2", "names": {"given": "Bea", "family": "Ruiz"}}
    await at.done("registrar", "/students", alone)
    made = await at.done("teacher", "/referrals", {**CONCERN, "student": at.student("S-2")})
    path = f"/referrals/{made['referral']}"
    await at.done("psychologist", f"{path}/triage", TRIAGE)
    await at.done("worker", f"{path}/route", ROUTE)
    lines: list[Any] = []

    async def is_told() -> bool:
        lines[:] = (await at.shown("worker", path))["lines"]
        return bool(lines[-1]["type"] == "family.refused")

    await until(is_told)
    assert lines[-1]["data"]["cause"] == "no-one-to-ask"
    await at.situation(made["referral"], "awaits-route")
    await at.done("registrar", f"/students/{at.student('S-2')}/guardians", MOTHER)
    await at.done("worker", f"{path}/route", ROUTE)
    await at.situation(made["referral"], "awaits-consent")

    async def is_asked() -> bool:
        page = await at.read("mother", f"/students/{at.student('S-2')}/family")
        requests = page.json().get("requests", []) if page.status_code == 200 else []
        return f"{made['referral']}.2.out" in {one["grant"] for one in requests}

    await until(is_asked)


async def test_a_concern_becomes_a_referral_that_a_retry_finds_again(at: Office) -> None:
    body = {**CONCERN, "student": at.student()}
    await raised(at, override="other-trouble")
    first = await at.ask("teacher", "/referrals", {**body, "override": "other-help"}, "the-key-1")
    again = await at.ask("teacher", "/referrals", {**body, "override": "other-help"}, "the-key-1")
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    assert again.headers["idempotent-replayed"] == "true"


async def test_a_second_concern_says_why_it_is_another_one(at: Office) -> None:
    first = await raised(at)

    async def is_known() -> bool:
        rows = await at.shown("psychologist", f"/referrals?student={at.student()}")
        return [row["referral"] for row in rows["items"]] == [first]

    await until(is_known)
    body = {**CONCERN, "student": at.student()}
    assert await code(at, "worker", "/referrals", body) == (409, "maybe-duplicate")
    await raised(at, "worker", origin="further", parent=first, override="other-help")


async def test_a_crisis_is_heard_at_once(at: Office) -> None:
    first = await raised(at)
    crisis = await raised(at, urgency="crisis", signal="said")
    await at.done("psychologist", f"/referrals/{crisis}/crisis/attended")
    await at.done("psychologist", f"/referrals/{crisis}/crisis/settled", {"steps": "with her"})
    rows = (await at.shown("psychologist", "/schools/sch_one/queue"))["items"]
    assert [row["referral"] for row in rows] == [crisis, first]
    assert rows[0]["crisis"] == "settled"


async def test_another_school_s_student_is_not_there(at: Office) -> None:
    ref = await raised(at)
    body = {**CONCERN, "student": at.student()}
    assert (await code(at, "psychologist-2", "/referrals", body))[0] == 404
    assert (await code(at, "psychologist-2", f"/referrals/{ref}/triage", TRIAGE))[0] == 404
    assert (await at.read("psychologist-2", f"/referrals/{ref}")).status_code == 404
    assert (await at.read("psychologist-2", "/schools/sch_one/queue")).status_code == 404


async def test_a_teacher_has_their_own_concerns_only(at: Office) -> None:
    ref = await raised(at)
    more = {"setting": "school", "words": "again today"}
    assert (await code(at, "teacher-2", f"/referrals/{ref}/concerns", more))[0] == 404
    assert (await code(at, "teacher", f"/referrals/{ref}/concerns", more))[0] == 200
    assert (await code(at, "teacher", f"/referrals/{ref}/triage", TRIAGE))[0] == 403
    assert [row["referral"] for row in (await at.shown("teacher", "/concerns"))["items"]] == [ref]
    assert (await at.shown("teacher-2", "/concerns"))["items"] == []


async def test_a_family_has_its_own_child_only(at: Office) -> None:
    ref = await raised(at, "mother")
    story = await at.shown("mother", f"/referrals/{ref}")
    assert story["lines"][0]["data"]["words"] == "cries in class"
    for who in ("stranger", "herself"):
        assert (await at.read(who, f"/referrals/{ref}")).status_code == 404
        reason = {"reason": "family-asks"}
        assert (await code(at, who, f"/referrals/{ref}/withdraw", reason))[0] == 404
    assert (await code(at, "mother", f"/referrals/{ref}/withdraw", {"reason": "family-asks"})) == (
        200,
        None,
    )


async def test_a_child_may_speak_up_before_it_may_decide(at: Office) -> None:
    assert await raised(at, "herself")


async def test_only_the_platform_says_that_a_student_left(at: Office) -> None:
    ref = await raised(at)
    body = {"reason": "student-left"}
    refused = await code(at, "worker", f"/referrals/{ref}/withdraw", body)
    assert refused == (409, "roster-says-so")


async def test_words_are_for_who_has_the_referral_in_hand(at: Office) -> None:
    ref = await routed(at)
    for who, reads in (
        ("psychologist", True),
        ("worker", True),
        ("counselor", False),
        ("coordinator", False),
    ):
        story = await at.shown(who, f"/referrals/{ref}")
        assert ("words" in story["lines"][0]["data"]) is reads, who
    own = await at.shown("teacher", f"/referrals/{ref}")
    assert own["lines"][0]["data"]["words"] == "cries in class"
    assert "evidence" not in own["lines"][1]["data"]


async def test_an_agency_knows_nothing_before_it_is_sent(at: Office) -> None:
    ref = await routed(at)
    for path in (f"/referrals/{ref}", f"/referrals/{ref}/packet"):
        assert (await at.read("intake", path)).status_code == 404
    assert (await code(at, "intake", f"/referrals/{ref}/accept"))[0] == 404
    assert await code(at, "worker", f"/referrals/{ref}/send") == (409, "awaits-consent")


async def test_an_inbox_has_places_and_no_names(at: Office) -> None:
    ref = await sent(at)
    await at.done("intake", f"/referrals/{ref}/waitlist", {"expected_on": "2025-12-01"})
    page = await at.read("intake", "/agencies/agy_one/inbox")
    (row,) = page.json()["items"]
    assert (row["referral"], row["position"], row["waited_days"]) == (ref, 1, 0)
    assert at.student() not in page.text
    assert "Ana" not in page.text
    assert (await at.read("intake", "/agencies/agy_two/inbox")).status_code == 404
    assert (await at.shown("coordinator", "/agencies/agy_one/inbox"))["items"] == [row]
    waits = (await at.shown("coordinator", "/schools/sch_one/waits"))["items"]
    assert [(one["waiting"], one["listed"]) for one in waits] == [(1, 1)]


async def test_the_loop_closes_when_somebody_else_has_read_the_outcome(at: Office) -> None:
    ref = await serving(at)
    outcome = {"served": True, "outcome": {"home": "better", "school": "same"}}
    await at.done("kline", f"/referrals/{ref}/finish", outcome)
    await at.done("teacher", f"/referrals/{ref}/acknowledge")
    need = (await at.shown("mother", f"/referrals/{ref}"))["need"]
    told = await at.shown("psychologist", f"/needs/{need}")
    assert told["attempts_until_served"] == 1
    assert [part["situation"] for part in told["parts"]] == ["closed"]


async def test_a_former_receiver_is_told_that_it_moved_on(at: Office) -> None:
    ref = await sent(at)
    await at.done("worker", f"/referrals/{ref}/route", {**ROUTE, "receiver": "agy_two"})
    assert await code(at, "intake", f"/referrals/{ref}/accept") == (409, "moved-on")
    assert (await at.read("intake", f"/referrals/{ref}")).status_code == 404
    assert (await at.shown("intake", "/agencies/agy_one/inbox"))["items"] == []


async def test_a_clinician_refers_onward_and_the_school_does_not_see_it(at: Office) -> None:
    parent = await serving(at)
    more = {"origin": "onward", "parent": parent, "override": "other-help"}
    ref = await raised(at, "kline", **more)
    await at.done("kline", f"/referrals/{ref}/triage", TRIAGE)
    elsewhere = {**ROUTE, "receiver": "agy_two", "override": "other-help"}
    await at.done("kline", f"/referrals/{ref}/route", elsewhere)
    assert (await at.read("psychologist", f"/referrals/{ref}")).status_code == 404
    need = (await at.shown("kline", f"/referrals/{ref}"))["need"]
    parts = (await at.shown("psychologist", f"/needs/{need}"))["parts"]
    assert [part["referral"] for part in parts] == [parent]
    assert (await code(at, "kline", "/referrals", {**CONCERN, "student": at.student()}))[0] == 404
    await allowed(at, ref)
    await at.situation(ref, "not-sent")
    await at.done("kline", f"/referrals/{ref}/send")
    await at.done("intake-2", f"/referrals/{ref}/accept")
    await at.done("clinician-2", f"/referrals/{ref}/start")
    outcome = {"served": True, "outcome": {"home": "better"}}
    await at.done("clinician-2", f"/referrals/{ref}/finish", outcome)
    for stranger in ("teacher", "psychologist", "clinician-2"):
        assert (await code(at, stranger, f"/referrals/{ref}/acknowledge"))[0] == 404
    await at.done("kline", f"/referrals/{ref}/acknowledge")
    assert (await at.shown("kline", f"/referrals/{ref}"))["situation"] == "closed"


async def test_a_limit_that_passes_is_told_in_the_queue(at: Office) -> None:
    ref = await raised(at)
    clocks: list[Any] = []

    async def runs() -> bool:
        clocks[:] = (await at.shown("coordinator", "/schools/sch_one/clocks"))["items"]
        return bool(clocks)

    await until(runs)
    (clock,) = clocks
    assert (clock["kind"], clock["hears"]) == ("awaits-triage", ["psychologist", "coordinator"])
    at.clock.advance(datetime(2025, 9, 18, 16, tzinfo=UTC))
    at.running.timers.wake.set()

    async def is_told() -> bool:
        rows = (await at.shown("psychologist", "/schools/sch_one/queue"))["items"]
        return [(row["referral"], row["breached"]) for row in rows] == [(ref, ["awaits-triage"])]

    await until(is_told)


async def test_a_student_who_leaves_leaves_no_open_referral(at: Office) -> None:
    ref = await raised(at)
    await at.done("registrar", f"/students/{at.student()}/leaving", {"reason": "moved-away"})
    await at.situation(ref, "withdrawn")


async def test_nobody_states_a_fact_that_is_ours_to_find(at: Office) -> None:
    body = {**CONCERN, "student": at.student(), "standing": "enrolled"}
    reply = await at.ask("teacher", "/referrals", body)
    assert reply.status_code == 422
    assert "enrolled" not in reply.text
