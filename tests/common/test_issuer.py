"""The development issuer gives tokens to this machine, and to nothing else."""

import asyncio
import stat
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest

from libs.common.errors import Unavailable
from libs.common.messages import Actor
from libs.common.sealing import Refs
from libs.common.web.auth import Tokens, fetch
from libs.common.web.client import Client
from libs.common.web.issuer import TOKEN_SECONDS_MAX, Issuer, issuer_app, read_key
from tests.common.ports_free import free_port

HERE = ("127.0.0.1", 1)
STARTED_SECONDS_MAX = 20.0
MUM = {"sub": "mum", "role": "guardian", "org": "district"}


def reach(issuer: Issuer, caller: tuple[str, int], host: str) -> httpx2.AsyncClient:
    transport = httpx2.ASGITransport(issuer_app(issuer), client=caller)
    return httpx2.AsyncClient(transport=transport, base_url=f"http://{host}")


async def test_anybody_here_gets_a_token_by_form_or_json() -> None:
    issuer = Issuer("http://localhost")
    async with reach(issuer, HERE, "localhost") as client:
        for reply in (await client.post("/token", json=MUM), await client.post("/token", data=MUM)):
            assert reply.status_code == 200
            assert reply.json()["token_type"] == "Bearer"
            assert reply.headers["cache-control"] == "no-store"
        found = (await client.get("/.well-known/openid-configuration")).json()
        assert found["jwks_uri"] == "http://localhost/jwks"
        assert "d" not in (await client.get("/jwks")).json()["keys"][0]


async def test_nobody_elsewhere_gets_anything() -> None:
    issuer = Issuer("http://localhost")
    for caller, host in [(("192.0.2.1", 1), "localhost"), (HERE, "rebound.example")]:
        async with reach(issuer, caller, host) as client:
            for path in ("/jwks", "/.well-known/openid-configuration"):
                assert (await client.get(path)).status_code == 403
            assert (await client.post("/token", json=MUM)).status_code == 403


@pytest.mark.parametrize(
    "wrong",
    [{"role": "system"}, {"role": "king"}, {"seconds": 0}, {"seconds": TOKEN_SECONDS_MAX + 1}],
    ids=str,
)
async def test_some_tokens_are_not_given(wrong: dict[str, object]) -> None:
    async with reach(Issuer("http://localhost"), HERE, "localhost") as client:
        assert (await client.post("/token", json={**MUM, **wrong})).status_code == 400
        assert (await client.post("/token", json=[1])).status_code == 400
        assert (await client.post("/token", content=b"{" * 20_000)).status_code == 400


def test_a_kept_key_is_the_owner_s_alone_and_outlives_the_process(tmp_path: Path) -> None:
    path = tmp_path / "issuer" / "key.json"
    first = read_key(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_key(path).thumbprint() == first.thumbprint()


def test_processes_that_start_together_have_one_key(tmp_path: Path) -> None:
    for number in range(10):
        path = tmp_path / f"key-{number}.json"
        with ThreadPoolExecutor(8) as threads:
            found = {key.thumbprint() for key in threads.map(read_key, [path] * 8)}
        assert found == {read_key(path).thumbprint()}


def test_it_warns_loudly(capsys: pytest.CaptureFixture[str]) -> None:
    issuer_app(Issuer("http://localhost"))
    assert "WARNING" in capsys.readouterr().err


async def test_it_starts_alone_and_a_service_believes_it() -> None:
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "libs.common.web.issuer", "--port", str(port)
    )
    try:
        async with asyncio.timeout(STARTED_SECONDS_MAX), Client("127.0.0.1", port) as client:
            while True:
                try:
                    reply = await client.request("POST", "/token", MUM)
                    break
                except OSError:
                    await asyncio.sleep(0.05)
        refs = Refs(b"r" * 32)
        tokens = Tokens(f"http://127.0.0.1:{port}", refs)
        actor = await tokens.actor(f"Bearer {reply.body['access_token']}")
        assert actor == Actor(refs.of("usr_", "mum"), "guardian", "district")
    finally:
        process.terminate()
        await process.wait()
    with pytest.raises(Unavailable):
        await fetch(f"http://127.0.0.1:{port}/jwks")
