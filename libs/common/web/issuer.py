"""A development issuer: anybody on this machine may be anybody. Never run it beside real data.

`python -m libs.common.web.issuer --port 8090`, or mounted by `python -m services`.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import orjson
import uvicorn
from joserfc import jwt
from joserfc.jwk import ECKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from libs.common.messages import Role
from libs.common.secret_file import make_once
from libs.common.web.auth import AUDIENCE

TOKEN_SECONDS = 600
TOKEN_SECONDS_MAX = 12 * 3600
BODY_BYTES_MAX = 10_000
WARNING = "WARNING: the development issuer gives a token to anybody on this machine who asks."


def read_key(path: Path | None = None) -> ECKey:
    """The signing key: a 0600 file, made when it is not there, and once, however many processes
    start together; without a path it lives in memory, and tokens die with the process."""
    if path is not None and path.exists():
        return ECKey.import_key(orjson.loads(path.read_bytes()))
    key = ECKey.generate_key("P-256", {"use": "sig", "alg": "ES256"})
    if path is None:
        return key
    make_once(path, orjson.dumps(key.as_dict(private=True)))
    return ECKey.import_key(orjson.loads(path.read_bytes()))


@dataclass(frozen=True)
class Issuer:
    """`url` is what tokens carry as `iss`: where services find it, without a slash at the end."""

    url: str
    key: ECKey = field(default_factory=read_key)

    def token(self, sub: str, role: str, org: str, seconds: int = TOKEN_SECONDS) -> str:
        """Raises ValueError for a role that nobody has, or a life beyond the limit."""
        if role not in set(Role) - {Role.SYSTEM}:
            raise ValueError("no such role")
        if not 0 < seconds <= TOKEN_SECONDS_MAX:
            raise ValueError("a token's life is out of range")
        now = int(time.time())
        header = {"alg": "ES256", "kid": self.key.thumbprint(), "typ": "at+jwt"}
        claims = {
            "iss": self.url,
            "aud": AUDIENCE,
            "iat": now,
            "exp": now + seconds,
            "sub": sub,
            "role": role,
            "org": org,
        }
        return jwt.encode(header, claims, self.key, default_type=None)

    def keys(self) -> dict[str, Any]:
        public = self.key.as_dict(private=False)
        return {"keys": [{**public, "kid": self.key.thumbprint(), "use": "sig", "alg": "ES256"}]}


def issuer_app(issuer: Issuer) -> Starlette:
    """Discovery, keys and tokens; only for callers on this machine."""

    async def configuration(request: Request) -> Response:
        _loopback_only(request)
        return JSONResponse(
            {
                "issuer": issuer.url,
                "jwks_uri": f"{issuer.url}/jwks",
                "token_endpoint": f"{issuer.url}/token",
                "response_types_supported": ["token"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["ES256"],
            }
        )

    async def jwks(request: Request) -> Response:
        _loopback_only(request)
        return JSONResponse(issuer.keys())

    async def token(request: Request) -> Response:
        _loopback_only(request)
        try:
            asked = await _read(request)
            seconds = int(asked.get("seconds", TOKEN_SECONDS))
            made = issuer.token(asked["sub"], asked["role"], asked["org"], seconds)
        except (KeyError, ValueError, TypeError):
            return JSONResponse({"error": "invalid_request"}, 400, {"Cache-Control": "no-store"})
        reply = {"access_token": made, "token_type": "Bearer", "expires_in": seconds}
        return JSONResponse(reply, headers={"Cache-Control": "no-store"})

    async def refuse(_: Request, __: Exception) -> Response:
        return JSONResponse({"error": "access_denied"}, 403)

    sys.stderr.write(f"{WARNING}\n")
    return Starlette(
        routes=[
            Route("/.well-known/openid-configuration", configuration),
            Route("/jwks", jwks),
            Route("/token", token, methods=["POST"]),
        ],
        exception_handlers={PermissionError: refuse},
    )


def _loopback_only(request: Request) -> None:
    """The caller sits on this machine and calls it by such a name, so that no web page elsewhere
    can ask through a browser here."""
    host = request.url.hostname or ""
    caller = request.client.host if request.client else ""
    if not is_loopback(caller) or not (host == "localhost" or is_loopback(host)):
        raise PermissionError()


def is_loopback(address: str) -> bool:
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False


async def _read(request: Request) -> Mapping[str, Any]:
    """JSON or a form: sub, role, org, seconds."""
    raw = b""
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > BODY_BYTES_MAX:
            raise ValueError("too large")
    if request.headers.get("content-type", "").startswith("application/json"):
        asked = orjson.loads(raw)
        if not isinstance(asked, dict):
            raise ValueError("not an object")
        return asked
    return dict(parse_qsl(raw.decode()))


async def _serve(port: int, key: Path | None, url: str | None) -> None:
    issuer = Issuer(url or f"http://127.0.0.1:{port}", read_key(key))
    config = uvicorn.Config(
        issuer_app(issuer), host="127.0.0.1", port=port, log_level="warning", lifespan="off"
    )
    await uvicorn.Server(config).serve()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8090)
    parser.add_argument("--key", type=Path, default=None, help="keep the signing key in this file")
    parser.add_argument("--url", default=None, help="what tokens name when it is not this port")
    arguments = parser.parse_args()
    asyncio.run(_serve(arguments.port, arguments.key, arguments.url))
