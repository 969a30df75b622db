"""A delta of the roster arrives: what it must stop has stopped, on both sides."""

from pathlib import Path
from typing import Any

from libs.common.verify import verify
from tests.common.doors import until
from tests.consent.zips import (
    Zip,
    adult_row,
    deleted,
    delta,
    org,
    since,
    student_row,
)
from tests.serving import Served, logs, served
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
    raised,
    request,
    said,
)

IMPORTS = "/v1/roster/imports"
FATHER = ("father-1", "guardian", "family")
ELSEWHERE = ("psychologist-2", "school_psychologist", "sch_2")
BOTH = f"{MOTHER[0]},{FATHER[0]}"
ROSTER = Zip(
    orgs=(org("1"), org("2")),
    users=(
        student_row("leaver", "1", MOTHER[0]),
        student_row("stayer", "1", BOTH),
        student_row("mover", "1", MOTHER[0]),
        adult_row(MOTHER[0]),
        adult_row(FATHER[0]),
    ),
    demographics=({"sourcedId": "mover", "birthDate": "2014-01-11"},),
)
CHANGED = delta(deleted("leaver"), since(student_row("mover", "2", MOTHER[0])), deleted(FATHER[0]))


async def sent(platform: Served, made: Zip, key: str, query: str = "") -> dict[str, Any]:
    """The page of an import that is over."""
    zipped = {"Content-Type": "application/zip"}
    path = f"{IMPORTS}{query}"
    reply = await platform.surely(REGISTRAR, "POST", path, made.bytes(), key, zipped)
    assert reply.status == 202, reply
    page: dict[str, Any] = reply.body

    async def is_over() -> bool:
        told = await platform.surely(REGISTRAR, "GET", f"{IMPORTS}/{page['reference']}")
        page.update(told.body)
        return bool(page["phase"] == "finished")

    await until(is_over)
    return page


async def looked_up(platform: Served, *sources: str) -> list[str]:
    found: list[str] = []

    async def known() -> bool:
        body = {"roster_ids": sources}
        reply = await platform.surely(REGISTRAR, "POST", "/v1/students/lookup", body)
        found[:] = reply.body["students"]
        return None not in found

    await until(known)
    return found


async def routed(platform: Served, student: str) -> str:
    referral = await raised(platform, student, f"raise-{student}")
    base = f"/v1/referrals/{referral}"
    triage = {"tier": 3, "services": ["counseling"], "evidence": "Seen twice."}
    await said(platform, PSYCHOLOGIST, f"{base}/triage", triage, f"triage-{student}")
    route = {"receiver": "agy_a", "service": "counseling"}
    await said(platform, WORKER, f"{base}/route", route, f"route-{student}")
    return referral


async def test_a_delta_stops_what_it_must_on_both_sides(tmp_path: Path) -> None:
    async with served(tmp_path, **CLOCK) as platform:
        await sent(platform, ROSTER, "bulk-00001")
        leaver, stayer, mover = await looked_up(platform, "leaver", "stayer", "mover")
        left = await accepted(platform, leaver)
        waits = await routed(platform, stayer)
        asked = await request(platform, stayer, f"{waits}.1.out")
        moves = await raised(platform, mover, "raise-mover-1")
        dry = await sent(platform, CHANGED, "delta-dry1", "?dry_run=true")
        page = await sent(platform, CHANGED, "delta-0001")
        assert dry["counts"] == page["counts"]
        assert {name: count for name, count in page["counts"].items() if count} == {
            "left": 1,
            "moved": 1,
            "changed": 1,
        }
        await _nothing_goes_on(platform, leaver, left)
        await _only_the_mother_is_asked(platform, stayer, f"{waits}.1.out", asked)
        await _the_other_school_has_it(platform, moves)
        again = await sent(platform, CHANGED, "delta-0001")
        assert again["phase"] == "finished"
        await platform.stop()
    async with logs(tmp_path) as stores:
        for store in stores.values():
            await verify(store)


async def _nothing_goes_on(platform: Served, student: str, referral: str) -> None:
    base = f"/v1/referrals/{referral}"

    async def withdrawn() -> bool:
        told = await platform.surely(WORKER, "GET", base)
        return bool(told.body["situation"] == "withdrawn")

    await until(withdrawn)
    story = (await platform.surely(WORKER, "GET", base)).body
    (last,) = (line for line in story["lines"] if line["type"] == "referral.withdrawn")
    assert last["data"]["reason"] == "student-left"

    async def gone() -> bool:
        inbox = await platform.surely(INTAKE, "GET", "/v1/agencies/agy_a/inbox")
        return referral not in [row["referral"] for row in inbox.body["items"]]

    await until(gone)
    assert (await platform.surely(INTAKE, "GET", f"{base}/packet")).status == 404
    family = await platform.surely(MOTHER, "GET", f"/v1/students/{student}/family")
    assert family.body["situation"] == "left"
    assert {one["ended_by"] for one in family.body["requests"]} == {"left"}
    question = {
        "student": student,
        "recipient": "agy_a",
        "class": "referral",
        "purpose": "referral",
    }
    may = await platform.surely(WORKER, "POST", "/v1/may", question)
    assert (may.body["allow"], may.body["code"]) == (False, "student-left")
    concern = {"student": student, "domains": ["behavior"], "setting": "school", "words": "late"}
    refused = await platform.surely(TEACHER, "POST", "/v1/referrals", concern, "raise-late1")
    assert (refused.status, refused.body["code"]) == (409, "student-left")


async def _only_the_mother_is_asked(
    platform: Served, student: str, grant: str, terms: dict[str, Any]
) -> None:
    yes = {"grant": grant, "terms": terms, "proof": PROOF}
    path = f"/v1/students/{student}"
    removed = await platform.surely(FATHER, "POST", f"{path}/grants", yes, "grant-father")
    assert removed.status == 404
    assert (await platform.surely(FATHER, "GET", f"{path}/family")).status == 404
    assert (await platform.surely(FATHER, "GET", "/v1/children")).body["items"] == []
    family = (await platform.surely(MOTHER, "GET", f"{path}/family")).body
    (mother,) = family["guardians"]
    assert {tuple(one["asked"]) for one in family["requests"]} == {(mother["guardian"],)}
    await said(platform, MOTHER, f"{path}/grants", yes, "grant-mother")


async def _the_other_school_has_it(platform: Served, referral: str) -> None:
    async def there() -> bool:
        queue = await platform.surely(ELSEWHERE, "GET", "/v1/schools/sch_2/queue")
        return referral in [row["referral"] for row in queue.body["items"]]

    await until(there)
    queue = await platform.surely(PSYCHOLOGIST, "GET", "/v1/schools/sch_1/queue")
    assert referral not in [row["referral"] for row in queue.body["items"]]
    assert (await platform.surely(PSYCHOLOGIST, "GET", f"/v1/referrals/{referral}")).status == 404
