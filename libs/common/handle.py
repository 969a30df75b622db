"""Command -> decide -> append. A yes may rest on the cache, a no is confirmed.

Heads and states are cached, so the happy path reads nothing and the unique indexes judge. Before
anything is refused, silenced or called a wrong version, the command is looked up (found: its first
answer again) and the stream is read again.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from hashlib import sha256
from typing import Any, Generic, NamedTuple, cast
from uuid import UUID

import orjson

from libs.common.append import Appender, not_before, same_request
from libs.common.commit import Commit, Draft, encode_event, once
from libs.common.errors import (
    Conflict,
    Forgotten,
    KeyReused,
    Refused,
    StoreAway,
    WrongVersion,
)
from libs.common.messages import Dep, Position, Stamp
from libs.common.sealing import Keyring
from libs.common.shapes import C, Decider, E, S
from libs.common.telemetry import current, span
from libs.common.words import asked

TRIES_MAX = 3
"""Times a command is decided anew because its stream moved under it."""
KEY_TRIES_MAX = 3
STATES_MAX = 20_000


@dataclass(frozen=True)
class Ask(Generic[C]):
    """One command on its way. `path` = method and full path, None from policies and clocks (whose
    request is never compared); `expected` = the version the caller named in If-Match; `new` = the
    stream is thought to be empty, so that it need not be read first (the index judges)."""

    stream: str
    command: C
    id: UUID
    path: str | None = None
    expected: int | None = None
    cause: Dep | None = None
    deps: tuple[Dep, ...] = ()
    correlation: UUID | None = None
    result: dict[str, Any] | None = None
    trace: str | None = None
    new: bool = False


class Answer(NamedTuple):
    """`version` and `position` are the stream's after the command; silence has nothing new."""

    position: Position | None
    version: int
    result: dict[str, Any] | None
    replayed: bool = False
    silent: bool = False


@dataclass(eq=False)
class Known(Generic[S]):
    """What a stream has led to. `at` is its last commit's; `position` None when it is empty. The
    state is folded when it is first asked for: of most streams that one import makes, never."""

    folded: Callable[[], S]
    version: int
    at: datetime | None
    position: Position | None

    @once
    def state(self) -> S:
        return self.folded()


@dataclass(eq=False, slots=True)
class _Turns:
    """The commands of one stream take turns."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    length: int = 0


class Decided(NamedTuple):
    """`sealed` is the command as it was decided; `trace` is what the commit belongs to: the
    deciding, when it is recorded."""

    events: Sequence[Any]
    sealed: Any
    subject: str | None
    trace: str | None = None


NOTHING = Decided((), None, None)


@dataclass(eq=False)
class Handler(Generic[S, C, E]):
    """Asks one decider; any number of callers at once, one at a time for each stream."""

    decider: Decider[S, C, E]
    appender: Appender
    keyring: Keyring
    shared: bool = False
    """Other processes write to the same streams, so what is cached here may be old."""
    _known: "OrderedDict[str, Known[S]]" = field(default_factory=OrderedDict)
    _turns: dict[str, _Turns] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._empty = Known(lambda: self.decider.initial, 0, None, None)
        self._prefix = f"{self.decider.category}/"
        self.appender.heard.append(self._hear)

    async def __call__(self, ask: Ask[C]) -> Answer:
        """Raises Refused, Conflict, WrongVersion (the caller's own If-Match), KeyReused, TooLarge,
        Busy or StoreAway. When the caller goes away its command may still be stored, or not."""
        turns = self._turns.get(ask.stream)
        if turns is None:
            turns = self._turns[ask.stream] = _Turns()
        turns.length += 1
        try:
            async with turns.lock:
                return await self._answer(ask)
        finally:
            turns.length -= 1
            if turns.length == 0:
                del self._turns[ask.stream]

    async def known(self, stream: str) -> Known[S]:
        """The stream's state as this process knows it; read from the log when it is not cached."""
        found = self._known.get(stream)
        return found if found is not None else await self._read(stream)

    async def newest(self, stream: str) -> Known[S]:
        """As the log has it at this moment, whichever process wrote it: for what is shown, or kept
        from somebody, without asking the rules."""
        if not self.shared:
            return await self.known(stream)
        return await self._read(stream, self._known.get(stream))

    async def _answer(self, ask: Ask[C]) -> Answer:
        moves = 0
        while True:
            known = await (self.known(ask.stream) if moves else self._first_known(ask))
            refusal: Refused | WrongVersion | None = None
            decided = NOTHING
            try:
                decided = await self._decide(ask, known)
                if ask.expected is not None and ask.expected != known.version:
                    refusal = WrongVersion()
            except Refused as refused:
                refusal = refused
            if refusal is None and decided.events:
                try:
                    return await self._append(ask, known, decided)
                except WrongVersion:
                    self._known.pop(ask.stream, None)
                moves += 1
                if moves > TRIES_MAX:
                    raise Conflict()
                continue
            prior = await self._prior(ask, known)
            if prior is not None:
                return prior
            newest = await self._read(ask.stream, known)
            if newest.version != known.version:
                continue
            if refusal is not None:
                raise refusal
            return Answer(known.position, known.version, ask.result, silent=True)

    async def _decide(self, ask: Ask[C], known: Known[S]) -> Decided:
        """Seals, then decides; again when another process made the student's key first."""
        at = not_before(self.appender.clock.now(), known.at, ask.cause, ask.deps)
        command = ask.command.stamped(Stamp(at, ask.command.stamp.actor))
        subject = self.decider.subject(known.state, command)
        for _ in range(KEY_TRIES_MAX):
            sealed, offers = await self._sealed(command, subject)
            with span("decide", ask.trace, log=self.appender.log):
                events, trace = self.decider.decide(known.state, sealed), current()
            if not events or not offers or await self._durable(offers):
                return Decided(events, sealed, subject, trace)
        raise StoreAway("the student's keys do not settle")

    async def _sealed(self, command: C, subject: str | None) -> tuple[C, Any]:
        if subject is None:
            return command, {}
        try:
            return await self.keyring.sealed(command, subject)
        except Forgotten:
            raise Refused("erased", "The record was erased.") from None

    async def _durable(self, offers: Any) -> bool:
        try:
            return await self.keyring.ensure(offers)
        except Forgotten:
            raise Refused("erased", "The record was erased.") from None

    async def _append(self, ask: Ask[C], known: Known[S], decided: Decided) -> Answer:
        draft = drafted(ask, known.version, decided)
        try:
            commit, replayed = await self.appender.append(draft)
        except StoreAway:
            self._known.pop(ask.stream, None)  # it may be stored, and nobody would be told of it
            raise
        if replayed:
            return _first_answer(commit)
        return Answer(commit.position, commit.last, ask.result)

    def _hear(self, commits: Sequence[Commit]) -> None:
        """What was stored is known from then on, also when its caller has gone away: nobody may be
        shown what it took back."""
        for commit in commits:
            known = self._known.get(commit.stream)
            if known is None:
                if commit.first > 1 or not commit.stream.startswith(self._prefix):
                    continue
                known = self._empty
            if commit.first == known.version + 1 and commit.whole:
                self._keep(commit.stream, self._after(known, commit))
            elif commit.last > known.version:
                self._known.pop(commit.stream, None)

    async def _prior(self, ask: Ask[C], known: Known[S]) -> Answer | None:
        """The first answer of a command that was stored already; its own twin may not be at
        majority yet, so what is seen locally is confirmed before it is told."""
        store = self.appender.store
        if not await store.by_commands([ask.id], local=True):
            return None
        prior = (await store.by_commands([ask.id])).get(ask.id)
        if prior is None:
            raise StoreAway("a stored command has not reached the majority")
        if ask.path is not None:
            command = ask.command
            subject = self.decider.subject(known.state, command)
            try:
                sealed, _ = await self._sealed(command, subject)
            except Refused:  # erased since: what was asked can no longer be compared
                return _first_answer(prior)
            if not same_request(prior, request_hash(ask.path, sealed)):
                raise KeyReused()
        return _first_answer(prior)

    async def _first_known(self, ask: Ask[C]) -> Known[S]:
        if ask.new and ask.stream not in self._known:
            return self._empty
        return await self.known(ask.stream)

    async def _read(self, stream: str, known: Known[S] | None = None) -> Known[S]:
        """Reads on from what is known; a type that this build does not know is not passed over."""
        found = known or self._empty
        async for commit in self.appender.store.stream(stream, after=found.version):
            if not commit.whole:
                raise StoreAway("the stream holds events of a newer release")
            found = self._after(found, commit)
        self._keep(stream, found)
        return found

    def _after(self, known: Known[S], commit: Commit) -> Known[S]:
        fold = partial(self.decider.fold, cast("list[E]", commit.told), known.state)
        return Known(fold, commit.last, commit.at, commit.position)

    def _keep(self, stream: str, known: Known[S]) -> None:
        newer = self._known.get(stream)
        if newer is not None and newer.version > known.version:
            return  # a commit was stored while the stream was read
        self._known[stream] = known
        self._known.move_to_end(stream)
        if len(self._known) > STATES_MAX:
            self._known.popitem(last=False)


def drafted(ask: Ask[Any], version: int, decided: Decided) -> Draft:
    """What is to be appended to a stream of this version."""
    events = decided.events
    return Draft(
        stream=ask.stream,
        expected=version,
        events=tuple(map(encode_event, events)),
        types=tuple([event.type for event in events]),
        command=ask.id,
        correlation=ask.correlation or ask.id,
        actor=ask.command.stamp.actor,
        subjects=(decided.subject,) if decided.subject else (),
        request=request_hash(ask.path, decided.sealed),
        result=ask.result,
        cause=ask.cause,
        deps=ask.deps,
        trace=decided.trace,
        told=tuple(events),
    )


def request_hash(path: str | None, sealed: Any) -> str | None:
    """What the caller sent: route, path, sealed body. Stamp, facts and deps differ on a retry."""
    if path is None:
        return None
    words = orjson.dumps([path, type(sealed).__name__, orjson.Fragment(asked(sealed))])
    return f"sha256:{sha256(words).hexdigest()}"


def _first_answer(prior: Commit) -> Answer:
    return Answer(prior.position, prior.last, prior.content.get("result"), replayed=True)
