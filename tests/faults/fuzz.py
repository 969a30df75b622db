"""Schemathesis over a running platform: whatever its description allows is sent, and more; each
answer must be one that the description promises, and no one's token may matter less than it says.

Requests are drawn from a seed by hypothesis. References of students and referrals that exist are
put into some of them, else nothing but 404 would be heard.
"""

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from typing import Any

import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from requests.exceptions import ConnectionError as Lost
from requests.exceptions import Timeout
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    ignored_auth,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.canary import CANARIES
from tests.serving import Served

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
AWAY = 503
KNOWN_SHARE = 0.5
"""How often a reference in a path is one that exists."""
CASE_SECONDS_MAX = 30.0
FINDINGS_MAX = 20
HEARD_TRIES_MAX = 600
HEARD_SECONDS = 0.1
ZIP_BYTES_MAX = 2_000
ORGANISATIONS = {
    "agency_intake": "agy_a",
    "agency_clinician": "agy_a",
    "auditor": "district",
    "coordinator": "district",
    "district_leader": "district",
    "registrar": "district",
}
SCHOOL = "sch_1"


schemathesis.openapi.media_type("application/zip", st.binary(max_size=ZIP_BYTES_MAX))


@schemathesis.serializer("application/zip")
def _as_it_is(_: Any, value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


@dataclass(eq=False)
class Fuzzed:
    """What was sent and heard. A finding names the route and what was wrong, no body."""

    cases: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    routes: set[str] = field(default_factory=set)
    findings: list[str] = field(default_factory=list)
    lost: int = 0


@dataclass(frozen=True)
class Target:
    """One process and what it says of itself. `away`: what it rests on may be away, so that 503 is
    an answer that it may give."""

    url: str
    document: dict[str, Any]
    tokens: dict[str, str]
    known: dict[str, Sequence[str]]
    away: bool = False


async def targets(platform: Served, away: bool = False) -> list[Target]:
    """Each process of the platform. Some students and referrals stand before anything is sent."""
    known = await _known(platform)
    found = []
    for place, url in enumerate(platform.urls):
        described = await platform.plainly("/openapi.json", place)
        tokens = {
            role: await platform.token((f"{role}-1", role, ORGANISATIONS.get(role, SCHOOL)))
            for role in _roles(described)
        }
        found.append(Target(url, described, tokens, known, away))
    return found


async def _known(platform: Served) -> dict[str, Sequence[str]]:
    students, referrals = [], []
    for number in range(3):
        who = ("registrar-1", "registrar", "district")
        body = {
            "school": SCHOOL,
            "names": {"given": CANARIES["given"], "family": f"{CANARIES['family']}{number}"},
            "roster_id": f"fuzz-{number}",
        }
        enrolled = await platform.surely(who, "POST", "/v1/students", body, f"fuzz-enrol-{number}")
        students.append(enrolled.body["student"])
        concern = {
            "origin": "concern",
            "student": students[-1],
            "urgency": "routine",
            "domains": ["behavior"],
            "setting": "school",
        }
        referrals.append(await _raised(platform, concern, f"fuzz-raise-{number}"))
    return {"student": students, "referral": referrals, "school": [SCHOOL], "agency": ["agy_a"]}


async def _raised(platform: Served, concern: dict[str, Any], key: str) -> str:
    """Once the service has heard of the student."""
    teacher = ("teacher-1", "teacher", SCHOOL)
    for _ in range(HEARD_TRIES_MAX):
        raised = await platform.surely(teacher, "POST", "/v1/referrals", concern, key)
        if raised.status != 404:
            return str(raised.body["referral"])
        await asyncio.sleep(HEARD_SECONDS)
    raise AssertionError("the student is not heard of")


def _roles(document: dict[str, Any]) -> set[str]:
    return {
        role
        for operations in document["paths"].values()
        for operation in operations.values()
        for role in roles_of(operation.get("description", ""))
    }


def roles_of(description: str) -> list[str]:
    """Who may call a route, as its description says."""
    found = re.search(r"Answers: ([a-z_, ]+)\.", description)
    return [] if found is None or found[1] == "anybody" else found[1].split(", ")


async def fuzz(
    aimed: Target, cases: int, seed: int, progress: Callable[[int], None] = lambda _: None
) -> Fuzzed:
    """So many requests, spread over all routes; blocking work is done in a thread."""
    return await asyncio.to_thread(_fuzz, aimed, cases, seed, progress)


def _fuzz(aimed: Target, cases: int, seed: int, progress: Callable[[int], None]) -> Fuzzed:
    outcome = Fuzzed()
    schema = schemathesis.openapi.from_dict(aimed.document)
    operations = [found.ok() for found in schema.get_all_operations() if isinstance(found, Ok)]
    if len(operations) != sum(map(len, aimed.document["paths"].values())):
        outcome.findings.append("the description itself cannot be read whole")
    chance = Random(seed)
    modes = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
    each = max(1, cases // (len(operations) * len(modes)))
    for operation in operations:
        for mode in modes:
            strategy = operation.as_strategy(generation_mode=mode)

            @seeded(seed)
            @settings(
                max_examples=each,
                database=None,
                deadline=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            @given(case=strategy)
            def send(case: Any) -> None:
                _send(aimed, case, chance, outcome)

            with suppress(Unsatisfiable):  # a route that nothing can be wrong with
                send()
            progress(outcome.cases)
    return outcome


def _send(aimed: Target, case: Any, chance: Random, outcome: Fuzzed) -> None:
    for name, values in aimed.known.items():
        if name in (case.path_parameters or {}) and chance.random() < KNOWN_SHARE:
            case.path_parameters[name] = chance.choice(values)
    roles = roles_of(case.operation.definition.raw.get("description", ""))
    headers = {}
    if roles:
        headers["Authorization"] = f"Bearer {aimed.tokens[chance.choice(roles)]}"
    route = f"{case.operation.method.upper()} {case.operation.path}"
    outcome.cases += 1
    outcome.routes.add(route)
    try:
        response = case.call(base_url=aimed.url, headers=headers, timeout=CASE_SECONDS_MAX)
    except (Lost, Timeout):
        outcome.lost += 1
        if not aimed.away:
            _found(outcome, f"{route}: no answer")
        return
    outcome.statuses[response.status_code] += 1
    if response.status_code == AWAY and aimed.away:
        if "Retry-After" not in {name.title() for name in response.headers}:
            _found(outcome, f"{route}: 503 without Retry-After")
        return
    checks = [*CHECKS, ignored_auth] if roles and outcome.cases % 10 == 0 else CHECKS
    try:
        case.validate_response(response, checks=checks)
    except FailureGroup as failed:
        for one in failed.exceptions:
            _found(outcome, f"{route}: {response.status_code} {type(one).__name__}")


def _found(outcome: Fuzzed, what: str) -> None:
    if what not in outcome.findings and len(outcome.findings) < FINDINGS_MAX:
        outcome.findings.append(what)
