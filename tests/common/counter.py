"""The beads' shop counter: the tiny domain behind a real edge, with a real handler on SQLite."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any
from uuid import uuid4

import httpx2
from pydantic import Field

from libs.common.adapters import open_documents, open_keys, open_store
from libs.common.append import Appender
from libs.common.clock import SystemClock
from libs.common.consume import Standing
from libs.common.errors import Missing
from libs.common.handle import Answer, Ask, Handler
from libs.common.messages import Command, Message, Record, Role, View
from libs.common.ports import Clock
from libs.common.sealing import Keyring, Refs
from libs.common.views import Views
from libs.common.web.answering import Patience
from libs.common.web.application import Application, Door, application, check_routes, mount
from libs.common.web.auth import Tokens
from libs.common.web.http import Asked, Order, Question, Replied, Routes, Upload, Versioned
from libs.common.web.issuer import Issuer, issuer_app
from tests.common.beads import Add, BeadStrung, String, string, tallies

HOST = "http://127.0.0.1:8000"
ISSUER = f"{HOST}/issuer"
UPLOAD_BYTES_MAX = 2_000_000


@dataclass
class Doors:
    handle: Callable[[Ask[Any]], Awaitable[Answer]]
    clock: Clock
    keyring: Keyring
    refs: Refs
    views: Views
    handler: Handler[String, Add, Any]
    standing: Standing = field(default_factory=lambda: Standing("tallies", ("beads",)))
    uploads: list[bytes] = field(default_factory=list)


class Size(StrEnum):
    SMALL = "small"
    LARGE = "large"


class Start(Command):
    """Makes a new string with its first bead."""

    colour: Annotated[str, Field(min_length=1, max_length=20)]
    count: Annotated[int, Field(ge=1, le=100)] = 1
    shiny: bool = False
    size: Size | None = None


class Colours(View):
    string: str
    colours: tuple[str, ...]
    note: Record[str | None] = None


class Page(Message):
    limit: Annotated[int, Field(ge=1, le=50)] = 10
    shiny: bool | None = None
    size: frozenset[Size] = frozenset()


class Search(Message):
    colour: str


class Found(View):
    limit: int
    shiny: bool | None
    size: tuple[Size, ...]
    sub: str


class Taken(View):
    import_: str
    size: int
    dry: bool


class Dry(Message):
    dry_run: bool = False


routes = Routes[Doors]("beads")
MAKERS = {Role.TEACHER, Role.GUARDIAN}


@routes.command("POST", "/v1/strings", Start, roles=MAKERS, status=201)
async def start(asked: Asked[Start], _: Doors) -> Order:
    """Starts a string.

    The second line of a docstring is for the description.
    """
    ref = asked.ref("str_")
    add = Add(colour=asked.body.colour, student=f"stu_{ref}")
    return Order(f"string/{ref}", add, result={"string": ref})


@routes.command("POST", "/v1/strings/{string}/beads", Add, roles=MAKERS)
async def add(asked: Asked[Add], _: Doors) -> Order:
    return Order(f"string/{asked.path['string']}", asked.body)


@routes.query("GET", "/v1/strings/{string}", Colours, roles=MAKERS, opens=True)
async def show(question: Question[Any], doors: Doors) -> Versioned:
    name = question.path["string"]
    known = await doors.handler.known(f"string/{name}")
    if known.version == 0:
        raise Missing()
    note: Any = None
    async for commit in doors.handler.appender.store.stream(f"string/{name}"):
        strung = [e.event for e in commit.recorded if isinstance(e.event, BeadStrung)]
        note = next((event.note for event in strung if event.note), note)
    colours = Colours(string=name, colours=known.state.colours, note=note)
    return Versioned(colours, known.version)


@routes.query("POST", "/v1/strings/search", Found, roles=MAKERS, body=Search)
async def search(question: Question[Search], _: Doors) -> Found:
    return Found(limit=0, shiny=None, size=(), sub=question.params.colour)


@routes.query(
    "GET",
    "/v1/beads",
    Found,
    roles=MAKERS,
    params=Page,
    reads=(lambda doors: doors.standing,),
)
async def beads(question: Question[Page], _: Doors) -> Found:
    page = question.params
    size = tuple(sorted(page.size))
    return Found(limit=page.limit, shiny=page.shiny, size=size, sub=question.actor.sub)


@routes.query("POST", "/v1/beads", Found, roles=MAKERS, body=Search)
async def search_beads(question: Question[Search], doors: Doors) -> Found:
    return await search(question, doors)


@routes.query("GET", "/v1/tallies", Found, roles=MAKERS, reads=(tallies,))
async def tally(question: Question[Any], _: Doors) -> Found:
    return Found(limit=0, shiny=None, size=(), sub=question.actor.sub)


@routes.query("GET", "/v1/broken", Found, roles={Role.TEACHER})
async def broken(_: Question[Any], __: Doors) -> Found:
    raise RuntimeError("the secret is Hanna")


@routes.raw(
    "POST",
    "/v1/uploads",
    Taken,
    content_type="application/zip",
    limit=UPLOAD_BYTES_MAX,
    roles={Role.REGISTRAR},
    statuses=(202,),
    params=Dry,
)
async def upload(up: Upload[Dry], doors: Doors) -> Replied:
    doors.uploads.append(up.body)
    taken = Taken(import_=up.ref("imp_"), size=len(up.body), dry=up.params.dry_run)
    return Replied(202, taken, f"/v1/uploads/{taken.import_}")


@dataclass
class Counter:
    """What a test holds: the application, a client of it, and what stands behind it."""

    app: Application
    client: httpx2.AsyncClient
    issuer: Issuer
    doors: Doors
    reasons: list[str]
    patience: Patience

    def token(self, sub: str = "mum", role: str = "guardian", org: str = "district") -> str:
        return f"Bearer {self.issuer.token(sub, role, org)}"

    async def send(
        self, method: str, path: str, body: Any = None, key: str | None = None, **headers: str
    ) -> httpx2.Response:
        """Underscores in header names stand for dashes; a command gets a key of its own."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        given = {"Authorization": self.token(), **given}
        if key != "":
            given["Idempotency-Key"] = key or str(uuid4())
        sent = {"content": body} if isinstance(body, bytes) else {"json": body}
        sent = {} if body is None else sent
        reply = await self.client.request(method, path, headers=given, **sent)
        self._is_documented(method, path, reply.status_code)
        return reply

    def _is_documented(self, method: str, path: str, status: int) -> None:
        """Whatever a test provokes, the OpenAPI document has said that it may happen."""
        for route in self.app.router.routes:
            if not isinstance(route, Door) or route.promise.method != method:
                continue
            if route.path_regex.match(path.partition("?")[0]):
                said = self.app.openapi()["paths"][route.path][method.lower()]["responses"]
                assert str(status) in said, f"{method} {route.path} never said {status}"
                return


@asynccontextmanager
async def open_counter(folder: Path, clock: Clock | None = None) -> AsyncIterator[Counter]:
    url = f"sqlite:///{folder}"
    issuer = Issuer(ISSUER)
    reasons: list[str] = []
    async with (
        open_store(url, "beads") as store,
        open_keys(url) as keys,
        open_documents(url, "beads") as documents,
    ):
        ring = Keyring(keys, b"k" * 64)
        clock = clock or SystemClock()
        handler = Handler(string, Appender(store, "beads", clock), ring)
        refs = await ring.refs()
        doors = Doors(handler, clock, ring, refs, Views(documents), handler)
        app = application("beads", lambda: reasons)
        provider = httpx2.ASGITransport(issuer_app(issuer), client=("127.0.0.1", 1))

        async def fetch(address: str) -> Any:
            async with httpx2.AsyncClient(transport=provider) as client:
                return (await client.get(address.replace("/issuer", ""))).json()

        patience = Patience()
        mount(app, routes, doors, Tokens(ISSUER, refs, fetch), patience)
        check_routes(app)
        transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
        async with httpx2.AsyncClient(transport=transport, base_url=HOST) as client:
            yield Counter(app, client, issuer, doors, reasons, patience)
