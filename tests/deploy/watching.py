"""What must be true of alerts, dashboard and runbooks, each a small function.

The same form as `rules.py`: one line of complaint for each place. `test_watching.py` shows each to
fail. Whether an expression is good PromQL was looked at with Prometheus' own parser, by hand.
"""

import argparse
import json
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import yaml

from libs.common.errors import Unauthorized, Unavailable
from libs.common.meters import INSTRUMENTS, Instrument
from libs.common.operators import parked
from libs.common.operators.operate import OPERATIONS
from libs.common.settings import SAYS
from libs.common.tasks import ENDS
from libs.common.web.application import OPEN_PATHS
from libs.common.web.problems import problem_of
from tests.deploy.links import mains
from tests.deploy.reading import K8S, ROOT, manifests, read

PLACE = K8S / "components" / "watching"
GUIDE = ROOT / "docs" / "operate.md"
RUNBOOKS = ROOT / "docs" / "runbooks"
FAMILY = "Alliance"
PAGE_LINES_MAX = 60
HEADINGS = ["Look first", "Do", "Wake", "It is over when"]
PEOPLE = "**For the people:**"
SEVERITIES = {"page", "ticket"}
UNITS = {"s": "seconds"}
OF_EVERYTHING = {"job", "instance", "le"}
"""Labels that Prometheus itself gives: the service, the process, a bucket's end."""
FIGURE = re.compile(r"\balliance_\w+")
GROUPED = re.compile(r"\b(?:by|without) ?\(([^)]*)\)")
SELECTED = re.compile(r'(\w+)(=~?|!=|!~)"([^"]*)"')
SHOWN = re.compile(r"\{\{ ?(?:\$labels\.)?(\w+) ?\}\}")
DURATION = re.compile(r"[1-9]\d*[smh]")
COMMAND = re.compile(r"python -m services\.(\w+) (\S+)([^\n]*)")
SHELL = re.compile(r"```sh\n(.*?)```", re.S)
DEPLOYED = re.compile(r"(?:deploy|deployment)[/ ]([a-z]+-[a-z]+)")
SETTING = re.compile(r"`([A-Z]+_[A-Z_]+)`")
LINK = re.compile(r"\[(\w+)\]\(([\w-]+)\.md\)")


def kinds(above: type[Exception]) -> Iterator[type[Exception]]:
    for kind in above.__subclasses__():
        yield kind
        yield from kinds(kind)


NOS: list[type[Exception]] = [Unauthorized, *kinds(Unavailable)]
"""Whose codes may be asked for; what a rule says no to is no alarm."""
WORDS = {
    "end": set(ENDS),
    "code": {problem_of(kind()).code for kind in NOS},
    "status": {"5.."},
    "job": {"$job"},
}
"""What a label may be asked for."""


@dataclass
class Watch:
    """All that there is to look at; pages by their file's stem."""

    alerts: list[dict[str, Any]]
    board: dict[str, Any]
    pages: dict[str, str]
    guide: str

    @classmethod
    def whole(cls) -> "Watch":
        (rule,) = read((PLACE / "alerts.yaml").read_text("utf-8"))
        alerts = [each for group in rule["spec"]["groups"] for each in group["rules"]]
        board = json.loads((PLACE / "dashboard.json").read_bytes())
        pages = {path.stem: path.read_text("utf-8") for path in RUNBOOKS.glob("*.md")}
        return cls(alerts, board, pages, GUIDE.read_text("utf-8"))

    def expressions(self) -> Iterator[tuple[str, str]]:
        """(whose it is, what it asks)"""
        for alert in self.alerts:
            yield alert["alert"], alert["expr"]
        for panel in self.board["panels"]:
            for target in panel["targets"]:
                yield panel["title"], target["expr"]


Check = Callable[[Watch], Iterator[str]]
CHECKS: dict[str, Check] = {}


def check(function: Check) -> Check:
    CHECKS[function.__name__] = function
    return function


def named(one: Instrument) -> list[str]:
    """As Prometheus calls what arrives by OTLP: dots and the unit's word become its own, words in
    braces are no unit, a counter is a total, a histogram is three."""
    parts = [one.name.replace(".", "_")]
    if not one.unit.startswith("{"):
        parts.append(UNITS[one.unit])
    stem = "_".join(parts)
    if one.kind == "counter":
        return [f"{stem}_total"]
    if one.kind == "histogram":
        return [f"{stem}_{end}" for end in ("bucket", "sum", "count")]
    return [stem]


FIGURES = {name: one for one in INSTRUMENTS.values() for name in named(one)}


def stem_of(alert: str) -> str:
    """AllianceShardFenced -> shard-fenced"""
    return re.sub(r"(?<!^)(?=[A-Z])", "-", alert.removeprefix(FAMILY)).lower()


@check
def figures_are_told(watch: Watch) -> Iterator[str]:
    for whose, expression in watch.expressions():
        found = FIGURE.findall(expression)
        for name in sorted({*found} - FIGURES.keys()):
            yield f"{whose}: nobody tells {name}"
        if not found:
            yield f"{whose} asks for nothing of ours"


@check
def labels_are_carried(watch: Watch) -> Iterator[str]:
    for whose, expression in watch.expressions():
        carried = set(OF_EVERYTHING)
        for name in {*FIGURE.findall(expression)} & FIGURES.keys():
            carried |= FIGURES[name].labels
        asked = {each.strip() for some in GROUPED.findall(expression) for each in some.split(",")}
        asked |= {label for label, _, _ in SELECTED.findall(expression)}
        for label in sorted(asked - carried):
            yield f"{whose}: nothing carries {label}"
        for label, _, words in SELECTED.findall(expression):
            for word in words.split("|"):
                if label in carried and word not in WORDS.get(label, ()):
                    yield f"{whose}: {label} is never {word}"


@check
def what_is_shown_is_left_by_the_expression(watch: Watch) -> Iterator[str]:
    """A summary's or a legend's label must be one that the expression groups by."""
    shown = [
        (one["alert"], one["expr"], one["annotations"].get("summary", "")) for one in watch.alerts
    ]
    for panel in watch.board["panels"]:
        shown += [(panel["title"], t["expr"], t["legendFormat"]) for t in panel["targets"]]
    for whose, expression, text in shown:
        left = {each.strip() for some in GROUPED.findall(expression) for each in some.split(",")}
        for label in sorted({*SHOWN.findall(text)} - left):
            yield f"{whose}: no {label} is left to be shown"


@check
def every_figure_is_looked_at(watch: Watch) -> Iterator[str]:
    asked = {name for _, expression in watch.expressions() for name in FIGURE.findall(expression)}
    for one in INSTRUMENTS.values():
        if not asked & {*named(one)}:
            yield f"nobody looks at {one.name}"


@check
def alerts_are_whole(watch: Watch) -> Iterator[str]:
    for alert in watch.alerts:
        name = alert["alert"]
        if not name.startswith(FAMILY):
            yield f"{name} does not say whose it is"
        if alert.get("labels", {}).get("severity") not in SEVERITIES:
            yield f"{name} does not say whether it wakes somebody"
        if not alert["annotations"].get("summary", "").endswith("."):
            yield f"{name} has no sentence"
        if not DURATION.fullmatch(alert.get("for", "1m")):
            yield f"{name} waits for {alert['for']}"
    names = [alert["alert"] for alert in watch.alerts]
    for name in sorted({one for one in names if names.count(one) > 1}):
        yield f"{name} stands twice"


@check
def every_alert_has_a_page_and_every_page_an_alert(watch: Watch) -> Iterator[str]:
    for alert in watch.alerts:
        stem = stem_of(alert["alert"])
        if alert["annotations"].get("runbook") != f"docs/runbooks/{stem}.md":
            yield f"{alert['alert']} leads to {alert['annotations'].get('runbook')}"
        if stem not in watch.pages:
            yield f"{alert['alert']} has no page"
    for stem in sorted(watch.pages.keys() - {stem_of(one["alert"]) for one in watch.alerts}):
        yield f"no alert leads to {stem}"


@check
def the_guide_lists_every_alert(watch: Watch) -> Iterator[str]:
    listed = re.findall(r"^\| \[(\w+)\]\(runbooks/([\w-]+)\.md\) \| (\w+) \|", watch.guide, re.M)
    there = [
        (one["alert"], stem_of(one["alert"]), one["labels"].get("severity")) for one in watch.alerts
    ]
    for name, stem, severity in there:
        if (name, stem, severity) not in listed:
            yield f"the guide does not list {name}, a {severity}"
    for name in sorted({each[0] for each in listed} - {each[0] for each in there}):
        yield f"the guide lists {name}, which is no alert"


@check
def pages_have_their_parts(watch: Watch) -> Iterator[str]:
    for stem, text in watch.pages.items():
        lines = text.splitlines()
        if stem_of(lines[0].removeprefix("# ")) != stem:
            yield f"{stem}: its title is {lines[0]}"
        if not text.partition("\n\n")[2].startswith(PEOPLE):
            yield f"{stem} does not begin with the people"
        found = re.findall(r"^## (.*)$", text, re.M)
        if found != HEADINGS:
            yield f"{stem} has the parts {found}"
        parts = re.split(r"^## .*$", text, flags=re.M)
        if not all(part.strip() for part in parts):
            yield f"{stem} has an empty part"
        if len(lines) > PAGE_LINES_MAX:
            yield f"{stem} is longer than a page"
        for title, other in LINK.findall(text):
            if other not in watch.pages or stem_of(title) != other:
                yield f"{stem} leads to {other}, which is not {title}"


@check
def what_pages_say_to_type_is_there(watch: Watch) -> Iterator[str]:
    deployments = {
        each["metadata"]["name"] for each in manifests("district") if each["kind"] == "Deployment"
    }
    for stem, text in watch.pages.items():
        for block in SHELL.findall(text):
            if not _is_shell(block):
                yield f"{stem}: no shell takes {block.splitlines()[0]}"
        for service, word, rest in COMMAND.findall(text.replace("\\\n", "")):
            yield from (f"{stem}: {said}" for said in _misused(service, word, rest))
        for name in sorted({*DEPLOYED.findall(text)} - deployments):
            yield f"{stem}: there is no deployment {name}"
        for path in sorted({*re.findall(r"/health/\w+", text)} - OPEN_PATHS):
            yield f"{stem}: nothing answers {path}"
        for name in sorted({*re.findall(r"`(alliance_\w+)`", text)} - FIGURES.keys()):
            yield f"{stem}: nobody tells {name}"
        for name in sorted({*SETTING.findall(text)} - {each.upper() for each in SAYS}):
            yield f"{stem}: no setting is called {name}"


@cache
def _is_shell(block: str) -> bool:
    done = subprocess.run(["bash", "-n"], input=block, text=True, capture_output=True, check=False)
    return done.returncode == 0


def _misused(service: str, word: str, rest: str) -> Iterator[str]:
    if service not in mains():
        yield f"there is no service {service}"
    if word not in OPERATIONS:
        yield f"nothing is called {word}"
    elif word == "parked":
        words = re.findall(r"'[^']*'|\S+", rest.partition("#")[0])
        try:
            parked.read([each.strip("'") for each in words])
        except (SystemExit, argparse.ArgumentError):
            yield f"parked does not take{rest}"


def collector_complaints(text: str) -> Iterator[str]:
    """Of the collector's configuration: both kinds arrive, and each step of a way is there."""
    config = yaml.safe_load(text)
    pipelines = config["service"]["pipelines"]
    for kind in sorted({"traces", "metrics"} - pipelines.keys()):
        yield f"{kind} go nowhere"
    for kind, steps in pipelines.items():
        for step in ("receivers", "processors", "exporters"):
            for name in steps.get(step, ()):
                if name not in config.get(step, {}):
                    yield f"{kind}: there is no {name} among the {step}"
        if not steps.get("receivers") or not steps.get("exporters"):
            yield f"{kind} come from nowhere, or go nowhere"
