"""Who is let in: tokens of the district's provider, in time, for us, and nobody else's."""

import time
from base64 import urlsafe_b64encode
from hmac import digest
from typing import Any

import orjson
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

from libs.common.errors import Unauthorized, Unavailable
from libs.common.messages import Actor
from libs.common.sealing import Refs
from libs.common.web.auth import KEYS_SECONDS, REFRESH_SECONDS_MIN, TOKENS_MAX, Tokens
from libs.common.web.issuer import Issuer

URL = "https://sign-in.example"
REFS = Refs(b"r" * 32)
MUM = Actor(REFS.of("usr_", "mum"), "guardian", "district")


class Provider:
    """An identity provider reached without a network; counts how often it is asked."""

    def __init__(self) -> None:
        self.issuer = Issuer(URL)
        self.keys: list[dict[str, Any]] = list(self.issuer.keys()["keys"])
        self.name = URL
        self.away = False
        self.asked = 0

    async def fetch(self, address: str) -> Any:
        if self.away:
            raise Unavailable("away")
        if address.endswith("/.well-known/openid-configuration"):
            self.asked += 1
            return {"issuer": self.name, "jwks_uri": f"{URL}/jwks"}
        assert address == f"{URL}/jwks"
        return {"keys": self.keys}


class Watch:
    def __init__(self) -> None:
        self.seconds = 1_000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def provider() -> Provider:
    return Provider()


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def tokens(provider: Provider, watch: Watch) -> Tokens:
    return Tokens(URL, REFS, provider.fetch, monotonic=watch)


def bearer(provider: Provider, **changes: Any) -> str:
    """A good token, but for these claims; None leaves one out."""
    now = int(time.time())
    claims = {"iss": URL, "aud": "alliance", "iat": now, "exp": now + 60, "sub": "mum"}
    claims |= {"role": "guardian", "org": "district", **changes}
    claims = {name: value for name, value in claims.items() if value is not None}
    header = {"alg": "ES256", "kid": provider.issuer.key.thumbprint()}
    return f"Bearer {jwt.encode(header, claims, provider.issuer.key)}"


def encoded(raw: bytes) -> str:
    return urlsafe_b64encode(raw).decode().rstrip("=")


async def test_a_good_token_names_its_actor_by_reference_only(
    provider: Provider, tokens: Tokens
) -> None:
    assert await tokens.actor(bearer(provider)) == MUM
    assert await tokens.actor(bearer(provider, aud=["other", "alliance"])) == MUM
    assert "mum" not in MUM.sub


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "https://elsewhere.example"},
        {"iss": None},
        {"aud": "another"},
        {"aud": None},
        {"exp": int(time.time()) - 1},
        {"exp": None},
        {"exp": "soon"},
        {"nbf": int(time.time()) + 3_600},
        {"sub": None},
        {"sub": ""},
        {"sub": "x" * 257},
        {"role": "headmaster"},
        {"role": "system"},
        {"role": None},
        {"role": ["guardian"]},
        {"org": None},
        {"org": "Not A Ref"},
    ],
    ids=str,
)
async def test_a_token_with_a_wrong_claim_is_no_token(
    provider: Provider, tokens: Tokens, changes: dict[str, Any]
) -> None:
    with pytest.raises(Unauthorized):
        await tokens.actor(bearer(provider, **changes))


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer ", "Basic bXVt", "Bearer a.b.c", "Bearer " + "x" * 9_000]
)
async def test_what_is_no_bearer_token_is_refused(tokens: Tokens, header: str) -> None:
    with pytest.raises(Unauthorized):
        await tokens.actor(header)


async def test_a_token_that_another_key_signed_is_refused(
    provider: Provider, tokens: Tokens
) -> None:
    stranger = Issuer(URL)
    kid = provider.issuer.key.thumbprint()
    now = int(time.time())
    claims = {"iss": URL, "aud": "alliance", "exp": now + 60, "sub": "mum"}
    claims |= {"role": "guardian", "org": "district"}
    forged = jwt.encode({"alg": "ES256", "kid": kid}, claims, stranger.key)
    with pytest.raises(Unauthorized):
        await tokens.actor(f"Bearer {forged}")
    with pytest.raises(Unauthorized):
        await tokens.actor(f"Bearer {stranger.token('mum', 'guardian', 'district')}")


async def test_only_the_two_algorithms_count(provider: Provider, tokens: Tokens) -> None:
    """A shared secret, or no signature, made to look like the provider's key."""
    header, payload, _ = bearer(provider).removeprefix("Bearer ").split(".")
    kid = provider.issuer.key.thumbprint()
    other = encoded(orjson.dumps({"alg": "HS256", "kid": kid}))
    secret = provider.issuer.key.as_pem(private=False)
    mac = encoded(digest(secret, f"{other}.{payload}".encode(), "sha256"))
    with pytest.raises(Unauthorized):
        await tokens.actor(f"Bearer {other}.{payload}.{mac}")
    none = encoded(orjson.dumps({"alg": "none", "kid": kid}))
    with pytest.raises(Unauthorized):
        await tokens.actor(f"Bearer {none}.{payload}.")
    with pytest.raises(Unauthorized):
        await tokens.actor(f"Bearer {header}.{payload}.")


async def test_a_provider_may_sign_with_rsa(provider: Provider, tokens: Tokens) -> None:
    key = RSAKey.generate_key(2048, {"use": "sig"})
    provider.keys = [{**key.as_dict(private=False), "kid": "rsa-1"}]
    now = int(time.time())
    claims = {"iss": URL, "aud": "alliance", "exp": now + 60, "sub": "mum"}
    claims |= {"role": "guardian", "org": "district"}
    token = jwt.encode({"alg": "RS256", "kid": "rsa-1"}, claims, key)
    assert await tokens.actor(f"Bearer {token}") == MUM


async def test_keys_of_other_kinds_are_passed_over(provider: Provider, tokens: Tokens) -> None:
    other = ECKey.generate_key("P-521").as_dict(private=False)
    provider.keys = [
        {"kty": "oct", "k": "c2VjcmV0", "kid": "a"},
        {**other, "kid": "b"},
        {"kty": "EC", "crv": "P-256", "kid": "broken"},
        {"no": "kid"},
        "no key at all",  # type: ignore[list-item]  # what a broken provider may send
        *provider.keys,
    ]
    assert await tokens.actor(bearer(provider)) == MUM


async def test_a_verified_token_is_remembered_until_it_expires(provider: Provider) -> None:
    watch = Watch()
    watch.seconds = time.time()
    tokens = Tokens(URL, REFS, provider.fetch, now=watch)
    token = bearer(provider, exp=int(watch.seconds) + 60)
    assert await tokens.actor(token) == MUM
    tokens._keys.clear()
    assert await tokens.actor(token) == MUM
    watch.seconds += 60
    with pytest.raises(Unauthorized):
        await tokens.actor(token)
    assert len(tokens._verified) == 0 <= TOKENS_MAX


async def test_a_new_key_of_the_provider_is_found_at_once_but_not_asked_for_without_end(
    provider: Provider, tokens: Tokens, watch: Watch
) -> None:
    assert await tokens.actor(bearer(provider)) == MUM
    watch.seconds += REFRESH_SECONDS_MIN
    provider.issuer = Issuer(URL)
    provider.keys = provider.issuer.keys()["keys"]
    assert await tokens.actor(bearer(provider)) == MUM
    asked = provider.asked
    for _ in range(10):
        with pytest.raises(Unauthorized):
            await tokens.actor(f"Bearer {Issuer(URL).token('mum', 'guardian', 'district')}")
    assert provider.asked == asked


async def test_a_withdrawn_key_dies(provider: Provider, tokens: Tokens, watch: Watch) -> None:
    old = provider.issuer
    assert await tokens.actor(bearer(provider)) == MUM
    provider.keys = Issuer(URL).keys()["keys"]
    watch.seconds += KEYS_SECONDS + 1
    with pytest.raises(Unauthorized):
        await tokens.actor(f"Bearer {old.token('dad', 'guardian', 'district')}")


async def test_a_provider_that_is_away_matters_only_without_keys(
    provider: Provider, tokens: Tokens, watch: Watch
) -> None:
    provider.away = True
    with pytest.raises(Unavailable):
        await tokens.actor(bearer(provider))
    with pytest.raises(Unavailable):
        await tokens.actor(bearer(provider))
    provider.away = False
    watch.seconds += REFRESH_SECONDS_MIN
    assert await tokens.actor(bearer(provider)) == MUM
    provider.away = True
    watch.seconds += KEYS_SECONDS + 1
    assert await tokens.actor(bearer(provider, sub="mum", iat=1)) == MUM


async def test_a_provider_that_calls_itself_otherwise_is_not_ours(
    provider: Provider, tokens: Tokens
) -> None:
    provider.name = "https://elsewhere.example"
    with pytest.raises(Unavailable):
        await tokens.actor(bearer(provider))
