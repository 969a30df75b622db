"""The steps that many callers' tests begin with: a concern, a route, a yes, a sending."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.common.doors import until
from tests.referrals.office import Office, office

ANA = {
    "school": "sch_one",
    "names": {"given": "Ana", "family": "López"},
    "birth_date": "2012-05-04",
    "grade": "07",
    "language": "es",
    "roster_id": "S-1",
}
MOTHER = {
    "subject": "G-1",
    "names": {"given": "Eva", "family": "López"},
    "relation": "mother",
    "contact": {"phone": "555-0100"},
    "authority": "full",
}
PROOF = {
    "channel": "web",
    "authenticated_by": "password",
    "assurance": "substantial",
    "text_version": "referral-2025-1",
    "shown": "0" * 64,
    "signed_on": "2025-09-15",
}
CONCERN = {
    "domains": ["emotional", "behavior"],
    "setting": "school",
    "words": "cries in class",
    "urgency": "soon",
}
TRIAGE = {"tier": 3, "services": ["counseling"], "evidence": "three teachers say so"}
ROUTE = {"receiver": "agy_one", "service": "counseling"}


@asynccontextmanager
async def at_work(tmp_path: Path) -> AsyncIterator[Office]:
    """Ana and her mother are on record."""
    async with office(tmp_path) as opened:
        await opened.done("registrar", "/students", ANA)
        await opened.done("registrar", f"/students/{opened.student()}/guardians", MOTHER)
        yield opened


async def raised(at: Office, who: str = "teacher", **more: Any) -> str:
    made = await at.done(who, "/referrals", {**CONCERN, "student": at.student(), **more})
    return str(made["referral"])


async def routed(at: Office) -> str:
    ref = await raised(at)
    await at.done("psychologist", f"/referrals/{ref}/triage", TRIAGE)
    await at.done("worker", f"/referrals/{ref}/route", ROUTE)
    return ref


async def allowed(at: Office, ref: str, way: str = "out") -> None:
    """The mother says yes to one of the two questions, in the very terms that she was shown."""
    found: list[Any] = []

    async def is_asked() -> bool:
        reply = await at.read("mother", f"/students/{at.student()}/family")
        requests = reply.json().get("requests", []) if reply.status_code == 200 else []
        found[:] = [one for one in requests if one["grant"] == f"{ref}.1.{way}"]
        return bool(found)

    await until(is_asked)
    body = {"grant": found[0]["grant"], "terms": found[0]["terms"], "proof": PROOF}
    await at.done("mother", f"/students/{at.student()}/grants", body)


async def sent(at: Office) -> str:
    ref = await routed(at)
    await allowed(at, ref)
    await at.situation(ref, "not-sent")
    await at.done("worker", f"/referrals/{ref}/send", {"warm": True, "letter": "dear colleague"})
    return ref


async def serving(at: Office) -> str:
    ref = await sent(at)
    await at.done("intake", f"/referrals/{ref}/accept")
    await at.done("kline", f"/referrals/{ref}/start")
    return ref


async def revoke(at: Office, ref: str) -> None:
    await at.done("mother", f"/students/{at.student()}/revocations", {"proof": PROOF})
    await at.situation(ref, "sharing-ended")


async def code(at: Office, who: str, path: str, body: Any = None) -> tuple[int, str | None]:
    reply = await at.ask(who, path, body)
    return reply.status_code, reply.json().get("code")
