"""How a roster is sent over HTTP, and how a no to one looks."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from services.consent.roster import archive
from tests.common.doors import until
from tests.consent.office import Office, office
from tests.consent.zips import (
    Zip,
    adult_row,
    deleted,
    delta,
    district,
    since,
    student_row,
)

IMPORTS = "/v1/roster/imports"
TEN = district(10)


@pytest.fixture
async def at(tmp_path: Path) -> AsyncIterator[Office]:
    async with office(tmp_path) as opened:
        yield opened


async def send(
    at: Office, made: Zip | bytes, query: str = "", who: str = "registrar", **headers: str
) -> httpx2.Response:
    sent = {
        "Authorization": f"Bearer {who}",
        "Content-Type": "application/zip",
        "Idempotency-Key": f"key-{next(at.keys):08}",
        **headers,
    }
    data = made if isinstance(made, bytes) else made.bytes()
    return await at.client.post(f"{IMPORTS}{query}", content=data, headers=sent)


async def over(at: Office, reply: httpx2.Response) -> dict[str, Any]:
    assert reply.status_code == 202, reply.text
    place = reply.headers["location"].removeprefix("/v1")

    async def is_over() -> bool:
        return (await at.read("registrar", place)).json()["phase"] in ("finished", "stopped")

    await until(is_over)
    told: dict[str, Any] = (await at.read("registrar", place)).json()
    return told


async def test_a_roster_is_taken_and_read_back_at_the_positions_it_tells(at: Office) -> None:
    told = await over(at, await send(at, TEN))
    assert (told["phase"], told["students"], told["done"]) == ("finished", 10, 10)
    assert told["counts"]["added"] == 10
    assert told["report"]["problems"] == []
    for position in told["positions"]:
        _, shard, seq = position.split(":")
        at.seen[shard] = int(seq)
    listed = (await at.read("registrar", "/schools/sch_one/students")).json()["items"]
    assert {row["student"] for row in listed} == {at.student(f"s{n}") for n in range(0, 10, 2)}


async def test_the_same_key_names_the_same_import(at: Office) -> None:
    first = await send(at, TEN, **{"Idempotency-Key": "one-key-00"})
    await over(at, first)
    again = await send(at, TEN, **{"Idempotency-Key": "one-key-00"})
    assert (again.status_code, again.json()["phase"]) == (202, "finished")
    assert again.headers["location"] == first.headers["location"]
    other = await send(at, district(9), **{"Idempotency-Key": "one-key-00"})
    assert (other.status_code, other.json()["code"]) == (422, "key-reused")


async def test_bad_rows_are_told_by_place_in_a_problem_document(at: Office) -> None:
    bad = TEN.but(users=(*TEN.users, student_row("Canary", "one", givenName="")))
    reply = await send(at, bad)
    assert (reply.status_code, reply.headers["content-type"]) == (422, "application/problem+json")
    assert reply.json()["code"] == "bad-rows"
    assert reply.json()["errors"] == [{"pointer": "#/users.csv/22/givenName", "code": "missing"}]
    assert "Canary" not in reply.text
    told = await over(at, await send(at, bad, "?skip_bad_rows=true"))
    assert told["counts"]["added"] == 10


async def test_what_is_no_zip_is_told(at: Office) -> None:
    reply = await send(at, b"PK no zip")
    assert (reply.status_code, reply.json()["code"]) == (422, "unreadable-roster")
    assert reply.json()["errors"] == [{"pointer": "#/zip", "code": "not-a-zip"}]


async def test_a_dry_run_stores_nothing(at: Office) -> None:
    told = await over(at, await send(at, TEN, "?dry_run=true"))
    assert (told["dry_run"], told["would_be"], told["counts"]["added"]) == (True, "accepted", 10)
    listed = await at.read("registrar", "/schools/sch_one/students")
    assert listed.json()["items"] == []


async def test_too_many_gone_is_a_no_with_the_numbers(at: Office) -> None:
    await over(at, await send(at, TEN))
    fewer = TEN.but(users=TEN.users[:12], demographics=())
    fewer = fewer.broken("demographics.csv", None)
    fewer = fewer.broken("manifest.csv", b"propertyName,value\noneroster.version,1.1\n")
    reply = await send(at, fewer)
    assert (reply.status_code, reply.json()["code"]) == (409, "too-many-removed")
    assert "4 of 10 students" in reply.json()["detail"]
    told = await over(at, await send(at, fewer, "?allow_removals=4"))
    assert told["counts"]["left"] == 4


@pytest.mark.parametrize("who", ["worker", "mother", "intake"])
async def test_only_a_registrar_sends_a_roster_or_looks_at_one(at: Office, who: str) -> None:
    assert (await send(at, TEN, who=who)).status_code == 403
    assert (await at.read(who, "/roster/imports/imp_x")).status_code == 403


async def test_what_the_door_asks_of_every_upload(at: Office) -> None:
    assert (await send(at, TEN, **{"Idempotency-Key": ""})).status_code == 400
    assert (await send(at, TEN, **{"Content-Type": "application/json"})).status_code == 422
    assert (await send(at, TEN, "?dry_run=perhaps")).status_code == 422
    assert (await send(at, TEN, "?allow_removals=-1")).status_code == 422
    large = await send(at, b"", **{"Content-Length": str(archive.ZIP_BYTES_MAX + 1)})
    assert large.status_code == 413
    assert (await at.read("registrar", "/roster/imports/imp_unknown")).status_code == 404


async def test_a_delta_changes_what_its_rows_say(at: Office) -> None:
    await over(at, await send(at, TEN))
    made = delta(
        deleted("s0"), since(student_row("s1", "one", "p1")), since(adult_row("p3", email="x@y.z"))
    )
    dry = await over(at, await send(at, made, "?dry_run=true"))
    told = await over(at, await send(at, made))
    assert dry["counts"] == told["counts"]
    assert {name: n for name, n in told["counts"].items() if n} == {
        "left": 1,
        "moved": 1,
        "changed": 1,
    }
    report = told["report"]
    assert (report["mode"], report["gone"], report["gone_of"]) == ("delta", 1, 5)
    again = await over(at, await send(at, made, **{"Idempotency-Key": "other-key"}))
    assert again["counts"]["unchanged"] == 2, "who is gone is gone"


async def test_a_delta_that_says_too_much_or_nothing_sound_is_a_no(at: Office) -> None:
    await over(at, await send(at, TEN))
    gone = delta(*(deleted(f"s{number}") for number in range(0, 10, 2)))
    reply = await send(at, gone)
    assert (reply.status_code, reply.json()["code"]) == (409, "too-many-removed")
    assert "5 of 5 students" in reply.json()["detail"]
    bad = delta({**deleted("s1"), "dateLastModified": "Canary"})
    told = await send(at, bad)
    assert (told.status_code, told.json()["errors"]) == (
        422,
        [{"pointer": "#/users.csv/2/dateLastModified", "code": "bad-date"}],
    )
    assert "Canary" not in told.text
    over_told = await over(at, await send(at, gone, "?allow_removals=5"))
    assert over_told["counts"]["left"] == 5
