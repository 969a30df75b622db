"""Comparing terms: within, and what several have in common."""

from collections.abc import Iterable

from services.consent.events import RESERVED, Terms


def within(inner: Terms, outer: Terms) -> bool:
    """Whether `inner` allows nothing that `outer` does not."""
    return (
        inner.holder == outer.holder
        and inner.recipient == outer.recipient
        and inner.classes <= outer.classes
        and inner.purposes <= outer.purposes
        and inner.starts >= outer.starts
        and inner.until <= outer.until
        and (outer.until_event is None or inner.until_event == outer.until_event)
    )


def common(all_terms: Iterable[Terms]) -> Terms | None:
    """What all of them allow; None when that is nothing."""
    first, *others = all_terms
    shared: Terms | None = first
    for other in others:
        shared = _meet(shared, other)
    return shared


def _meet(one: Terms | None, other: Terms) -> Terms | None:
    """Two that end with different events have nothing in common: one field names one event."""
    if one is None or (one.holder, one.recipient) != (other.holder, other.recipient):
        return None
    events = {one.until_event, other.until_event} - {None}
    classes = one.classes & other.classes
    purposes = one.purposes & other.purposes
    starts = max(one.starts, other.starts)
    until = min(one.until, other.until)
    if len(events) > 1 or not classes or not purposes or starts > until:
        return None
    return Terms(
        holder=one.holder,
        recipient=one.recipient,
        classes=classes,
        purposes=purposes,
        starts=starts,
        until=until,
        until_event=events.pop() if events else None,
    )


def reserved(terms: Terms) -> bool:
    return bool(terms.classes & RESERVED)
