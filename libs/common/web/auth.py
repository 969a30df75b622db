"""Who asks: a bearer token of the district's identity provider becomes an Actor, or nothing.

The only thing a service knows about identity is the issuer's address. Expiry is judged by the real
clock, whatever clock the service runs on.
"""

import asyncio
import re
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, NamedTuple

import httpx2
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, GuestProtocol, RSAKey

from libs.common.errors import Unauthorized, Unavailable
from libs.common.messages import Actor, Role
from libs.common.sealing import Refs

AUDIENCE = "alliance"
ALGORITHMS = ("ES256", "RS256")
TOKEN_CHARS_MAX = 8_000
TOKENS_MAX = 20_000
"""Verified tokens remembered until they expire."""
SUBJECT_CHARS_MAX = 256
LEEWAY_SECONDS = 30
"""For `nbf` and `iat` of a provider whose clock is ahead; an expired token is expired."""
KEYS_SECONDS = 600.0
"""The provider's keys are asked for again after this long, so that a withdrawn key dies."""
REFRESH_SECONDS_MIN = 5.0
"""An unknown key id makes us ask at once, but never more often than this."""
FETCH_SECONDS_MAX = 5.0
KEYS_MAX = 64

ORGANISATION = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")

Key = ECKey | RSAKey
Fetch = Callable[[str], Awaitable[Any]]


class _Verified(NamedTuple):
    actor: Actor
    until: float


class _UnknownKey(Exception):
    """No key of this id is known; the provider may have a new one."""


async def fetch(address: str) -> Any:
    """The JSON at this address. Raises Unavailable."""
    try:
        async with httpx2.AsyncClient(timeout=FETCH_SECONDS_MAX, trust_env=False) as client:
            reply = await client.get(address)
            reply.raise_for_status()
            return reply.json()
    except (httpx2.HTTPError, httpx2.InvalidURL, ValueError):
        raise Unavailable("the identity provider does not answer") from None


@dataclass(eq=False)
class Tokens:
    """Verifies bearer tokens against the issuer's published keys."""

    issuer: str
    refs: Refs
    fetch: Fetch = fetch
    now: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic
    _verified: "OrderedDict[bytes, _Verified]" = field(default_factory=OrderedDict)
    _keys: dict[str, Key] = field(default_factory=dict)
    _fetched: float | None = None
    _tried: float | None = None
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def actor(self, authorization: str) -> Actor:
        """`authorization` is the header's value. Raises Unauthorized, or Unavailable when no key
        is known yet and the provider is away."""
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token or len(token) > TOKEN_CHARS_MAX:
            raise Unauthorized()
        digest = sha256(token.encode()).digest()
        known = self._verified.get(digest)
        if known is not None:
            if known.until > self.now():
                return known.actor
            del self._verified[digest]
        if self._is_stale():
            await self._refresh()
        try:
            claims = self._claims(token)
        except _UnknownKey:
            await self._refresh()
            try:
                claims = self._claims(token)
            except _UnknownKey:
                raise Unauthorized() from None
        actor = self._actor(claims)
        self._verified[digest] = _Verified(actor, float(claims["exp"]))
        if len(self._verified) > TOKENS_MAX:
            self._verified.popitem(last=False)
        return actor

    def _claims(self, token: str) -> Mapping[str, Any]:
        """Signature, issuer, audience and times are right, or Unauthorized."""

        def find(guest: GuestProtocol) -> Key:
            key = self._keys.get(str(guest.headers().get("kid")))
            if key is None:
                raise _UnknownKey()
            return key

        registry = jwt.JWTClaimsRegistry(
            now=lambda: int(self.now()),
            leeway=LEEWAY_SECONDS,
            iss={"essential": True, "value": self.issuer},
            aud={"essential": True, "value": AUDIENCE},
            exp={"essential": True},
            sub={"essential": True},
        )
        try:
            claims = jwt.decode(token, find, algorithms=ALGORITHMS).claims
            registry.validate(claims)
        except (JoseError, ValueError, TypeError):
            raise Unauthorized() from None
        if claims["exp"] <= self.now():  # no leeway here
            raise Unauthorized()
        return claims

    def _actor(self, claims: Mapping[str, Any]) -> Actor:
        """`system` is what policies and clocks are; nobody may sign in as it."""
        subject, role, org = claims["sub"], claims.get("role"), claims.get("org")
        if not isinstance(role, str) or role not in set(Role) - {Role.SYSTEM}:
            raise Unauthorized()
        if not isinstance(org, str) or not ORGANISATION.fullmatch(org):
            raise Unauthorized()
        if not 0 < len(subject) <= SUBJECT_CHARS_MAX:
            raise Unauthorized()
        return Actor(self.refs.of("usr_", subject), role, org)

    def _is_stale(self) -> bool:
        return self._fetched is None or self.monotonic() - self._fetched > KEYS_SECONDS

    async def _refresh(self) -> None:
        """Fetches the keys, at most once in a while; with keys in hand, a provider that is away
        does not matter."""
        asked = self.monotonic()
        async with self._lock:
            if self._tried is not None and asked - self._tried < REFRESH_SECONDS_MIN:
                if self._fetched is None:
                    raise Unavailable("the identity provider does not answer")
                return
            self._tried = self.monotonic()
            try:
                self._keys = await self._published()
                self._fetched = self.monotonic()
            except Unavailable:
                if self._fetched is None:
                    raise

    async def _published(self) -> dict[str, Key]:
        found = await self.fetch(f"{self.issuer.rstrip('/')}/.well-known/openid-configuration")
        if not isinstance(found, dict) or found.get("issuer") != self.issuer:
            raise Unavailable("the identity provider names another issuer")
        published = await self.fetch(str(found.get("jwks_uri")))
        keys: dict[str, Key] = {}
        entries = published.get("keys", []) if isinstance(published, dict) else []
        for entry in entries[:KEYS_MAX]:
            key = _key(entry)
            if key is not None:
                keys[entry["kid"]] = key
        return keys


def _key(entry: Any) -> Key | None:
    """A signing key we can use; others in the set are none of our business."""
    if not isinstance(entry, dict) or not isinstance(entry.get("kid"), str):
        return None
    if entry.get("use", "sig") != "sig":
        return None
    try:
        if entry.get("kty") == "EC" and entry.get("crv") == "P-256":
            return ECKey.import_key(entry)
        if entry.get("kty") == "RSA":
            return RSAKey.import_key(entry)
    except (JoseError, ValueError, TypeError):
        return None
    return None
