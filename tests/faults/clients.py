"""The load: people of two schools and two agencies who take cases through both services.

Every attempt goes into the history. What is unknown is asked again with the same key, what is not
there yet (the news of one service takes a moment to reach the other) too; now and then somebody
gives up after an unknown outcome, so that the checker sees these as they are. Who waits for news
enrols other children meanwhile, so that there is always something to lose.
"""

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from random import Random
from typing import Any

from libs.common.web.client import Client, NoReply, Reply
from tests.canary import CANARIES
from tests.faults.history import AWAY, FAIL, OK, UNKNOWN, UNSENT, Heard, Recorder

HOST = "127.0.0.1"
REPLY_SECONDS_MAX = 30.0
"""Longer than a service takes to say 503 for a store that does not answer."""
PAUSE_SECONDS = 0.1
NEWS_SECONDS = 0.5
NEWS_TRIES_MAX = 120
TRIES_MAX = 3_000
GIVES_UP = 0.03
"""The share of unknown outcomes after which the client leaves the case alone."""
READS = 0.5
NOT_YET = (404, 409)
TOKEN_SECONDS = 36_000
Who = tuple[str, str, str]

REGISTRAR: Who = ("registrar-1", "registrar", "district")
TEACHER: Who = ("teacher-1", "teacher", "sch_1")
PSYCHOLOGIST: Who = ("psychologist-1", "school_psychologist", "sch_1")
WORKER: Who = ("worker-1", "school_social_worker", "sch_1")
INTAKE: Who = ("intake-a", "agency_intake", "agy_a")
HELPER: Who = ("helper-a", "agency_clinician", "agy_a")


class GaveUp(Exception):
    """The outcome is unknown and nobody will ask again, or the rules said no."""


@dataclass(eq=False)
class Town:
    """`ports` by service; a client of the load has connections of its own to each."""

    ports: Mapping[str, int]
    history: Recorder
    seed: int
    signed_on: str
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    tokens: dict[Who, str] = field(default_factory=dict)
    unexpected: list[str] = field(default_factory=list)
    """Answers that no promise allows: 5xx other than 503, 503 without Retry-After."""
    cases: int = 0
    raised: list[str] = field(default_factory=list)
    """Referrals that the load has raised."""

    async def token(self, who: Who) -> str:
        if who not in self.tokens:
            sub, role, org = who
            asked = {"sub": sub, "role": role, "org": org, "seconds": TOKEN_SECONDS}
            async with Client(HOST, self.ports["consent"], 1) as client:
                for _ in range(TRIES_MAX):
                    try:
                        reply = await client.request("POST", "/issuer/token", asked)
                    except OSError:
                        await asyncio.sleep(PAUSE_SECONDS)  # it is being started
                        continue
                    self.tokens[who] = reply.body["access_token"]
                    break
        return self.tokens[who]


@dataclass(eq=False)
class Person:
    """One client of the load: one request at a time, in the name of whoever it is about."""

    town: Town
    number: int
    places: Mapping[str, Client]
    chance: Random
    turn: int = 0
    enrolled: int = 0

    async def command(
        self, who: Who, service: str, path: str, body: Any, await_news: bool = False
    ) -> Reply:
        """Until the outcome is known; with `await_news` a no is asked again. Raises GaveUp."""
        self.turn += 1
        key = f"op-{self.number}-{self.turn:06}"
        operation = self.town.history.begin(self.number, who, "POST", path, key)
        tries = 0
        for _ in range(TRIES_MAX):
            heard, reply = await self._attempt(operation, who, service, "POST", path, body, key)
            if heard.outcome == OK and reply is not None:
                return reply
            if heard.outcome == FAIL:
                tries += 1
                if not await_news or heard.status not in NOT_YET or tries > NEWS_TRIES_MAX:
                    raise GaveUp
                await self.meanwhile()
                continue
            if heard.outcome == UNKNOWN and self.chance.random() < GIVES_UP:
                raise GaveUp
            await asyncio.sleep(PAUSE_SECONDS)  # as a client that lost its reply does
        raise GaveUp

    async def meanwhile(self) -> None:
        """Until news may have come. Raises GaveUp when it was given up there."""
        self.enrolled += 1
        body = _enrolment(f"{self.number}-meanwhile-{self.enrolled}")
        await self.command(REGISTRAR, "consent", "/v1/students", body)
        await asyncio.sleep(NEWS_SECONDS)  # waits: between two looks

    async def read(
        self, who: Who, path: str, stream: str, seen: Reply | None = None, service: str = ""
    ) -> Heard:
        """Once. With `seen` the reader insists on having that command's effect."""
        at_least = int(seen.headers["etag"][2:-1]) if seen else None
        headers = {"Min-Position": seen.headers["position"]} if seen else {}
        history = self.town.history
        operation = history.begin(self.number, who, "GET", path, stream=stream, at_least=at_least)
        place = service or "referrals"
        heard, _ = await self._attempt(operation, who, place, "GET", path, None, None, headers)
        return heard

    async def _attempt(
        self,
        operation: int,
        who: Who,
        service: str,
        method: str,
        path: str,
        body: Any,
        key: str | None,
        more: Mapping[str, str] | None = None,
    ) -> tuple[Heard, Reply | None]:
        sent = {"Authorization": f"Bearer {await self.town.token(who)}", **(more or {})}
        if key is not None:
            sent["Idempotency-Key"] = key
        self.town.history.invoke(operation)
        reply: Reply | None = None
        try:
            reply = await self.places[service].request(
                method, path, body, sent, seconds=REPLY_SECONDS_MAX
            )
            heard = _heard(reply, method)
        except (NoReply, TimeoutError) as lost:
            heard = Heard(UNKNOWN, code=type(lost).__name__)
        except OSError as away:
            heard = Heard(UNSENT, code=type(away).__name__)
        except asyncio.CancelledError:
            self.town.history.end(operation, Heard(UNKNOWN, code="cancelled"))
            raise
        self.town.history.end(operation, heard)
        if heard.status >= 500 and not (heard.status == 503 and heard.retry_after):
            self.town.unexpected.append(f"operation {operation}: {heard.status} {heard.code}")
        return heard, reply


def _heard(reply: Reply, method: str) -> Heard:
    code = reply.body.get("code", "") if isinstance(reply.body, dict) else ""
    if reply.status == 503:
        return Heard(AWAY, 503, code, retry_after="retry-after" in reply.headers)
    if reply.status >= 500:
        return Heard(UNKNOWN, reply.status, code)
    if reply.status >= 400:
        return Heard(FAIL, reply.status, code)
    tag = reply.headers.get("etag")
    return Heard(
        OK,
        reply.status,
        position=reply.headers.get("position"),
        version=int(tag[2:-1]) if tag else None,
        replayed=reply.headers.get("idempotent-replayed") == "true",
        result=reply.body if method == "POST" else None,
    )


async def client(town: Town, number: int) -> None:
    """Cases, one after the other, until the town stops."""
    chance = Random(f"{town.seed}-{number}")
    async with AsyncExitStack() as stack:
        places = {
            service: await stack.enter_async_context(Client(HOST, port, 1))
            for service, port in town.ports.items()
        }
        person = Person(town, number, places, chance)
        case = 0
        while not town.stopping.is_set():
            case += 1
            try:
                await one_case(person, f"{number}-{case}")
            except GaveUp:
                continue
            town.cases += 1


async def one_case(p: Person, name: str) -> None:
    """From enrolment to help; many end on the way, as the town stops or by chance."""
    mother: Who = (f"mother-{name}", "guardian", "family")
    body = _enrolment(name)
    student = (await p.command(REGISTRAR, "consent", "/v1/students", body)).body["student"]
    await p.command(REGISTRAR, "consent", f"/v1/students/{student}/guardians", _mother(mother))
    raising = {
        "student": student,
        "domains": ["behavior"],
        "setting": "school",
        "words": CANARIES["words"],
    }
    raised = await p.command(TEACHER, "referrals", "/v1/referrals", raising, await_news=True)
    referral = raised.body["referral"]
    p.town.raised.append(referral)
    base, stream = f"/v1/referrals/{referral}", f"referral/{referral}"
    await _look(p, PSYCHOLOGIST, base, stream, raised)
    triage = {"tier": 3, "services": ["counseling"], "evidence": CANARIES["evidence"]}
    await p.command(PSYCHOLOGIST, "referrals", f"{base}/triage", triage, await_news=True)
    route = {"receiver": "agy_a", "service": "counseling"}
    routed = await p.command(WORKER, "referrals", f"{base}/route", route, await_news=True)
    await _look(p, WORKER, base, stream, routed)
    if p.chance.random() < 0.15:
        closing = {"resolution": "none-found"}
        await p.command(WORKER, "referrals", f"{base}/close", closing, await_news=True)
        return
    terms = {
        way: await _asked(p, mother, student, f"{referral}.1.{way}") for way in ("out", "back")
    }
    proof = {**PROOF, "signed_on": p.town.signed_on}
    for way, wanted in terms.items():
        granting = {"grant": f"{referral}.1.{way}", "terms": wanted, "proof": proof}
        path = f"/v1/students/{student}/grants"
        await p.command(mother, "consent", path, granting, await_news=True)
    sending = {"warm": True, "letter": CANARIES["letter"]}
    sent = await p.command(WORKER, "referrals", f"{base}/send", sending, await_news=True)
    await _look(p, WORKER, base, stream, sent)
    await p.command(INTAKE, "referrals", f"{base}/accept", {}, await_news=True)
    if p.chance.random() < 0.5:
        path = f"/v1/students/{student}/revocations"
        await p.command(mother, "consent", path, {"proof": proof}, await_news=True)
    else:
        await p.command(HELPER, "referrals", f"{base}/start", {}, await_news=True)
    await _look(p, WORKER, base, stream)


async def _look(p: Person, who: Who, path: str, stream: str, seen: Reply | None = None) -> None:
    if p.chance.random() < READS:
        await p.read(who, path, stream, seen if p.chance.random() < READS else None)


async def _asked(p: Person, mother: Who, student: str, grant: str) -> Any:
    """The terms on the family's page, once the policy has asked for them. Raises GaveUp."""
    token = await p.town.token(mother)
    for _ in range(NEWS_TRIES_MAX):
        try:
            reply = await p.places["consent"].request(
                "GET",
                f"/v1/students/{student}/family",
                headers={"Authorization": f"Bearer {token}"},
                seconds=REPLY_SECONDS_MAX,
            )
        except OSError:
            reply = None
        requests = reply.body["requests"] if reply is not None and reply.status == 200 else []
        for one in requests:
            if one["grant"] == grant:
                return one["requested"]
        if p.town.stopping.is_set():
            break
        await p.meanwhile()
    raise GaveUp


PROOF = {
    "channel": "web",
    "authenticated_by": "password",
    "assurance": "substantial",
    "text_version": "referral-2025-1",
    "shown": "0" * 64,
}


def _enrolment(name: str) -> dict[str, Any]:
    return {
        "school": "sch_1",
        "names": {"given": CANARIES["given"], "family": f"{CANARIES['family']}{name}"},
        "birth_date": "2014-05-04",
        "grade": "05",
        "language": "en",
        "roster_id": f"roster-{name}",
    }


def _mother(who: Who) -> dict[str, Any]:
    return {
        "subject": who[0],
        "names": {"given": CANARIES["mother"], "family": CANARIES["family"]},
        "relation": "mother",
        "authority": "full",
    }
