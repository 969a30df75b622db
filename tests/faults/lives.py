"""Logs of many streams, cheaply: a few random lives under the real rules, told of many children.

The deciders live some lives (`tests.test_laws`); each is told again under other references, in
turns, so that the streams of a log run beside each other as they do in a district.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import NamedTuple
from uuid import UUID

from libs.common.append import WAITING_MAX, Appender
from libs.common.commit import Draft, encode_event
from libs.common.messages import Actor
from libs.common.ports import EventStore
from tests.laws import CONSENT, REFERRALS, Law
from tests.test_laws import START, walk

TURN = timedelta(hours=7)
LAWS = {"consent": ("student/{student}", CONSENT), "referrals": ("referral/{referral}", REFERRALS)}


class Told(NamedTuple):
    """What one command led to; `events` are encoded."""

    actor: Actor
    types: tuple[str, ...]
    events: tuple[bytes, ...]


@dataclass(eq=False)
class Turns:
    """A clock that goes on by turns."""

    at: datetime = START

    def now(self) -> datetime:
        return self.at


def lives(law: Law, chance: Random, count: int) -> list[list[Told]]:
    return [
        [
            Told(
                step.command.stamp.actor,
                tuple(event.type for event in step.events),
                tuple(encode_event(event) for event in step.events),
            )
            for step in walk(law, Random(chance.random()))
            if step.events
        ]
        for _ in range(count)
    ]


async def write(stores: Mapping[str, EventStore], seed: int, streams: int, count: int) -> int:
    """`streams` streams in each log, made of `count` lives; how many commits there are."""
    chance, clock, written = Random(seed), Turns(), 0
    appenders = {name: Appender(store, name, clock) for name, store in stores.items()}
    drafts = {name: list(_drafts(name, chance, streams, count)) for name in stores}
    for turn in range(max(len(one) for many in drafts.values() for one in many)):
        clock.at += TURN
        for name, many in drafts.items():
            waiting = [one[turn] for one in many if turn < len(one)]
            for start in range(0, len(waiting), WAITING_MAX):
                some = waiting[start : start + WAITING_MAX]
                await asyncio.gather(*map(appenders[name].append, some))
            written += len(waiting)
    for appender in appenders.values():
        await appender.close()
    return written


def _drafts(log: str, chance: Random, streams: int, count: int) -> Iterator[list[Draft]]:
    pattern, law = LAWS[log]
    for number, life in enumerate(lives(law, chance, count) * (streams // count)):
        refs = {"student": f"stu_{number}x", "referral": f"ref_{number}x"}
        yield list(_told_again(life, pattern.format(**refs), refs, chance))


def _told_again(
    life: Sequence[Told], stream: str, refs: Mapping[str, str], chance: Random
) -> Iterator[Draft]:
    version = 0
    for told in life:
        events = tuple(_renamed(event, refs) for event in told.events)
        command = UUID(int=chance.getrandbits(128))
        yield Draft(
            stream, version, events, told.types, command, command, told.actor, (refs["student"],)
        )
        version += len(events)


def _renamed(event: bytes, refs: Mapping[str, str]) -> bytes:
    number = refs["student"][4:]
    for old, new in (("stu_1", refs["student"]), ("ref_1", refs["referral"])):
        event = event.replace(old.encode(), new.encode())
    return event.replace(b"need_1", f"need_{number}".encode())
