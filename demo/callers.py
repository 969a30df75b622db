"""Sends requests as the people of the district: one token each, the same key on every retry."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from demo.asks import Who
from libs.common.web.client import Client, NoReply, Reply

TOKEN_SECONDS = 3_600
TRIES_MAX = 20
RETRY_SECONDS = 0.2
RETRY_SECONDS_MAX = 2.0
AGAIN = (429, 503)


class Gone(Exception):
    """A service stopped answering."""


@dataclass(frozen=True)
class Place:
    """Where a service answers: a client for each of its processes, which take turns, and what its
    paths begin with."""

    clients: Sequence[Client]
    prefix: str = ""
    _turns: Iterator[int] = field(default_factory=count)

    async def request(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> Reply:
        client = self.clients[next(self._turns) % len(self.clients)]
        return await client.request(method, f"{self.prefix}{path}", body, headers)


@dataclass(eq=False)
class Callers:
    """`places` by service name."""

    places: Mapping[str, Place]
    issuer: Place
    _tokens: dict[Who, asyncio.Future[str]] = field(default_factory=dict)

    async def ask(
        self,
        who: Who,
        service: str,
        method: str,
        path: str,
        body: Any = None,
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Busy, behind or lost: asked again with the same key. Raises Gone."""
        sent = {"Authorization": f"Bearer {await self._token(who)}", **(headers or {})}
        if key is not None:
            sent["Idempotency-Key"] = key
        for _ in range(TRIES_MAX):
            try:
                reply = await self.places[service].request(method, path, body, sent)
            except (NoReply, OSError):
                await asyncio.sleep(RETRY_SECONDS)
                continue
            if reply.status not in AGAIN:
                return reply
            wanted = float(reply.headers.get("retry-after", RETRY_SECONDS))
            await asyncio.sleep(min(wanted, RETRY_SECONDS_MAX))
        raise Gone(f"{service} does not answer {method}")

    async def _token(self, who: Who) -> str:
        if who not in self._tokens:
            self._tokens[who] = asyncio.ensure_future(self._issued(who))
        return await self._tokens[who]

    async def _issued(self, who: Who) -> str:
        asked = {
            "sub": who.sub,
            "role": who.role.value,
            "org": who.org,
            "seconds": TOKEN_SECONDS,
        }
        reply = await self.issuer.request("POST", "/token", asked)
        if reply.status != 200:
            raise Gone(f"the issuer answers {reply.status}")
        return str(reply.body["access_token"])
