"""What must be true of docker-compose.yml: its form, its references, and what it lets out.

The same form as `rules.py`: one line of complaint for each place.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jsonschema

from tests.deploy.reading import ROOT, read
from tests.deploy.rules import PRECISE, SECRET_NAME, WITH_PASSWORD
from tests.deploy.shapes import SCHEMAS

PLACE = ROOT / "docker-compose.yml"
OURS = "alliance:"
WITH_CHECK = "HEALTHCHECK"
VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")
STOP_SECONDS_MIN = 45

Compose = Mapping[str, Any]
Check = Callable[[Compose], Iterator[str]]
CHECKS: dict[str, Check] = {}


def check(function: Check) -> Check:
    CHECKS[function.__name__] = function
    return function


def parsed(text: str) -> dict[str, Any]:
    """As compose reads it when nothing is set. Raises Doubled."""
    (found,) = read(VARIABLE.sub(lambda match: match[2] or "", text))
    return dict(found)


def services(compose: Compose) -> Iterator[tuple[str, dict[str, Any]]]:
    yield from compose["services"].items()


@check
def it_is_a_compose_file(compose: Compose) -> Iterator[str]:
    schema = json.loads((SCHEMAS / "compose-spec.json").read_bytes())
    for error in jsonschema.Draft202012Validator(schema).iter_errors(compose):
        yield f"{error.json_path}: {error.message}"


@check
def references_lead_somewhere(compose: Compose) -> Iterator[str]:
    there = compose["services"].keys()
    for name, service in services(compose):
        for network in service.get("networks", ()):
            if network not in compose.get("networks", {}):
                yield f"{name}: there is no network {network}"
        for volume in service.get("volumes", ()):
            source = volume.partition(":")[0]
            if source.startswith((".", "/")):
                if not (ROOT / source).is_file():
                    yield f"{name}: there is no file {source}"
            elif source not in compose.get("volumes", {}):
                yield f"{name}: there is no volume {source}"
        mode = service.get("network_mode", "")
        needed = [*service.get("depends_on", ()), *re.findall("^service:(.*)", mode)]
        for other in set(needed) - there:
            yield f"{name}: there is no service {other}"


@check
def nothing_is_declared_in_vain(compose: Compose) -> Iterator[str]:
    for kind in ("networks", "volumes"):
        used = {
            each.partition(":")[0]
            for _, service in services(compose)
            for each in service.get(kind, ())
        }
        for unused in compose.get(kind, {}).keys() - used:
            yield f"nobody uses {kind} {unused}"


@check
def waiting_ends(compose: Compose) -> Iterator[str]:
    """Whoever is waited for says when it is well, and nobody waits for itself."""
    waits = {
        name: service.get("depends_on", {})
        for name, service in services(compose)
        if isinstance(service.get("depends_on", {}), dict)
    }
    for name, others in waits.items():
        for other, how in others.items():
            told = compose["services"].get(other, {})
            if how["condition"] != "service_healthy":
                continue
            if "test" not in told.get("healthcheck", {}) and not _image_tells(told):
                yield f"{name} waits until {other} is healthy, which it never says"
    for name in waits:
        if name in _behind(waits, name, frozenset()):
            yield f"{name} waits for itself"


def _behind(waits: Mapping[str, Any], name: str, seen: frozenset[str]) -> set[str]:
    found: set[str] = set()
    for other in waits.get(name, {}):
        found |= {other} | (_behind(waits, other, seen | {other}) if other not in seen else set())
    return found


def _image_tells(service: Mapping[str, Any]) -> bool:
    named = service.get("build", {}).get("dockerfile", "")
    return bool(named) and WITH_CHECK in (ROOT / named).read_text("utf-8")


@check
def nothing_is_open_to_others(compose: Compose) -> Iterator[str]:
    for name, service in services(compose):
        for port in service.get("ports", ()):
            if not str(port).startswith("127.0.0.1:"):
                yield f"{name}: others than this machine reach {port}"
        if service.get("privileged") or service.get("network_mode", "") == "host":
            yield f"{name} has the rights of the host"
        if any("docker.sock" in volume for volume in service.get("volumes", ())):
            yield f"{name} rules the engine"


@check
def no_password_is_written_down(compose: Compose) -> Iterator[str]:
    for name, service in services(compose):
        for variable, value in service.get("environment", {}).items():
            if SECRET_NAME.search(variable) and value:
                yield f"{name} has a default {variable}"
            if WITH_PASSWORD.search(str(value)):
                yield f"{name}: a password in {variable}"


@check
def images_are_precise(compose: Compose) -> Iterator[str]:
    for name, service in services(compose):
        if not PRECISE.fullmatch(service["image"]):
            yield f"{name}: {service['image']} is any version"


@check
def ours_write_nothing_and_end_in_time(compose: Compose) -> Iterator[str]:
    for name, service in services(compose):
        if not service["image"].startswith(OURS):
            continue
        if service.get("read_only") is not True:
            yield f"{name} may write its root"
        if service.get("cap_drop") != ["ALL"]:
            yield f"{name} keeps capabilities"
        if service.get("security_opt") != ["no-new-privileges:true"]:
            yield f"{name} may gain rights"
        if int(str(service.get("stop_grace_period", "10s")).rstrip("s")) < STOP_SECONDS_MIN:
            yield f"{name} is killed before it has ended"
