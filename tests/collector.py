"""A receiver of OTLP over HTTP, as a collector is one: it keeps every byte, and tells what it says.

It listens on a thread of its own, so that the SDK's exporters find it whatever the test does.
"""

import gzip
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue

TRACES, METRICS = "/v1/traces", "/v1/metrics"
KINDS: Mapping[str, type[Any]] = {
    TRACES: ExportTraceServiceRequest,
    METRICS: ExportMetricsServiceRequest,
}


@dataclass(frozen=True)
class Span:
    """A span as it arrived; `place` and `parent` are (trace, span), in hex."""

    service: str
    name: str
    place: tuple[str, str]
    parent: tuple[str, str] | None
    links: frozenset[tuple[str, str]]
    said: Mapping[str, Any]


@dataclass(frozen=True)
class Point:
    """One value of a figure; of a histogram, how many there were."""

    service: str
    instance: str
    name: str
    unit: str
    said: Mapping[str, Any]
    value: float


@dataclass(eq=False)
class Collector:
    """`bodies` are (path, body) as they came."""

    url: str
    bodies: list[tuple[str, bytes]] = field(default_factory=list)

    @property
    def settings(self) -> dict[str, str]:
        return {"OTLP_URL": self.url + TRACES, "OTLP_METRICS_URL": self.url + METRICS}

    def messages(self, path: str) -> list[Any]:
        return [KINDS[path].FromString(body) for at, body in [*self.bodies] if at == path]

    def spans(self) -> list[Span]:
        return [
            _span(attributes(resource.resource.attributes)["service.name"], one)
            for message in self.messages(TRACES)
            for resource in message.resource_spans
            for scope in resource.scope_spans
            for one in scope.spans
        ]

    def points(self) -> list[Point]:
        """In the order in which they arrived."""
        return [
            point
            for message in self.messages(METRICS)
            for resource in message.resource_metrics
            for scope in resource.scope_metrics
            for one in scope.metrics
            for point in _points(attributes(resource.resource.attributes), one)
        ]

    def write(self, folder: Path) -> None:
        """All that arrived, as it came and as text, to be looked through."""
        folder.mkdir(parents=True, exist_ok=True)
        for number, (path, body) in enumerate(self.bodies):
            stem = f"{number:05}-{path.rpartition('/')[2]}"
            (folder / f"{stem}.bin").write_bytes(body)
            (folder / f"{stem}.txt").write_text(str(KINDS[path].FromString(body)), "utf-8")


@contextmanager
def collecting() -> Iterator[Collector]:
    class Receive(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            KINDS[self.path].FromString(body)  # what cannot be read is no 200
            collector.bodies.append((self.path, body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Receive)
    collector = Collector(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield collector
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def attributes(listed: Any) -> dict[str, Any]:
    return {one.key: _value(one) for one in listed}


def _value(one: KeyValue) -> Any:
    return getattr(one.value, one.value.WhichOneof("value") or "string_value")


def _span(service: str, one: Any) -> Span:
    trace = one.trace_id.hex()
    parent = (trace, one.parent_span_id.hex()) if one.parent_span_id else None
    links = frozenset((link.trace_id.hex(), link.span_id.hex()) for link in one.links)
    place = (trace, one.span_id.hex())
    return Span(service, one.name, place, parent, links, attributes(one.attributes))


def _points(whose: Mapping[str, Any], one: Any) -> Iterator[Point]:
    service, instance = whose["service.name"], whose["service.instance.id"]
    kind = one.WhichOneof("data")
    for point in getattr(one, kind).data_points:
        if kind == "histogram":
            value = float(point.count)
        else:
            value = float(point.as_int or point.as_double)
        yield Point(service, instance, one.name, one.unit, attributes(point.attributes), value)
