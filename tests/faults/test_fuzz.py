"""No request, however odd, is answered by a 5xx, or by anything that the description denies."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.faults.deployment import silent
from tests.faults.fuzz import Target, fuzz, roles_of, targets
from tests.faults.fuzzing import on_engines_troubled, on_sqlite_fuzzed
from tests.serving import HOST, served

CASES = 2_000
FEW = 120
SEED = 20_261_124
ODD = b"HTTP/1.1 500 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


async def test_every_answer_is_one_that_the_description_promises(tmp_path: Path) -> None:
    report = await on_sqlite_fuzzed(tmp_path, SEED, silent, CASES)
    assert report.good, report.findings or report.void
    assert report.figures["requests"] > CASES // 2
    assert report.figures["200"]
    assert report.figures["404"]


@pytest.mark.engines
async def test_a_bad_network_to_the_store_is_never_a_500(tmp_path: Path, mongo: str) -> None:
    report = await on_engines_troubled(tmp_path, SEED, silent, FEW, away_min=0)
    assert report.good, report.findings or report.void


@asynccontextmanager
async def _always_odd() -> AsyncIterator[str]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(ODD)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, HOST, 0)
    async with server:
        yield f"http://{HOST}:{server.sockets[0].getsockname()[1]}"


def _fewer(aimed: Target, change: Any) -> Target:
    document = deepcopy(aimed.document)
    document["paths"] = dict(list(document["paths"].items())[:6])
    for operations in document["paths"].values():
        for operation in operations.values():
            change(operation["responses"])
    return replace(aimed, document=document)


async def test_what_is_not_promised_is_found(tmp_path: Path) -> None:
    """An undocumented status, an answer of another shape, a 5xx: each is planted, each is found."""
    async with served(tmp_path) as platform:
        [aimed] = await targets(platform)

        def without_404(responses: dict[str, Any]) -> None:
            responses.pop("404", None)
            responses.pop("422", None)

        def as_numbers(responses: dict[str, Any]) -> None:
            for response in responses.values():
                for content in response.get("content", {}).values():
                    content["schema"] = {"type": "integer"}

        undocumented = await fuzz(_fewer(aimed, without_404), FEW, SEED)
        assert any("UndefinedStatusCode" in found for found in undocumented.findings)
        misshapen = await fuzz(_fewer(aimed, as_numbers), FEW, SEED)
        assert any("JsonSchemaError" in found for found in misshapen.findings)
        async with _always_odd() as url:
            failing = await fuzz(replace(_fewer(aimed, lambda _: None), url=url), FEW, SEED)
        assert any("ServerError" in found for found in failing.findings)


def test_who_may_call_is_read_from_the_description() -> None:
    assert roles_of("Does it.\n\nAnswers: registrar, school_psychologist.") == [
        "registrar",
        "school_psychologist",
    ]
    assert roles_of("Answers: anybody.") == []
