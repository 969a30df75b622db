"""Sends the roster to the importer and follows it, then learns which student is which reference."""

import asyncio
from collections.abc import Callable, Collection
from typing import Any

from demo.asks import registrar
from demo.callers import Callers
from demo.play import Unexpected

POLL_SECONDS = 0.2
TOGETHER = 500
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
        if page["report"]:  # else it is another process that has taken it
            progress(page["done"], page["students"])
            if page["phase"] == "finished":
                return page
        if page["phase"] == "stopped":
            raise Unexpected("the import stopped half way")
        await asyncio.sleep(POLL_SECONDS)


async def references(callers: Callers, roster_ids: Collection[str]) -> dict[str, str]:
    """Roster id -> reference, as the registrar's own system asks for them."""
    sources = sorted(roster_ids)
    parts = [sources[at : at + TOGETHER] for at in range(0, len(sources), TOGETHER)]
    found: dict[str, str] = {}
    for part in parts:
        body = {"roster_ids": part}
        reply = await callers.ask(registrar(), "consent", "POST", "/v1/students/lookup", body)
        if reply.status != 200 or None in reply.body["students"]:
            raise Unexpected(f"not every student of the roster is there: {reply.status}")
        found |= dict(zip(part, reply.body["students"], strict=True))
    return found
