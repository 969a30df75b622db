"""Spans and log lines about the machinery. Beside it only meters.py imports opentelemetry.

One span for each arrow of the flow. What may be said is a closed list of names: nothing that comes
from a person or from a caller's words is among them. Without OTLP_URL a span costs next to nothing;
the trace's name (W3C traceparent) still travels in the record.
"""

import json
import logging
import re
import sys
import traceback
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, Literal, TypedDict, Unpack

from libs.common.meters import instance

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span, SpanContext, Tracer

    from libs.common.commit import Commit

Arrow = Literal["http", "decide", "append", "relay", "project", "react"]

TEXT_MAX = 200
FRAMES_MAX = 4
LINKS_MAX = 64
FLUSH_MS_MAX = 3_000
"""A collector that is away keeps no process from ending."""
EXPORT_MS = 1_000
QUEUED_MAX = 8_192
"""Spans that wait to be sent; beyond it they are lost, and chains with them."""
_NAMES = Random()  # noqa: S311 - a trace's name is no secret, and the system's are dear
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
_open: ContextVar["Span | None"] = ContextVar("span", default=None)
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

    resource = Resource({"service.name": service, "service.instance.id": instance()})
    _provider = TracerProvider(resource=resource)
    exporter = OTLPSpanExporter(endpoint=otlp_url)
    _provider.add_span_processor(BatchSpanProcessor(exporter, QUEUED_MAX, EXPORT_MS))
    _tracer = _provider.get_tracer("alliance")


def stop() -> None:
    """Sends what is left, within a limit."""
    global _tracer, _provider
    if _provider is not None:
        _provider.force_flush(FLUSH_MS_MAX)
        _provider.shutdown()
    _tracer = _provider = None


def request_span(header: str | None, **attributes: Unpack[Allowed]) -> AbstractContextManager[None]:
    """A request's arrow. Its trace is the caller's when the header `traceparent` is well formed,
    else a new one, which has a name even where nothing is recorded."""
    parent = parsed(header)
    if _tracer is None and parent is None:
        made = f"{_NAMES.getrandbits(192):048x}"
        return _carrying(f"00-{made[:32]}-{made[32:]}-00")
    return span("http", parent, **attributes)


def parsed(header: str | None) -> str | None:
    """A caller's traceparent when it is well formed."""
    return header if header is not None and TRACEPARENT.fullmatch(header) else None


def current() -> str | None:
    """The traceparent of this work, for what is asked from here on; None when it has none."""
    return _current.get()


def span(
    arrow: Arrow,
    parent: str | None = None,
    **attributes: Unpack[Allowed],
) -> AbstractContextManager[None]:
    """Work on one arrow for one asker, whose traceparent is `parent`; without one, and where no
    span is open, a trace begins here."""
    if _tracer is None:
        return _NOTHING if parent is None else _carrying(parent)
    return _recorded(_tracer, arrow, parent or _current.get(), (), attributes)


def batch_span(
    arrow: Arrow, traces: Iterable[str | None], **attributes: Unpack[Allowed]
) -> AbstractContextManager[None]:
    """Work on one arrow for everybody whom a batch belongs to: part of the one trace when there is
    but one, else a trace of its own with a link to each, up to a limit."""
    if _tracer is None:
        return _NOTHING
    askers: dict[str, None] = {}
    for trace in traces:  # a commit is looked into for its own: no further than is needed
        if trace is not None:
            askers[trace] = None
        if len(askers) == LINKS_MAX:
            break
    if len(askers) == 1:
        return _recorded(_tracer, arrow, next(iter(askers)), (), attributes)
    return _recorded(_tracer, arrow, None, [*askers], attributes)


def note(**attributes: Unpack[Allowed]) -> None:
    """Says more of the span that is open here, if there is one."""
    one = _open.get()
    if one is not None:
        _check(attributes)
        one.set_attributes(dict(attributes))  # type: ignore[arg-type]  # words and numbers only


def trace_of(commit: "Commit") -> str | None:
    """The traceparent of what a commit was decided in."""
    found: str | None = commit.content.get("trace")
    return found


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

    context = Context()
    if parent is not None:
        context = set_span_in_context(NonRecordingSpan(_span_context(parent)), context)
    _check(attributes)
    linked = [Link(_span_context(link)) for link in links]
    one = tracer.start_span(arrow, context, attributes=attributes, links=linked)
    ids = one.get_span_context()
    token = _current.set(f"00-{ids.trace_id:032x}-{ids.span_id:016x}-01")
    opened = _open.set(one)
    try:
        yield
    except BaseException as error:
        one.set_attribute("error", type(error).__name__)
        one.set_status(Status(StatusCode.ERROR))
        raise
    finally:
        _current.reset(token)
        _open.reset(opened)
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
