"""Sends the roster to the importer and follows it, then learns which student is which reference."""

import asyncio
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from demo.asks import Who, registrar
from demo.callers import Callers
from demo.district import District
from demo.play import Unexpected

POLL_SECONDS = 0.2
SCHOOLS_AT_ONCE = 12
KEY = "demo-roster-1"


async def imported(
    callers: Callers, roster: bytes, progress: Callable[[int, int], None]
) -> dict[str, Any]:
    """The finished import's page. Raises Unexpected when it is not taken whole."""
    who, path = registrar(), "/v1/roster/imports"
    reply = await callers.ask(
        who, "consent", "POST", path, roster, KEY, {"Content-Type": "application/zip"}
    )
    if reply.status != 202:
        raise Unexpected(f"the importer answers {reply.status}: {reply.body}")
    place = f"{path}/{reply.body['reference']}"
    while True:
        page: dict[str, Any] = (await callers.ask(who, "consent", "GET", place)).body
        progress(page["done"], page["students"])
        if page["phase"] == "finished":
            return page
        if page["phase"] == "stopped":
            raise Unexpected("the import stopped half way")
        await asyncio.sleep(POLL_SECONDS)


async def references(callers: Callers, district: District) -> dict[str, str]:
    """Roster id -> reference, from the lists of the schools: no two students share their names."""
    sources = {(student.given, student.family): student.source for student in district.students}
    places = asyncio.Semaphore(SCHOOLS_AT_ONCE)
    found: dict[str, str] = {}

    async def school(ref: str) -> None:
        async with places:
            async for row in _listed(callers, registrar(), ref):
                names = row["names"]
                found[sources[names["given"], names["family"]]] = row["student"]

    async with asyncio.TaskGroup() as group:
        for each in district.schools:
            group.create_task(school(each.ref))
    if len(found) != len(district.students):
        raise Unexpected(f"{len(found)} of {len(district.students)} students are listed")
    return found


async def _listed(callers: Callers, who: Who, school: str) -> Any:
    cursor: str | None = None
    while True:
        query = f"?cursor={quote(cursor)}" if cursor else ""
        page = await callers.ask(who, "consent", "GET", f"/v1/schools/{school}/students{query}")
        if page.status != 200:
            raise Unexpected(f"the list of a school answers {page.status}")
        for row in page.body["items"]:
            yield row
        cursor = page.body["next"]
        if cursor is None:
            return
