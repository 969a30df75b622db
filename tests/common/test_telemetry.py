"""What telemetry says, and what it can never say."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from libs.common import telemetry
from libs.common.telemetry import (
    LINKS_MAX,
    TRACEPARENT,
    batch_span,
    current,
    log,
    note,
    parsed,
    quiet_libraries,
    request_span,
    span,
)
from tests.canary import CANARIES, Leaked, clean
from tests.collector import collecting

PARENT = "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01"
OTHER = "00-11111111111111111111111111111111-2222222222222222-01"


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
    made = []
    for _ in range(2):
        with request_span("nothing of the kind"):
            made.append(current())
    assert TRACEPARENT.fullmatch(made[0] or "")
    assert made[0] != made[1]
    with request_span(PARENT):
        assert current() == PARENT
        log("x")
    assert lines(capsys)[0]["trace"] == "0123456789abcdef0123456789abcdef"
    assert current() is None


@pytest.mark.parametrize(
    "header",
    [None, "", "Hanna", PARENT[:-1], PARENT.upper(), PARENT.replace("0123456789abcdef", "0" * 16)],
)
def test_a_malformed_traceparent_is_none(header: str | None) -> None:
    assert parsed(header) is None
    assert parsed(PARENT) == PARENT


def test_spans_arrive_with_their_parents() -> None:
    with collecting() as collector:
        telemetry.start("beads", collector.settings["OTLP_URL"])
        try:
            with request_span(PARENT, route="/v1/beads"):
                inner = current()
                with span("decide"):
                    pass
                note(status=409, code="over")
            with request_span("nothing of the kind", route="/v1/strings"):
                pass
            with pytest.raises(ValueError, match="Hanna"), span("project"):
                raise ValueError("Hanna")
            with pytest.raises(TypeError), span("relay", student="x"):  # type: ignore[call-arg]  # same
                pass
        finally:
            telemetry.stop()
        spans = collector.spans()
        http, decide, failed = (
            next(one for one in spans if one.name == name) for name in ("http", "decide", "project")
        )
        assert b"Hanna" not in b"".join(body for _, body in collector.bodies)
    begun = next(one for one in spans if one.said.get("route") == "/v1/strings")
    assert begun.parent is None, "a caller that nobody knows is no part of the trace"
    assert http.parent == (PARENT[3:35], PARENT[36:52])
    assert inner == f"00-{http.place[0]}-{http.place[1]}-01"
    assert http.said == {"route": "/v1/beads", "status": 409, "code": "over"}
    assert (decide.parent, decide.links) == (http.place, frozenset())
    assert (failed.parent, failed.said) == (None, {"error": "ValueError"})


def test_a_batch_belongs_to_its_one_trace_or_links_to_its_many() -> None:
    many = [f"00-{'1' * 32}-{number:016x}-01" for number in range(1, 2 * LINKS_MAX)]
    with collecting() as collector:
        telemetry.start("beads", collector.settings["OTLP_URL"])
        try:
            with request_span(OTHER):  # whose work it is not
                with batch_span("append", [None, PARENT, PARENT], count=2):
                    pass
                with batch_span("relay", [*many, PARENT], count=9):
                    pass
        finally:
            telemetry.stop()
        append, relay = (
            next(one for one in collector.spans() if one.name == name)
            for name in ("append", "relay")
        )
    assert append.parent == (PARENT[3:35], PARENT[36:52])
    assert append.links == frozenset()
    assert relay.parent is None
    assert relay.links == {("1" * 32, f"{number:016x}") for number in range(1, LINKS_MAX + 1)}


def test_a_name_in_what_is_sent_is_found(tmp_path: Path) -> None:
    """The stories look for canaries in what the collector got: so one that is there is seen."""
    with collecting() as collector:
        telemetry.start("beads", collector.settings["OTLP_URL"])
        with span("relay", reason="checked"):
            pass
        telemetry.stop()
        collector.write(tmp_path / "clean")
        clean(tmp_path)
        telemetry.start("beads", collector.settings["OTLP_URL"])
        with span("relay", reason=CANARIES["words"]):
            pass
        telemetry.stop()
        collector.write(tmp_path / "leaked")
    with pytest.raises(Leaked, match="traces"):
        clean(tmp_path)
