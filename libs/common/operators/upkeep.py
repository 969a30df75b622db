"""What operators do to a read model, as events: stream `projection/<name>` of the service's log.

An auditor sees when which stream was left behind in which read model, since when, and why; that it
was tried again, or given up; and when a read model was rebuilt. It says nothing about a person.
"""

from typing import Annotated, Any

from pydantic import Field

from libs.common.errors import Refused
from libs.common.messages import Command, Event, State
from libs.common.shapes import Decider

CATEGORY = "projection"
REASON = r"[a-z0-9 .,:;#()/_-]{3,200}"
"""It stays for ever, in plain text: small letters and digits, so that no name gets in by habit."""

Reason = Annotated[str, Field(pattern=f"^{REASON}$")]
Count = Annotated[int, Field(ge=0)]


class StreamParked(Event):
    """From commit `first` on a stream is set aside in a generation; `error` is what was raised."""

    generation: str
    log: str
    stream: str
    first: str
    error: str


class RetryOrdered(Event):
    """What waits of a parked stream is folded, in order, from now on."""

    generation: str
    log: str
    stream: str
    waiting: Count


class RetryEnded(Event):
    """`failed` is the position of the first commit that cannot be folded still; None: none is left
    and the stream flows again."""

    generation: str
    log: str
    stream: str
    applied: Count
    failed: str | None = None
    error: str | None = None


class CommitEvicted(Event):
    """A commit of a parked stream is never folded in this generation."""

    generation: str
    log: str
    stream: str
    position: str
    reason: Reason


class ProjectionRebuilt(Event):
    """Readers read this generation from now on; `previous` is kept for the way back."""

    generation: str
    previous: str | None = None


class ProjectionRolledBack(Event):
    """Readers read this earlier generation again."""

    generation: str
    previous: str


StreamEvent = StreamParked | RetryOrdered | RetryEnded | CommitEvicted
UpkeepEvent = StreamEvent | ProjectionRebuilt | ProjectionRolledBack


class Park(Command):
    generation: str
    log: str
    stream: str
    first: str
    error: str


class OrderRetry(Command):
    generation: str
    log: str
    stream: str
    waiting: Count


class EndRetry(Command):
    generation: str
    log: str
    stream: str
    applied: Count
    failed: str | None = None
    error: str | None = None


class Evict(Command):
    generation: str
    log: str
    stream: str
    position: str
    reason: Reason


class Rebuilt(Command):
    generation: str
    previous: str | None = None


class RollBack(Command):
    generation: str
    previous: str


StreamCommand = Park | OrderRetry | EndRetry | Evict
UpkeepCommand = StreamCommand | Rebuilt | RollBack


class Aside(State):
    """A stream that was parked from commit `first` on."""

    first: str
    retrying: bool = False
    evicted: tuple[str, ...] = ()


class Upkeep(State):
    """What was parked, by generation and stream, and which generation is read."""

    asides: dict[str, Aside] = Field(default_factory=dict)
    live: str | None = None


def decide(state: Upkeep, command: UpkeepCommand) -> list[UpkeepEvent]:
    match command:
        case Park():
            known = state.asides.get(_place(command))
            again = known is not None and known.first == command.first
            return [] if again else [StreamParked(**_said(command))]
        case OrderRetry():
            return [] if _parked(state, command).retrying else [RetryOrdered(**_said(command))]
        case EndRetry():
            return [RetryEnded(**_said(command))] if _parked(state, command).retrying else []
        case Evict(position=position):
            known = _parked(state, command)
            return [] if position in known.evicted else [CommitEvicted(**_said(command))]
        case Rebuilt(generation=generation):
            return [] if state.live == generation else [ProjectionRebuilt(**_said(command))]
        case RollBack(generation=generation):
            return [] if state.live == generation else [ProjectionRolledBack(**_said(command))]


def _parked(state: Upkeep, command: OrderRetry | EndRetry | Evict) -> Aside:
    known = state.asides.get(_place(command))
    if known is None:
        raise Refused("not-parked", "This stream is not parked.")
    return known


def evolve(state: Upkeep, event: UpkeepEvent) -> Upkeep:
    match event:
        case StreamParked(first=first):
            return _with(state, event, Aside(first=first))
        case RetryOrdered():
            return _with(state, event, _known(state, event, retrying=True))
        case RetryEnded():
            return _with(state, event, _known(state, event, retrying=False))
        case CommitEvicted(position=position):
            evicted = (*_known(state, event).evicted, position)
            return _with(state, event, _known(state, event, evicted=evicted))
        case ProjectionRebuilt(generation=generation) | ProjectionRolledBack(generation=generation):
            return state.model_copy(update={"live": generation})


def _with(state: Upkeep, event: StreamEvent, aside: Aside) -> Upkeep:
    return state.model_copy(update={"asides": {**state.asides, _place(event): aside}})


def _known(state: Upkeep, event: StreamEvent, **more: Any) -> Aside:
    known = state.asides.get(_place(event)) or Aside(first="")
    return known.model_copy(update=more)


def _place(one: StreamEvent | StreamCommand) -> str:
    return f"{one.generation}|{one.log}|{one.stream}"


def _said(command: UpkeepCommand) -> dict[str, Any]:
    return command.model_dump(exclude={"stamp"})


def stream_of(projection: str) -> str:
    return f"{CATEGORY}/{projection}"


upkeep = Decider[Upkeep, UpkeepCommand, UpkeepEvent](
    category=CATEGORY,
    decide=decide,
    evolve=evolve,
    initial=Upkeep(),
    subject=lambda _state, _command: None,
)
