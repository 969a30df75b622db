"""Is what followed from a request one connected trace, from HTTP to the last read model?

Connected: each span is reached from the caller by steps from a span to those it is the parent of,
and to those that link to it (a batch that belongs to many). Whatever is missing is a complaint.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from libs.common.commit import Commit
from libs.common.service import Rooms
from tests.collector import Span

Place = tuple[str, str]
"""(trace, span), in hex."""


def place_of(traceparent: str) -> Place:
    _, trace, span, _ = traceparent.split("-")
    return trace, span


def reached(spans: Sequence[Span], root: Place) -> dict[Place, Span]:
    """All that follows from one place."""
    follows = _after(spans)
    found: dict[Place, Span] = {}
    left = [root]
    while left:
        for span in follows.get(left.pop(), ()):
            if span.place not in found:
                found[span.place] = span
                left.append(span.place)
    return found


def torn(
    spans: Sequence[Span],
    commits: Sequence[Commit],
    rooms: Sequence[Rooms],
    caller: str,
    sent: bool,
) -> Iterator[str]:
    """What is missing in the trace of a caller that led to these commits. `sent`: through a
    topic."""
    root = place_of(caller)
    found = reached(spans, root)
    for span in spans:
        if span.place[0] == root[0] and span.place not in found:
            yield f"{span.service}: a span {span.name} of the trace hangs in the air"
    if not any(span.name == "http" and span.parent == root for span in spans):
        yield "no request is a part of it"
    after = _after(found.values())
    for commit in commits:
        trace = commit.content.get("trace")
        decided = found.get(place_of(trace)) if trace else None
        if decided is None or decided.name != "decide":
            yield f"{commit.position} was decided outside of it"
            continue
        below = after.get(decided.place, [])
        told = {(span.service, span.name, span.said.get("projection")) for span in below}
        for name in ("append", "relay") if sent else ("append",):
            if not any(span.name == name for span in below):
                yield f"{commit.position} has no {name}"
        for service, reader in _readers(rooms, commit.log):
            if not any(
                name == "project" and view == reader and (not sent or one == service)
                for one, name, view in told
            ):
                yield f"{commit.position} is not read by {service} {reader or 'for its documents'}"
        if "cause" in commit.content and not _asked_by_policy(found, decided):
            yield f"{commit.position} was asked by nobody"


def _after(spans: Iterable[Span]) -> dict[Place, list[Span]]:
    after: dict[Place, list[Span]] = {}
    for span in spans:
        for above in (*span.links, *filter(None, [span.parent])):
            after.setdefault(above, []).append(span)
    return after


def _readers(rooms: Sequence[Rooms], log: str) -> Iterator[tuple[str, str | None]]:
    """Who folds a log: (service, None) for all documents together, or (service, view in memory)."""
    for one in rooms:
        if any(log in projection.logs for projection in one.projections):
            yield one.name, None
        for memory in one.memories:
            if log in memory.logs:
                yield one.name, memory.name


def _asked_by_policy(found: Mapping[Place, Span], decided: Span) -> bool:
    above = found.get(decided.parent) if decided.parent else None
    return above is not None and above.name == "react"
