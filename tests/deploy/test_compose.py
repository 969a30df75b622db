"""docker-compose.yml and the image are what they say, and each check is shown to fail."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from libs.common.serving import read_directory
from libs.common.settings import SAYS, Settings
from tests import engines
from tests.deploy import dockerfile
from tests.deploy.compose import CHECKS, PLACE, parsed
from tests.deploy.links import mains
from tests.deploy.reading import ROOT, Doubled

DOOR = ROOT / "deploy" / "compose" / "door.conf"
LOCATION = re.compile(r"location ~ (\S+) \{ proxy_pass \$(\w+); \}")
Break = Callable[[dict[str, Any]], object]


def whole() -> dict[str, Any]:
    return parsed(PLACE.read_text("utf-8"))


@pytest.mark.parametrize("name", sorted(CHECKS))
def test_the_compose_file_holds(name: str) -> None:
    assert list(CHECKS[name](whole())) == []


def test_every_part_of_every_service_runs() -> None:
    commands = [service.get("command", []) for service in whole()["services"].values()]
    for name in mains():
        for part in ("api", "relay", "project"):
            assert ["python", "-m", f"services.{name}", part] in commands


def test_the_settings_in_it_are_settings() -> None:
    ours = [s for s in whole()["services"].values() if "STORE_URL" in s.get("environment", {})]
    assert len(ours) == 3 * len(mains())
    for service in ours:
        assert service["environment"].keys() <= {name.upper() for name in SAYS}
        settings = Settings.of("consent", {"HOST": "0.0.0.0", **service["environment"]})
        assert not settings.allow_dev_issuer
    read_directory(ROOT / "deploy" / "compose" / "directory.json")


def test_the_engines_are_those_of_the_tests() -> None:
    images = {service["image"] for service in whole()["services"].values()}
    assert {engines.KAFKA_IMAGE, engines.MONGO_IMAGE} <= images


def test_every_path_leads_through_the_door_to_its_service() -> None:
    places = LOCATION.findall(DOOR.read_text("utf-8"))
    assert len(places) == 2 * len(mains())
    for service, main in mains().items():
        for line in main.routes.table:
            path = re.sub(r"{\w+}", "abc", line.promise.path)
            assert {to for pattern, to in places if re.search(pattern, path)} == {service}, path


BROKEN: list[tuple[str, Break, str]] = [
    ("it_is_a_compose_file", lambda c: c["services"]["kafka"].update(imgae="x"), "imgae"),
    ("it_is_a_compose_file", lambda c: c.update(service={}), "service"),
    (
        "references_lead_somewhere",
        lambda c: c["services"]["kafka"]["networks"].append("outside"),
        "kafka: there is no network outside",
    ),
    (
        "references_lead_somewhere",
        lambda c: c["volumes"].pop("mongodb"),
        "mongodb: there is no volume mongodb",
    ),
    (
        "references_lead_somewhere",
        lambda c: c["services"]["door"]["volumes"].append("./door.conf:/x"),
        "door: there is no file ./door.conf",
    ),
    (
        "references_lead_somewhere",
        lambda c: c["services"].pop("door"),
        "issuer: there is no service door",
    ),
    (
        "nothing_is_declared_in_vain",
        lambda c: c["volumes"].update(spare=None),
        "nobody uses volumes spare",
    ),
    (
        "waiting_ends",
        lambda c: c["services"]["mongodb"].pop("healthcheck"),
        "consent-api waits until mongodb is healthy, which it never says",
    ),
    (
        "waiting_ends",
        lambda c: c["services"]["kafka"].update(
            depends_on={"consent-relay": {"condition": "service_started"}}
        ),
        "kafka waits for itself",
    ),
    (
        "nothing_is_open_to_others",
        lambda c: c["services"]["mongodb"].update(ports=["27017:27017"]),
        "mongodb: others than this machine reach 27017:27017",
    ),
    (
        "nothing_is_open_to_others",
        lambda c: c["services"]["door"].update(privileged=True),
        "door has the rights of the host",
    ),
    (
        "nothing_is_open_to_others",
        lambda c: c["services"]["door"]["volumes"].append("/var/run/docker.sock:/s"),
        "door rules the engine",
    ),
    (
        "no_password_is_written_down",
        lambda c: c["services"]["kafka"]["environment"].update(KAFKA_PASSWORD="hunter2"),
        "kafka has a default KAFKA_PASSWORD",
    ),
    (
        "no_password_is_written_down",
        lambda c: c["services"]["kafka"]["environment"].update(STORE_URL="mongodb://a:b@c/"),
        "kafka: a password in STORE_URL",
    ),
    (
        "images_are_precise",
        lambda c: c["services"]["mongodb"].update(image="mongo:8"),
        "mongodb: mongo:8 is any version",
    ),
    (
        "ours_write_nothing_and_end_in_time",
        lambda c: c["services"]["issuer"].pop("read_only"),
        "issuer may write its root",
    ),
    (
        "ours_write_nothing_and_end_in_time",
        lambda c: c["services"]["consent-api"].pop("stop_grace_period"),
        "consent-api is killed before it has ended",
    ),
    (
        "ours_write_nothing_and_end_in_time",
        lambda c: c["services"]["consent-api"].pop("cap_drop"),
        "consent-api keeps capabilities",
    ),
    (
        "ours_write_nothing_and_end_in_time",
        lambda c: c["services"]["consent-api"].pop("security_opt"),
        "consent-api may gain rights",
    ),
]


@pytest.mark.parametrize("number", range(len(BROKEN)))
def test_a_check_that_is_broken_is_told(number: int) -> None:
    name, broken, said = BROKEN[number]
    compose = whole()
    broken(compose)
    complaints = list(CHECKS[name](compose))
    assert any(said in each for each in complaints), complaints


def test_every_check_is_broken_once() -> None:
    assert {name for name, _, _ in BROKEN} == CHECKS.keys()


def test_a_key_that_stands_twice_is_refused() -> None:
    with pytest.raises(Doubled):
        parsed("services:\n  a: {}\n  a: {}\n")


def test_the_image_holds() -> None:
    text, ignored = dockerfile.PLACE.read_text("utf-8"), dockerfile.IGNORED.read_text("utf-8")
    assert list(dockerfile.complaints(text, ignored)) == []


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("python:3.11.15-slim-bookworm", "python:latest", "any version"),
        ("python:3.11.15-slim-bookworm", "python:3.11", "any version"),
        ("USER 10001:10001", "", "runs as root"),
        ("USER 10001:10001", "USER root", "runs as root"),
        ("USER 10001:10001", "USER alliance", "cannot tell"),
        ("HEALTHCHECK", "LABEL", "never says"),
        ("COPY libs libs", "COPY . .", "lies about"),
        ("COPY libs libs", "ADD libs libs", "COPY"),
        ("COPY libs libs", "COPY demo demo", "keeps demo out"),
        ("PYTHONUNBUFFERED=1", "KEK_TOKEN=1", "a secret"),
    ],
)
def test_an_image_that_is_broken_is_told(old: str, new: str, said: str) -> None:
    text, ignored = dockerfile.PLACE.read_text("utf-8"), dockerfile.IGNORED.read_text("utf-8")
    assert old in text
    found = list(dockerfile.complaints(text.replace(old, new), ignored))
    assert any(said in each for each in found), found


def test_a_context_that_is_open_is_told() -> None:
    text = dockerfile.PLACE.read_text("utf-8")
    found = list(dockerfile.complaints(text, "data\n!libs\n"))
    assert ".dockerignore lets in what it does not name" in found
