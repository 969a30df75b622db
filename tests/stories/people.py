"""Who acts in the stories, and what they send."""

from typing import Any

from tests.canary import CANARIES
from tests.common.doors import until
from tests.serving import Served

REGISTRAR = ("registrar-1", "registrar", "district")
SECOND_REGISTRAR = ("registrar-2", "registrar", "district")
TEACHER = ("teacher-1", "teacher", "sch_1")
PSYCHOLOGIST = ("psychologist-1", "school_psychologist", "sch_1")
WORKER = ("worker-1", "school_social_worker", "sch_1")
INTAKE = ("intake-a", "agency_intake", "agy_a")
OTHER_INTAKE = ("intake-b", "agency_intake", "agy_b")
MOTHER = ("mother-1", "guardian", "family")
CLOCK = {"CLOCK": "stepped", "CLOCK_START": "2025-09-15T14:00:00Z"}
"""A day on which these stories happen; nobody moves it."""
PROOF = {
    "channel": "web",
    "authenticated_by": "password",
    "assurance": "substantial",
    "text_version": "referral-2025-1",
    "shown": "0" * 64,
    "signed_on": "2025-09-15",
}


async def enrolled(platform: Served, roster_id: str = "student-1") -> str:
    """A student with a mother who decides; their reference."""
    reply = await platform.surely(
        REGISTRAR,
        "POST",
        "/v1/students",
        {
            "school": "sch_1",
            "names": {"given": CANARIES["given"], "family": CANARIES["family"]},
            "birth_date": CANARIES["birth"],
            "grade": "07",
            "language": "en",
            "roster_id": roster_id,
        },
        f"enrol-{roster_id}",
    )
    assert reply.status == 201, reply
    student: str = reply.body["student"]
    guardian = {
        "subject": MOTHER[0],
        "names": {"given": CANARIES["mother"], "family": CANARIES["family"]},
        "relation": "mother",
        "contact": {"phone": CANARIES["phone"]},
        "authority": "full",
    }
    path = f"/v1/students/{student}/guardians"
    added = await platform.surely(REGISTRAR, "POST", path, guardian, f"mother-{roster_id}")
    assert added.status == 201, added
    return student


async def raised(platform: Served, student: str, key: str = "raise-0001") -> str:
    body = {
        "student": student,
        "domains": ["behavior"],
        "setting": "school",
        "words": CANARIES["words"],
    }
    reply = await said(platform, TEACHER, "/v1/referrals", body, key)
    return str(reply["referral"])


async def said(
    platform: Served, who: tuple[str, str, str], path: str, body: Any, key: str
) -> dict[str, Any]:
    """Asked again while a view has not heard of what it needs (404), never for another no."""
    replies = []

    async def heard() -> bool:
        replies.append(await platform.surely(who, "POST", path, body, key))
        return replies[-1].status != 404

    await until(heard)
    assert replies[-1].status in (200, 201), replies[-1]
    found: dict[str, Any] = replies[-1].body
    return found


async def consented(platform: Served, student: str, grant: str) -> None:
    """The mother says yes to exactly what was asked."""
    asked = await request(platform, student, grant)
    body = {"grant": grant, "terms": asked, "proof": PROOF}
    await said(platform, MOTHER, f"/v1/students/{student}/grants", body, f"grant-{grant}")


async def request(platform: Served, student: str, grant: str) -> dict[str, Any]:
    """The terms that the family was asked to agree to, once they have been."""
    found: list[dict[str, Any]] = []

    async def asked() -> bool:
        reply = await platform.surely(MOTHER, "GET", f"/v1/students/{student}/family")
        requests = reply.body["requests"] if reply.status == 200 else []
        found.extend(one["requested"] for one in requests if one["grant"] == grant)
        return bool(found)

    await until(asked)
    return found[0]


async def accepted(platform: Served, student: str) -> str:
    """A referral from a teacher's worry to an agency's yes; its reference."""
    referral = await raised(platform, student)
    base = f"/v1/referrals/{referral}"
    triage = {
        "tier": 3,
        "wraparound": False,
        "services": ["counseling"],
        "school_only": False,
        "evidence": CANARIES["evidence"],
    }
    await said(platform, PSYCHOLOGIST, f"{base}/triage", triage, "triage-0001")
    route = {"receiver": "agy_a", "service": "counseling"}
    await said(platform, WORKER, f"{base}/route", route, "route-00001")
    for way in ("out", "back"):
        await consented(platform, student, f"{referral}.1.{way}")
    for _ in range(400):  # until the policy has heard the family's word
        sent = await platform.surely(
            WORKER,
            "POST",
            f"{base}/send",
            {"warm": True, "letter": CANARIES["letter"]},
            "send-00001",
        )
        if sent.status == 200:
            break
    assert sent.status == 200, sent
    await said(platform, INTAKE, f"{base}/accept", {}, "accept-0001")
    return referral
