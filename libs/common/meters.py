"""Figures about the machinery, counted where it happens and sent as OTLP metrics.

The instruments are a closed list, each with the attributes that it must carry; a value that is not
a plain word of ours is told as `other`. Nothing is asked for a figure: what the loops know is shown
by `watching.py`. Without an address a figure costs a comparison, and the SDK is not imported.
"""

import os
import re
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypedDict, Unpack

if TYPE_CHECKING:
    from opentelemetry.metrics import CallbackOptions, Observation
    from opentelemetry.sdk.metrics import MeterProvider

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
GROUPS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
"""Where the buckets of the histograms end."""
EXPORT_MS = 15_000
STOP_MS_MAX = 3_000
CODES_MAX = 500
"""Different codes that one process tells apart."""
WORD = re.compile(r"[A-Za-z0-9_.:/{}~-]{1,120}")
OTHER = "other"


class Labels(TypedDict, total=False):
    """All that a figure may carry. None of it may say anything about a person."""

    log: str
    shard: int
    reader: str
    loop: str
    end: str
    error: str
    route: str
    method: str
    status: int
    code: str


class Instrument(NamedTuple):
    """What is counted, in which unit (OpenTelemetry's words for both), and by what."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    unit: str
    text: str
    labels: frozenset[str] = frozenset()
    bounds: tuple[float, ...] = ()


INSTRUMENTS: dict[str, Instrument] = {}


def _one(
    name: str,
    kind: Literal["counter", "gauge", "histogram"],
    unit: str,
    labels: str,
    text: str,
    bounds: tuple[float, ...] = (),
) -> Instrument:
    found = Instrument(f"alliance.{name}", kind, unit, text, frozenset(labels.split()), bounds)
    assert found.labels <= Labels.__annotations__.keys()
    return INSTRUMENTS.setdefault(found.name, found)


HTTP = _one("http.duration", "histogram", "s", "route method status",
            "From a request's first byte to its answer.", SECONDS)  # fmt: skip
REFUSALS = _one("refusals", "counter", "{answer}", "status code",
                "Answers that are a no, by the code of their problem document.")  # fmt: skip
APPEND = _one("append.duration", "histogram", "s", "log",
              "One insert of a group of commits.", SECONDS)  # fmt: skip
GROUP = _one("append.group", "histogram", "{commit}", "log",
             "Commits that were inserted together.", GROUPS)  # fmt: skip
COMMITS = _one("commits", "counter", "{commit}", "log", "Commits that were stored here.")
CONFLICTS = _one("append.conflicts", "counter", "{insert}", "log",
                 "Inserts in which another writer was faster.")  # fmt: skip
WAITING = _one("append.waiting", "gauge", "{command}", "log", "Commands without an answer yet.")
READY = _one("ready", "gauge", "{process}", "", "1 when the process may be asked, else 0.")
LOOP_UP = _one("loop.up", "gauge", "{loop}", "loop",
               "1 while a loop runs; 0 when it is dead or fell within a minute.")  # fmt: skip
LOOP_ENDS = _one("loop.ends", "counter", "{end}", "loop end",
                 "How often a loop ended: away (begun again), died, or halted.")  # fmt: skip
BEHIND = _one("reader.behind", "gauge", "{commit}", "reader log shard",
              "Commits of a shard that a read model or a policy has not dealt with.")  # fmt: skip
LAG = _one("reader.lag", "gauge", "s", "reader log shard",
           "How old the oldest of these is, at most.")  # fmt: skip
HALTS = _one("reader.halts", "gauge", "{shard}", "reader",
             "Shards in which a read model or a policy stands still.")  # fmt: skip
GAP = _one("reader.gap", "gauge", "s", "reader", "How long a commit has been missing, at most.")
PARKED = _one("reader.parked", "gauge", "{stream}", "reader",
              "Streams that are set aside for a read model.")  # fmt: skip
RELAY = _one("relay.lag", "gauge", "s", "log",
             "How old the oldest commit is that was not sent yet.")  # fmt: skip
FENCED = _one("shards.fenced", "gauge", "{shard}", "log",
              "Shards whose store and topic disagree.")  # fmt: skip
SWEEP = _one("sweep.age", "gauge", "s", "log", "Since deadlines were last looked at.")

Shown = Mapping[Instrument, Sequence[tuple[float, Labels]]]
"""Gauge -> its values, each with its attributes."""

_provider: "MeterProvider | None" = None
_meters: dict[Instrument, Any] | None = None
_shown: Shown = {}
_codes: set[str] = set()


def instance() -> str:
    """Which process this is, for whoever looks for it: the pod's name, on Kubernetes."""
    return f"{socket.gethostname()}-{os.getpid()}"


def start(service: str, url: str | None) -> None:
    """Sends figures there from now on; None: nowhere."""
    global _provider, _meters
    if url is None:
        return
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.sdk.metrics import AlwaysOffExemplarFilter, MeterProvider
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
    from opentelemetry.sdk.resources import Resource

    reader = PeriodicExportingMetricReader(OTLPMetricExporter(endpoint=url), EXPORT_MS)
    resource = Resource({"service.name": service, "service.instance.id": instance()})
    _provider = MeterProvider([reader], resource, AlwaysOffExemplarFilter())
    _meters = _made(_provider.get_meter("alliance"))


def stop() -> None:
    """Sends what is left, within a limit."""
    global _provider, _meters, _shown
    if _provider is not None:
        _provider.shutdown(STOP_MS_MAX)
    _provider, _meters, _shown = None, None, {}
    _codes.clear()


def count(counter: Instrument, number: int = 1, **labels: Unpack[Labels]) -> None:
    if _meters is not None:
        _meters[counter].add(number, _told(counter, labels))


def measure(histogram: Instrument, value: float, **labels: Unpack[Labels]) -> None:
    if _meters is not None:
        _meters[histogram].record(value, _told(histogram, labels))


def show(gauges: Shown) -> None:
    """What every gauge says from now on, all at once: what is not among it is told no more."""
    global _shown
    _shown = {
        gauge: [(value, _told(gauge, labels)) for value, labels in values]
        for gauge, values in gauges.items()
    }


def _told(instrument: Instrument, labels: Labels) -> Any:
    if labels.keys() != instrument.labels:
        raise TypeError(f"{instrument.name} carries {sorted(instrument.labels)}")
    for name, value in labels.items():
        if isinstance(value, str) and not WORD.fullmatch(value):
            labels[name] = OTHER  # type: ignore[literal-required]  # a name of the list, see above
    if "code" in labels and labels["code"] not in _codes:
        if len(_codes) < CODES_MAX:
            _codes.add(labels["code"])
        else:
            labels["code"] = OTHER
    return labels


def _made(meter: Any) -> dict[Instrument, Any]:
    make: Mapping[str, Callable[[Instrument], Any]] = {
        "counter": lambda one: meter.create_counter(one.name, one.unit, one.text),
        "histogram": lambda one: meter.create_histogram(
            one.name, one.unit, one.text, explicit_bucket_boundaries_advisory=one.bounds
        ),
        "gauge": lambda one: meter.create_observable_gauge(
            one.name, [partial(_observed, one)], one.unit, one.text
        ),
    }
    return {one: make[one.kind](one) for one in INSTRUMENTS.values()}


def _observed(gauge: Instrument, _: "CallbackOptions") -> "Iterable[Observation]":
    from opentelemetry.metrics import Observation

    return [Observation(value, labels) for value, labels in _shown.get(gauge, ())]  # type: ignore[arg-type]  # a TypedDict is a mapping
