"""Alerts, dashboard and runbooks fit the code and each other, and each check is shown to fail."""

from collections.abc import Callable

import pytest

from libs.common.meters import INSTRUMENTS
from tests.deploy.reading import ROOT
from tests.deploy.watching import CHECKS, FIGURES, Watch, collector_complaints, named

COLLECTOR = ROOT / "deploy" / "compose" / "collector.yaml"
Break = Callable[[Watch], object]


@pytest.mark.parametrize("name", sorted(CHECKS))
def test_what_watches_holds(name: str) -> None:
    assert list(CHECKS[name](Watch.whole())) == []


def test_names_are_those_that_prometheus_gives() -> None:
    """As its own translator, otlptranslator 1.0.0, wrote them when it was asked."""
    assert {one.name: named(one)[-1] for one in INSTRUMENTS.values()} == {
        "alliance.http.duration": "alliance_http_duration_seconds_count",
        "alliance.refusals": "alliance_refusals_total",
        "alliance.append.duration": "alliance_append_duration_seconds_count",
        "alliance.append.group": "alliance_append_group_count",
        "alliance.commits": "alliance_commits_total",
        "alliance.append.conflicts": "alliance_append_conflicts_total",
        "alliance.append.waiting": "alliance_append_waiting",
        "alliance.ready": "alliance_ready",
        "alliance.loop.up": "alliance_loop_up",
        "alliance.loop.ends": "alliance_loop_ends_total",
        "alliance.reader.behind": "alliance_reader_behind",
        "alliance.reader.lag": "alliance_reader_lag_seconds",
        "alliance.reader.halts": "alliance_reader_halts",
        "alliance.reader.gap": "alliance_reader_gap_seconds",
        "alliance.reader.parked": "alliance_reader_parked",
        "alliance.relay.lag": "alliance_relay_lag_seconds",
        "alliance.shards.fenced": "alliance_shards_fenced",
        "alliance.sweep.age": "alliance_sweep_age_seconds",
    }
    assert len(FIGURES) == len(INSTRUMENTS) + 2 * sum(
        one.kind == "histogram" for one in INSTRUMENTS.values()
    )


def alert(name: str, **changes: object) -> Break:
    def broken(watch: Watch) -> None:
        found = next(one for one in watch.alerts if one["alert"] == name)
        found |= changes

    return broken


def page(stem: str, old: str, new: str) -> Break:
    def broken(watch: Watch) -> None:
        assert old in watch.pages[stem]
        watch.pages[stem] = watch.pages[stem].replace(old, new)

    return broken


def asks(number: int, expression: str) -> Break:
    def broken(watch: Watch) -> None:
        watch.board["panels"][number]["targets"][0]["expr"] = expression

    return broken


def no_panel_asks_for(figure: str) -> Break:
    def broken(watch: Watch) -> None:
        for panel in watch.board["panels"]:
            panel["targets"] = [t for t in panel["targets"] if figure not in t["expr"]]

    return broken


BROKEN: list[tuple[str, Break, str]] = [
    (
        "figures_are_told",
        asks(0, "max(alliance_readiness)"),
        "Ready: nobody tells alliance_readiness",
    ),
    (
        "figures_are_told",
        alert("AllianceGap", expr="max by (reader) (alliance_reader_gap) > 60"),
        "AllianceGap: nobody tells alliance_reader_gap",
    ),
    ("figures_are_told", alert("AllianceSilent", expr="absent(up)"), "asks for nothing of ours"),
    (
        "labels_are_carried",
        alert("AllianceShardFenced", expr="max by (shard) (alliance_shards_fenced) > 0"),
        "AllianceShardFenced: nothing carries shard",
    ),
    (
        "labels_are_carried",
        asks(8, 'alliance_refusals_total{service="consent"}'),
        "Refusals: nothing carries service",
    ),
    (
        "labels_are_carried",
        asks(8, 'alliance_refusals_total{code="store_away"}'),
        "Refusals: code is never store_away",
    ),
    (
        "labels_are_carried",
        alert("AllianceLoopDied", expr='alliance_loop_ends_total{end=~"died|ended"} > 0'),
        "AllianceLoopDied: end is never ended",
    ),
    (
        "what_is_shown_is_left_by_the_expression",
        alert("AllianceGap", expr="max by (job) (alliance_reader_gap_seconds) > 60"),
        "AllianceGap: no reader is left to be shown",
    ),
    (
        "every_figure_is_looked_at",
        no_panel_asks_for("alliance_append_waiting"),
        "nobody looks at alliance.append.waiting",
    ),
    ("alerts_are_whole", alert("AllianceGap", alert="Gap"), "Gap does not say whose it is"),
    ("alerts_are_whole", alert("AllianceGap", labels={}), "whether it wakes somebody"),
    ("alerts_are_whole", alert("AllianceGap", annotations={}), "AllianceGap has no sentence"),
    ("alerts_are_whole", alert("AllianceGap", **{"for": "a while"}), "waits for a while"),
    ("alerts_are_whole", lambda w: w.alerts.append(w.alerts[0]), "AllianceSilent stands twice"),
    (
        "every_alert_has_a_page_and_every_page_an_alert",
        lambda w: w.pages.pop("gap"),
        "AllianceGap has no page",
    ),
    (
        "every_alert_has_a_page_and_every_page_an_alert",
        lambda w: w.pages.update(flood="# AllianceFlood"),
        "no alert leads to flood",
    ),
    (
        "every_alert_has_a_page_and_every_page_an_alert",
        alert("AllianceGap", annotations={"runbook": "docs/runbooks/silent.md"}),
        "AllianceGap leads to docs/runbooks/silent.md",
    ),
    (
        "the_guide_lists_every_alert",
        alert("AllianceGap", labels={"severity": "ticket"}),
        "the guide does not list AllianceGap, a ticket",
    ),
    (
        "the_guide_lists_every_alert",
        lambda w: w.alerts.pop(),
        "the guide lists AllianceStreamsParked, which is no alert",
    ),
    ("pages_have_their_parts", page("gap", "# AllianceGap", "# AllianceGaps"), "its title"),
    ("pages_have_their_parts", page("gap", "For the people", "For us"), "begin with the people"),
    ("pages_have_their_parts", page("gap", "## Wake", "## Call"), "gap has the parts"),
    ("pages_have_their_parts", page("streams-parked", "\nNobody.\n", ""), "an empty part"),
    ("pages_have_their_parts", page("gap", "## Do", "\n" * 60 + "## Do"), "longer than a page"),
    ("pages_have_their_parts", page("gap", "(shard-fenced.md)", "(fenced.md)"), "leads to fenced"),
    (
        "what_pages_say_to_type_is_there",
        page("gap", "services.consent recover", "services.consent mend"),
        "gap: nothing is called mend",
    ),
    (
        "what_pages_say_to_type_is_there",
        page("gap", "services.consent fsck", "services.audit fsck"),
        "gap: there is no service audit",
    ),
    (
        "what_pages_say_to_type_is_there",
        page("streams-parked", "parked retry", "parked again"),
        "streams-parked: parked does not take again READ_MODEL",
    ),
    (
        "what_pages_say_to_type_is_there",
        page("streams-parked", " --reason 'agreed with the school office'", ""),
        "streams-parked: parked does not take evict READ_MODEL STREAM",
    ),
    (
        "what_pages_say_to_type_is_there",
        page("gap", "deploy/consent-relay", "deploy/consent-sender"),
        "gap: there is no deployment consent-sender",
    ),
    (
        "what_pages_say_to_type_is_there",
        page("not-ready", "/health/ready", "/health/wellbeing"),
        "not-ready: nothing answers /health/wellbeing",
    ),
    (
        "what_pages_say_to_type_is_there",
        page("silent", "OTLP_METRICS_URL", "OTLP_FIGURES_URL"),
        "silent: no setting is called OTLP_FIGURES_URL",
    ),
    (
        "what_pages_say_to_type_is_there",
        page("gap", "`alliance_reader_gap_seconds`", "`alliance_gap`"),
        "gap: nobody tells alliance_gap",
    ),
    (
        "what_pages_say_to_type_is_there",
        page("gap", "kubectl -n alliance rollout", "kubectl 'rollout"),
        "gap: no shell takes",
    ),
]


@pytest.mark.parametrize("number", range(len(BROKEN)))
def test_a_watch_that_is_broken_is_told(number: int) -> None:
    name, broken, said = BROKEN[number]
    watch = Watch.whole()
    broken(watch)
    complaints = [each.replace("  ", " ") for each in CHECKS[name](watch)]
    assert any(said in each for each in complaints), complaints


def test_every_check_is_broken_once() -> None:
    assert {name for name, _, _ in BROKEN} == CHECKS.keys()


def test_the_collector_takes_spans_and_figures() -> None:
    assert list(collector_complaints(COLLECTOR.read_text("utf-8"))) == []


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("    metrics:\n", "    logs:\n", "metrics go nowhere"),
        ("exporters: [debug]", "exporters: [tempo]", "traces: there is no tempo"),
        ("receivers: [otlp]", "receivers: []", "come from nowhere"),
        ("processors: [batch]", "processors: [batches]", "there is no batches"),
    ],
)
def test_a_collector_that_is_broken_is_told(old: str, new: str, said: str) -> None:
    text = COLLECTOR.read_text("utf-8")
    assert old in text
    found = list(collector_complaints(text.replace(old, new)))
    assert any(said in each for each in found), found
