"""What telemetry says, and what it can never say."""

import json
import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from libs.common import telemetry
from libs.common.telemetry import TRACEPARENT, log, parsed, quiet_libraries, span, traceparent

PARENT = "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01"
OTHER = "00-11111111111111111111111111111111-2222222222222222-01"


class Collector(HTTPServer):
    """The twenty lines of an OTLP receiver that matter."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Receive)
        self.spans: list[Any] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1/traces"


class _Receive(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, Collector)
        asked = ExportTraceServiceRequest.FromString(
            self.rfile.read(int(self.headers["Content-Length"]))
        )
        for resource in asked.resource_spans:
            for scope in resource.scope_spans:
                self.server.spans += scope.spans
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture
def collector() -> Iterator[Collector]:
    server = Collector()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_a_log_line_is_one_json_object(capsys: pytest.CaptureFixture[str]) -> None:
    log("loop.away", loop="relay", error="StoreAway", reason="x" * 500)
    (line,) = lines(capsys)
    assert line.pop("at")
    expected = {"event": "loop.away", "loop": "relay", "error": "StoreAway", "reason": "x" * 200}
    assert line == expected


def test_a_name_that_is_not_in_the_list_is_a_mistake() -> None:
    with pytest.raises(TypeError, match="student"):
        log("x", student="Hanna")  # type: ignore[call-arg]  # mypy sees it before anybody runs it


def test_what_libraries_fill_in_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    kept, level = root.handlers[:], root.level
    quiet_libraries()
    try:
        try:
            raise ValueError("Hanna")
        except ValueError:
            logging.getLogger("driver").exception("failed for %s", "Hanna")
    finally:
        root.handlers, root.level = kept, level
    (line,) = lines(capsys)
    assert line.pop("at")
    assert line == {
        "event": "library",
        "logger": "driver",
        "level": "ERROR",
        "template": "failed for %s",
        "error": "ValueError",
    }


def test_a_trace_s_name_is_made_and_read_without_the_sdk(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert TRACEPARENT.fullmatch(traceparent())
    assert traceparent() != traceparent()
    with span("http", parent=PARENT):
        assert traceparent() == PARENT
        log("x")
    assert lines(capsys)[0]["trace"] == "0123456789abcdef0123456789abcdef"
    assert traceparent() != PARENT


@pytest.mark.parametrize(
    "header",
    [None, "", "Hanna", PARENT[:-1], PARENT.upper(), PARENT.replace("0123456789abcdef", "0" * 16)],
)
def test_a_malformed_traceparent_is_none(header: str | None) -> None:
    assert parsed(header) is None
    assert parsed(PARENT) == PARENT


def test_the_sdk_is_not_even_imported_without_an_address() -> None:
    code = (
        "import sys\n"
        "from libs.common import telemetry\n"
        "telemetry.start('beads', None)\n"
        "with telemetry.span('append', count=3): pass\n"
        "telemetry.stop()\n"
        "assert 'opentelemetry.sdk' not in sys.modules\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_spans_arrive_with_their_parents_and_links(collector: Collector) -> None:
    telemetry.start("beads", collector.url)
    try:
        with span("http", parent=PARENT, route="/v1/beads"):
            inner = traceparent()
            with span("append", links=[OTHER], count=2):
                pass
        with pytest.raises(ValueError, match="Hanna"), span("project"):
            raise ValueError("Hanna")
        with pytest.raises(TypeError), span("relay", student="x"):  # type: ignore[call-arg]  # same
            pass
    finally:
        telemetry.stop()
    by_name = {one.name: one for one in collector.spans}
    http, append, failed = by_name["http"], by_name["append"], by_name["project"]
    assert http.trace_id.hex() == PARENT[3:35]
    assert http.parent_span_id.hex() == PARENT[36:52]
    assert inner == f"00-{http.trace_id.hex()}-{http.span_id.hex()}-01"
    assert append.parent_span_id == http.span_id
    assert [link.trace_id.hex() for link in append.links] == ["1" * 32]
    assert [(a.key, a.value.int_value) for a in append.attributes] == [("count", 2)]
    assert [(a.key, a.value.string_value) for a in failed.attributes] == [("error", "ValueError")]
    assert b"Hanna" not in failed.SerializeToString()
