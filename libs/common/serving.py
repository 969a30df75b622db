"""From settings to a serving process: doors opened, routes mounted, loops kept, then all closed.

A service's `main.py` says what it is in one `Main`; a process serves one of them, or all of them.
"""

import asyncio
import os
import sys
from collections import ChainMap
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from fastapi import FastAPI

from libs.common import meters, telemetry
from libs.common.adapters import open_bus, open_documents, open_keys, open_store
from libs.common.clock import SteppedClock, clock_of
from libs.common.directory import Directory
from libs.common.errors import Unavailable
from libs.common.operators.console import Operation, Operator
from libs.common.operators.operate import OPERATIONS, operate
from libs.common.ports import SHARDS, Clock
from libs.common.react import Handle
from libs.common.sealing import Keyring, read_kek
from libs.common.service import API, PARTS, Loop, Rooms, Running
from libs.common.settings import BadSetting, Settings
from libs.common.tasks import LEAVE_SECONDS, Leaving, Loops, reached, run, running, serve
from libs.common.watching import Watching
from libs.common.web.answering import Patience
from libs.common.web.application import application, check_routes, mount
from libs.common.web.auth import Tokens
from libs.common.web.http import Routes
from libs.common.web.issuer import Issuer, issuer_app, read_key
from libs.common.web.stepping import CLOCK_PATH, CaughtUp, drive

ISSUER_PATH = "/issuer"
ISSUER_KEY = "issuer.json"


@dataclass(frozen=True)
class Main:
    """What a service's `main.py` says: its rooms, its routes and their doors, and the loops that
    only it has. `before` stands before every command that its policies ask; `operations`: what an
    operator may ask of it alone."""

    rooms: Callable[[Directory], Rooms]
    routes: Routes[Any]
    doors: Callable[[Running, Directory], Any]
    loops: Callable[[Any], Mapping[str, Loop]] = lambda _: {}
    before: Callable[[Running, Handle], Handle] = lambda _, handle: handle
    operations: Mapping[str, Operation] = field(default_factory=dict)


def read_directory(path: Path) -> Directory:
    return Directory.model_validate_json(path.read_bytes())


@asynccontextmanager
async def opened(
    settings: Settings, rooms: Sequence[Rooms], clock: Clock, parts: Collection[str] = PARTS
) -> AsyncIterator[list[Running]]:
    """The services of this process, doors open; what was asked is answered before they close."""
    prefix = settings.prefix
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        keys = await enter(open_keys(settings.keys_url, prefix))
        stores = {
            one.name: await enter(open_store(settings.store_url, one.name, prefix=prefix))
            for one in rooms
        }
        bus = await enter(open_bus(settings.bus_url, stores, prefix))
        keyring = Keyring(keys, read_kek(settings.kek_file))  # what one forgets, all forget at once
        found = []
        for one in rooms:
            documents = await enter(open_documents(settings.views_url, one.name, prefix))
            running = Running(
                one, stores[one.name], bus, documents, keyring, await keyring.refs(), clock,
                frozenset(parts), relayed=settings.relayed,
            )  # fmt: skip
            stack.push_async_callback(running.close)
            found.append(running)
        yield found


async def serve_all(
    settings: Settings, mains: Sequence[Main], parts: Collection[str] = PARTS
) -> None:
    """Serves until it is told to stop. Raises Died when a loop had died, Unavailable when the store
    did not answer from the start."""
    telemetry.start(settings.service, settings.otlp_url)
    meters.start(settings.service, settings.otlp_metrics_url)
    try:
        await _serve_all(settings, mains, parts)
    finally:
        meters.stop()
        telemetry.stop()


async def _serve_all(settings: Settings, mains: Sequence[Main], parts: Collection[str]) -> None:
    directory = read_directory(settings.directory_file)
    clock = clock_of(settings)
    async with AsyncExitStack() as stack:
        rooms = [main.rooms(directory) for main in mains]
        enter = stack.enter_async_context
        services = await reached(lambda: enter(opened(settings, rooms, clock, parts)))
        await reached(lambda: not_before(clock, services))
        state: list[Loops] = []
        patience = Patience(settings.reached_seconds)
        leaving = Leaving(LEAVE_SECONDS if _has_twins(settings, parts) else 0.0)
        ready = partial(_not_ready, state, services, leaving)
        app = application(settings.service, ready)
        watching = Watching(services, lambda: state[0] if state else None, ready)
        loops: dict[str, Loop] = {"watching": watching.run} if settings.otlp_metrics_url else {}
        for main, service in zip(mains, services, strict=True):
            service.before = partial(main.before, service)
            loops |= await reached(service.loops)
            if API in parts:
                doors = main.doors(service, directory)
                who = Tokens(settings.oidc_issuer, service.refs)
                mount(app, main.routes, doors, who, patience)
                loops |= main.loops(doors)
        known = _development(settings, app, clock, services)
        check_routes(app, known)
        state.append(await enter(running(loops)))
        await serve(app, settings.host, settings.port, leaving)


def _development(
    settings: Settings, app: FastAPI, clock: Clock, services: Sequence[Running]
) -> list[str]:
    """The issuer and the clock's driver, where they are allowed; the paths they answer."""
    known = []
    if settings.allow_dev_issuer and urlsplit(settings.oidc_issuer).path == ISSUER_PATH:
        issuer = Issuer(settings.oidc_issuer, read_key(settings.data_dir / ISSUER_KEY))
        app.mount(ISSUER_PATH, issuer_app(issuer))
        known.append(ISSUER_PATH)
    if isinstance(clock, SteppedClock):

        def moved() -> None:
            for service in services:
                service.timers.wake.set()

        async def report() -> CaughtUp:
            return merged([await service.status() for service in services])

        drive(app, clock, report, moved)
        known.append(CLOCK_PATH)
    return known


def _has_twins(settings: Settings, parts: Collection[str]) -> bool:
    """Whether callers may go to another process; an embedded log is served by one alone."""
    return API in parts and settings.relayed


def _not_ready(state: Sequence[Loops], services: Sequence[Running], leaving: Leaving) -> list[str]:
    if not state:
        return ["starting"]
    if leaving.begun:
        return ["stopping"]
    return state[0].ready() + [reason for service in services for reason in service.not_ready()]


def merged(statuses: Sequence[CaughtUp]) -> CaughtUp:
    """The status of a process that holds several services: what is furthest behind counts."""
    sweeps = [status.swept for status in statuses if status.sweeps]
    return CaughtUp(
        sweeps=bool(sweeps),
        swept=None if None in sweeps else min((at for at in sweeps if at), default=None),
        due=min((status.due for status in statuses if status.due), default=None),
        waiting=sum(status.waiting for status in statuses),
        heads=dict(ChainMap(*(dict(status.heads) for status in statuses))),
        cursors=dict(ChainMap(*(dict(status.cursors) for status in statuses))),
        logs=dict(ChainMap(*(dict(status.logs) for status in statuses))),
    )


async def not_before(clock: Clock, services: Sequence[Running]) -> None:
    """A stepped clock goes on where the logs end."""
    if not isinstance(clock, SteppedClock):
        return
    ends = await asyncio.gather(
        *(service.store.head(shard) for service in services for shard in range(SHARDS))
    )
    latest: datetime = max((end.at for end in ends if end is not None), default=clock.at)
    if latest > clock.at:
        clock.at = latest.replace(microsecond=0)


def embedded(settings: Settings) -> Settings:
    """Where the demo left the clock, a shifted clock goes on."""
    offset = settings.data_dir / "clock-offset"
    if settings.clock == "shifted" and not settings.clock_offset and offset.exists():
        seconds = timedelta(seconds=int(offset.read_text()))
        return replace(settings, clock_offset=seconds)
    return settings


def start(
    name: str,
    mains: Sequence[Main],
    parts: Sequence[str],
    defaults: Mapping[str, str] | None = None,
) -> None:
    """The process's main: an operation that is asked for by its word, or serving. Ends with a
    sentence when it was asked for nonsense."""
    operations = {**OPERATIONS, **ChainMap(*(dict(main.operations) for main in mains))}
    word = parts[0] if parts and parts[0] in operations else None
    try:
        if word is None and (unknown := set(parts) - set(PARTS)):
            known = ", ".join((*PARTS, *operations))
            raise BadSetting("arguments", f"{', '.join(sorted(unknown))}: not {known}")
        settings = embedded(Settings.of(name, defaults=defaults))
    except BadSetting as bad:
        sys.exit(str(bad))
    telemetry.quiet_libraries()
    if word is not None:
        directory = read_directory(settings.directory_file)
        rooms = [main.rooms(directory) for main in mains]
        operator = Operator(settings, rooms, parts[1:])
        sys.exit(asyncio.run(operate(word, operator, operations)))
    try:
        run(serve_all(settings, mains, parts or PARTS))
    except Unavailable as away:
        sys.exit(str(away))
    # Everything is closed. Taking millions of objects apart one by one would take seconds.
    sys.stderr.flush()
    os._exit(0)
