"""Spans and log lines about the machinery; the only importer of opentelemetry.

One span for each arrow of the flow. What may be said is a closed list of names: nothing that comes
from a person or from a caller's words is among them. Without OTLP_URL a span costs next to nothing;
the trace's name (W3C traceparent) still travels in the record.
"""

import json
import logging
import re
import secrets
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict, Unpack

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import SpanContext, Tracer

    from libs.common.commit import Commit

Arrow = Literal["http", "decide", "append", "relay", "project", "react"]

TEXT_MAX = 200
FRAMES_MAX = 4
LINKS_MAX = 64
FLUSH_MS_MAX = 5_000
TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


class Allowed(TypedDict, total=False):
    """All that a span or a log line may carry. None of it may say anything about a person."""

    service: str
    loop: str
    route: str
    method: str
    status: int
    log: str
    shard: int
    position: str
    projection: str
    policy: str
    count: int
    bytes: int
    ms: float
    error: str
    where: str
    reason: str
    code: str
    logger: str
    level: str
    template: str
    host: str
    port: int


ALLOWED = frozenset(Allowed.__annotations__)

_current: ContextVar[str | None] = ContextVar("traceparent", default=None)
_NOTHING: AbstractContextManager[None] = nullcontext()
_tracer: "Tracer | None" = None
_provider: "TracerProvider | None" = None


def start(service: str, otlp_url: str | None) -> None:
    """Sends spans there from now on; None: nowhere. The import alone takes a second."""
    global _tracer, _provider
    if otlp_url is None:
        return
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    _provider = TracerProvider(resource=Resource({"service.name": service}))
    _provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=otlp_url)))
    _tracer = _provider.get_tracer("alliance")


def stop() -> None:
    """Sends what is left, within a limit."""
    global _tracer, _provider
    if _provider is not None:
        _provider.force_flush(FLUSH_MS_MAX)
        _provider.shutdown()
    _tracer = _provider = None


def traceparent() -> str:
    """The trace that this work belongs to, or the name of a new one; made without the SDK."""
    known = _current.get()
    if known is not None:
        return known
    made = secrets.token_hex(24)
    return f"00-{made[:32]}-{made[32:]}-00"


def parsed(header: str | None) -> str | None:
    """A caller's traceparent when it is well formed."""
    return header if header is not None and TRACEPARENT.fullmatch(header) else None


def traces_of(commits: Sequence["Commit"]) -> list[str]:
    """The traces that these commits belong to, for a batch's links; none when nobody listens."""
    if _tracer is None:
        return []
    return [trace for one in commits[:LINKS_MAX] if (trace := one.content.get("trace"))]


def span(
    arrow: Arrow,
    parent: str | None = None,
    links: Sequence[str] = (),
    **attributes: Unpack[Allowed],
) -> AbstractContextManager[None]:
    """Work on one arrow. `parent` and `links` are traceparents: what asked for it, and for a batch
    the many things that did."""
    if _tracer is None:
        return _NOTHING if parent is None else _carrying(parent)
    return _recorded(_tracer, arrow, parent, links, attributes)


@contextmanager
def _carrying(parent: str) -> Iterator[None]:
    token = _current.set(parent)
    try:
        yield
    finally:
        _current.reset(token)


@contextmanager
def _recorded(
    tracer: "Tracer", arrow: Arrow, parent: str | None, links: Sequence[str], attributes: Any
) -> Iterator[None]:
    from opentelemetry.context import Context
    from opentelemetry.trace import Link, NonRecordingSpan, Status, StatusCode, set_span_in_context

    above = parent or _current.get()
    context = Context()
    if above is not None:
        context = set_span_in_context(NonRecordingSpan(_span_context(above)), context)
    _check(attributes)
    linked = [Link(_span_context(link)) for link in links[:LINKS_MAX]]
    one = tracer.start_span(arrow, context, attributes=attributes, links=linked)
    ids = one.get_span_context()
    token = _current.set(f"00-{ids.trace_id:032x}-{ids.span_id:016x}-01")
    try:
        yield
    except BaseException as error:
        one.set_attribute("error", type(error).__name__)
        one.set_status(Status(StatusCode.ERROR))
        raise
    finally:
        _current.reset(token)
        one.end()


def _span_context(text: str) -> "SpanContext":
    from opentelemetry.trace import SpanContext, TraceFlags

    _, trace, ident, _ = text.split("-")
    return SpanContext(int(trace, 16), int(ident, 16), is_remote=True, trace_flags=TraceFlags(1))


def _check(fields: Any) -> None:
    unknown = fields.keys() - ALLOWED
    if unknown:
        raise TypeError(f"not allowed in telemetry: {sorted(unknown)}")


def where(error: BaseException) -> str:
    """The last files and lines that an error came through, innermost first. What it says itself may
    quote somebody."""
    frames = traceback.extract_tb(error.__traceback__)[-FRAMES_MAX:]
    return " < ".join(f"{Path(one.filename).name}:{one.lineno}" for one in reversed(frames))


def log(event: str, **fields: Unpack[Allowed]) -> None:
    """One line of JSON on standard error. A name that is not in the list is a mistake."""
    _check(fields)
    line: dict[str, Any] = {"at": datetime.now(UTC).isoformat(timespec="milliseconds")}
    line["event"] = event
    for name, value in fields.items():
        line[name] = value[:TEXT_MAX] if isinstance(value, str) else value
    trace = _current.get()
    if trace is not None:
        line["trace"] = trace[3:35]
    sys.stderr.write(json.dumps(line, separators=(",", ":")) + "\n")


class _Template(logging.Handler):
    """What libraries log: the sentence they wrote, without what they filled in."""

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[0].__name__ if record.exc_info and record.exc_info[0] else ""
        template = record.msg if isinstance(record.msg, str) else type(record.msg).__name__
        fields: Allowed = {"logger": record.name, "level": record.levelname, "template": template}
        if error:
            fields["error"] = error
        log("library", **fields)


def quiet_libraries() -> None:
    """From now on libraries' warnings come out as our own lines, without values or tracebacks."""
    logging.basicConfig(level=logging.WARNING, handlers=[_Template()], force=True)
