"""What a caller may rely on at the door: keys, versions, positions, and how a no looks."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from libs.common.errors import Behind, StoreAway
from libs.common.handle import Answer, Ask
from libs.common.messages import Role
from libs.common.ports import Delivery
from libs.common.web.application import application, check_routes, mount
from libs.common.web.http import Question, Routes
from tests.common.counter import UPLOAD_BYTES_MAX, Colours, Counter, Doors, open_counter
from tests.common.doors import until

GREEN = {"colour": "green"}


@pytest.fixture
async def counter(tmp_path: Path) -> AsyncIterator[Counter]:
    async with open_counter(tmp_path) as opened:
        yield opened


def problem(reply: Any) -> tuple[int, str, list[tuple[str, str]]]:
    content = reply.json()
    assert reply.headers["content-type"] == "application/problem+json"
    assert content["status"] == reply.status_code
    errors = [(error["pointer"], error["code"]) for error in content.get("errors", [])]
    return reply.status_code, content["code"], errors


async def test_a_command_answers_with_its_version_and_its_place_in_the_log(
    counter: Counter,
) -> None:
    reply = await counter.send("POST", "/v1/strings/str_a/beads", GREEN)
    assert (reply.status_code, reply.json()) == (200, {})
    assert reply.headers["etag"] == '"v1"'
    assert reply.headers["position"].startswith("beads:")
    assert reply.headers["cache-control"] == "no-store"


async def test_making_something_is_201_and_names_it(counter: Counter) -> None:
    reply = await counter.send("POST", "/v1/strings", GREEN)
    assert reply.status_code == 201
    shown = await counter.send("GET", f"/v1/strings/{reply.json()['string']}")
    assert shown.json() == {**reply.json(), "colours": ["green"], "note": None}
    assert shown.headers["etag"] == '"v1"'


async def test_the_same_key_is_answered_again_and_done_once(counter: Counter) -> None:
    first = await counter.send("POST", "/v1/strings", GREEN, key="once-and-for-all")
    again = await counter.send("POST", "/v1/strings", GREEN, key="once-and-for-all")
    assert again.json() == first.json()
    assert again.headers["position"] == first.headers["position"]
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"


async def test_a_key_belongs_to_its_caller(counter: Counter) -> None:
    mum = await counter.send("POST", "/v1/strings", GREEN, key="same-key")
    dad = counter.token("dad")
    reply = await counter.send("POST", "/v1/strings", GREEN, key="same-key", Authorization=dad)
    assert reply.json() != mum.json()


async def test_a_key_used_for_something_else_is_refused(counter: Counter) -> None:
    await counter.send("POST", "/v1/strings/str_a/beads", GREEN, key="same-key")
    other = {"colour": "red"}
    reply = await counter.send("POST", "/v1/strings/str_a/beads", other, key="same-key")
    assert problem(reply) == (422, "key-reused", [])


async def test_nothing_new_is_200_with_the_current_version_and_position(counter: Counter) -> None:
    first = await counter.send("POST", "/v1/strings/str_a/beads", GREEN)
    silent = await counter.send("POST", "/v1/strings/str_a/beads", GREEN)
    assert silent.status_code == 200
    assert silent.headers["position"] == first.headers["position"]
    assert silent.headers["etag"] == '"v1"'
    assert "idempotent-replayed" not in silent.headers


async def test_a_command_needs_a_key(counter: Counter) -> None:
    for key in ("", "short", "x" * 129, "with space in it"):
        reply = await counter.send("POST", "/v1/strings/str_a/beads", GREEN, key=key)
        error = ("Idempotency-Key", "idempotency-key")
        assert problem(reply) == (400, "idempotency-key", [error])


async def test_a_refusal_is_a_code_and_a_sentence(counter: Counter) -> None:
    reply = await counter.send("POST", "/v1/strings/str_a/beads", {"colour": "none"})
    assert problem(reply) == (409, "no-bead", [])
    assert reply.json()["detail"] == "That is no bead."


async def test_a_stale_version_is_412(counter: Counter) -> None:
    path = "/v1/strings/str_a/beads"
    await counter.send("POST", path, GREEN)
    red = {"colour": "red"}
    assert problem(await counter.send("POST", path, red, If_Match='"v0"'))[:2] == (
        412,
        "wrong-version",
    )
    assert (await counter.send("POST", path, red, If_Match='"v1"')).headers["etag"] == '"v2"'
    assert problem(await counter.send("POST", path, red, If_Match="v1"))[0] == 400


MALFORMED = {
    b"{": ("#", "malformed-json"),
    b'{"colour": "\xff"}': ("#", "malformed-json"),
    b'{"colour": NaN}': ("#", "malformed-json"),
    b"[]": ("#", "not-an-object"),
    b"": ("#", "malformed-json"),
    b'{"colour": "red", "Hanna": 1}': ("#", "unknown-field"),
    b'{"colour": "red", "stamp": 1}': ("#", "unknown-field"),
    b'{"colour": "red", "count": false}': ("#/count", "not-an-integer"),
    b'{"colour": "red", "count": "5"}': ("#/count", "not-an-integer"),
    b'{"colour": "red", "count": 1.5}': ("#/count", "not-an-integer"),
    b'{"colour": "red", "count": 101}': ("#/count", "less-than-equal"),
    b'{"colour": "red", "shiny": 1}': ("#/shiny", "not-a-boolean"),
    b'{"colour": "red", "size": "Hanna"}': ("#/size", "enum"),
    b'{"colour": 5}': ("#/colour", "not-a-text"),
    b"{}": ("#/colour", "missing"),
}


async def test_a_malformed_body_is_told_where_and_never_what(counter: Counter) -> None:
    for body, error in MALFORMED.items():
        reply = await counter.send("POST", "/v1/strings", body, Content_Type="application/json")
        assert problem(reply) == (422, "malformed", [error]), body
        assert "Hanna" not in reply.text


async def test_a_whole_number_may_be_written_with_a_point(counter: Counter) -> None:
    body = b'{"colour": "red", "count": 47.0}'
    reply = await counter.send("POST", "/v1/strings", body, Content_Type="application/json")
    assert reply.status_code == 201


async def test_another_type_of_content_is_refused(counter: Counter) -> None:
    for kind in ("text/plain", "application/json; charset=latin-1", ""):
        reply = await counter.send("POST", "/v1/strings", b'{"colour":"red"}', Content_Type=kind)
        assert problem(reply) == (422, "content-type", [("Content-Type", "content-type")])


async def test_a_body_has_a_limit(counter: Counter) -> None:
    reply = await counter.send("POST", "/v1/strings", {"colour": "x" * 10_000_000})
    assert problem(reply) == (413, "too-large", [])


async def test_a_body_without_a_length_has_the_same_limit(counter: Counter) -> None:
    async def parts() -> AsyncIterator[bytes]:
        for _ in range(200):
            yield b" " * 10_000

    headers = {
        "Authorization": counter.token(),
        "Idempotency-Key": "12345678",
        "Content-Type": "application/json",
    }
    reply = await counter.client.post("/v1/strings", content=parts(), headers=headers)
    assert problem(reply) == (413, "too-large", [])


async def test_who_may_not_is_told_no_before_anything_is_read(counter: Counter) -> None:
    assert problem(await counter.send("POST", "/v1/strings", b"{", Authorization="x"))[:2] == (
        401,
        "no-valid-token",
    )
    auditor = counter.token(role="auditor")
    reply = await counter.send("POST", "/v1/strings", b"{", Authorization=auditor)
    assert problem(reply) == (403, "wrong-role", [])


async def test_no_token_is_told_what_is_wanted(counter: Counter) -> None:
    reply = await counter.client.get("/v1/beads")
    assert problem(reply)[:2] == (401, "no-valid-token")
    assert reply.headers["www-authenticate"].startswith("Bearer")


async def test_what_cannot_be_a_reference_is_not_there(counter: Counter) -> None:
    for ref in ("STR_A", "..%2Fx", "a%20b", "x" * 129, "%F0%9F%92%A9"):
        assert problem(await counter.send("GET", f"/v1/strings/{ref}"))[0] == 404


async def test_what_is_not_there_is_404(counter: Counter) -> None:
    assert problem(await counter.send("GET", "/v1/strings/str_b")) == (404, "not-found", [])
    assert problem(await counter.send("GET", "/v1/nowhere")) == (404, "not-found", [])


async def test_another_method_is_told_which_there_are(counter: Counter) -> None:
    for path, methods in [("/v1/strings/str_b", "GET"), ("/v1/beads", "GET, POST")]:
        reply = await counter.send("DELETE", path)
        assert problem(reply)[:2] == (405, "method-not-allowed")
        assert reply.headers["allow"] == methods


async def test_what_is_spelt_out_goes_before_what_is_open(counter: Counter) -> None:
    reply = await counter.send("POST", "/v1/strings/search", {"colour": "blue"}, key="")
    assert reply.json()["sub"] == "blue"


async def test_personal_values_are_opened_at_the_edge_only(counter: Counter) -> None:
    body = {"colour": "red", "note": "she sleeps badly"}
    await counter.send("POST", "/v1/strings/str_a/beads", body)
    shown = await counter.send("GET", "/v1/strings/str_a")
    assert shown.json()["note"] == "she sleeps badly"
    await counter.doors.keyring.forget("stu_1", [])
    assert (await counter.send("GET", "/v1/strings/str_a")).json()["note"] == "Erased"


def test_a_personal_reply_must_say_that_it_opens() -> None:
    table = Routes[Doors]("beads")

    async def show(_: Question[Any], __: Doors) -> Colours:
        return Colours(string="", colours=())

    with pytest.raises(TypeError, match="opens=True"):
        table.query("GET", "/v1/x", Colours, roles={Role.TEACHER})(show)


async def test_a_query_string_is_held_to_its_schema(counter: Counter) -> None:
    reply = await counter.send("GET", "/v1/beads?limit=5&shiny=true&size=small&size=large")
    found = reply.json()
    assert (found["limit"], found["shiny"], found["size"]) == (5, True, ["large", "small"])
    for query, error in [
        ("limit=0", ("?limit", "greater-than-equal")),
        ("limit=five", ("?limit", "not-an-integer")),
        ("limit=5&limit=6", ("?limit", "repeated")),
        ("shiny=yes", ("?shiny", "wrong-type")),
        ("size=Hanna", ("?size", "enum")),
        ("Hanna=1", ("?", "unknown-field")),
    ]:
        reply = await counter.send("GET", f"/v1/beads?{query}")
        assert problem(reply) == (422, "malformed", [error]), query
        assert "Hanna" not in reply.text


async def test_a_read_waits_until_its_view_has_seen_the_position(counter: Counter) -> None:
    made = await counter.send("POST", "/v1/strings/str_a/beads", GREEN)
    position = made.headers["position"]
    shard = int(position.split(":")[1])
    reading = asyncio.create_task(counter.send("GET", "/v1/beads", Min_Position=position))
    (commit,) = await counter.doors.handler.appender.store.log(shard, 0)
    assert not reading.done()
    counter.doors.standing.advance(Delivery(commit, 0))
    counter.doors.standing.stored()
    assert (await reading).status_code == 200


async def test_a_view_that_stays_behind_is_503_and_a_log_it_does_not_hear_is_met(
    counter: Counter,
) -> None:
    reply = await counter.send("GET", "/v1/beads", Min_Position="elsewhere:01:9")
    assert reply.status_code == 200
    counter.patience.seconds = 0.1
    reply = await counter.send("GET", "/v1/beads", Min_Position="elsewhere:01:9, beads:03:9")
    assert problem(reply) == (503, "behind", [])
    assert reply.headers["retry-after"] == "1"
    assert counter.patience.waiting == 0


async def test_where_many_wait_for_news_the_next_one_is_told_at_once(counter: Counter) -> None:
    counter.patience.most = 1
    made = await counter.send("POST", "/v1/strings/str_a/beads", GREEN)
    shard = int(made.headers["position"].split(":")[1])
    (commit,) = await counter.doors.handler.appender.store.log(shard, 0)
    asked = {"Min_Position": made.headers["position"]}
    reading = asyncio.create_task(counter.send("GET", "/v1/beads", **asked))

    async def waits() -> bool:
        return counter.patience.waiting == 1

    await until(waits)
    assert problem(await counter.send("GET", "/v1/beads", **asked)) == (503, "behind", [])
    assert (await counter.send("GET", "/v1/beads")).status_code == 200
    counter.doors.standing.advance(Delivery(commit, 0))
    counter.doors.standing.stored()
    assert (await reading).status_code == 200
    assert counter.patience.waiting == 0


async def test_a_view_that_was_never_built_is_behind(counter: Counter) -> None:
    reply = await counter.send("GET", "/v1/tallies", Min_Position="beads:03:1")
    assert problem(reply) == (503, "behind", [])


async def test_a_malformed_position_is_400(counter: Counter) -> None:
    for listed in ("", "beads", "beads:3:1", "beads:16:1", ",".join(["a:00:1"] * 33)):
        reply = await counter.send("GET", "/v1/beads", Min_Position=listed)
        assert problem(reply) == (400, "min-position", [("Min-Position", "min-position")])


async def test_a_large_body_arrives_whole_and_its_key_names_it(counter: Counter) -> None:
    registrar = counter.token(role="registrar")
    zipped = b"z" * (UPLOAD_BYTES_MAX - 1)
    headers = {"Authorization": registrar, "Content_Type": "application/zip"}
    path = "/v1/uploads?dry_run=true"
    first = await counter.send("POST", path, zipped, key="roster-1", **headers)
    assert first.status_code == 202
    assert (first.json()["size"], first.json()["dry"]) == (len(zipped), True)
    assert first.headers["location"] == f"/v1/uploads/{first.json()['import_']}"
    again = await counter.send("POST", path, zipped, key="roster-1", **headers)
    assert again.json() == first.json()
    reply = await counter.send("POST", path, zipped + b"zz", key="roster-1", **headers)
    assert problem(reply) == (413, "too-large", [])
    reply = await counter.send("POST", path, b"", key="roster-1", **headers)
    assert problem(reply) == (422, "empty", [("#", "empty")])
    assert counter.doors.uploads == [zipped, zipped]


async def test_what_is_away_or_behind_is_asked_again_later(counter: Counter) -> None:
    for error, code in [(StoreAway("mongodb://hanna"), "store-away"), (Behind("x"), "behind")]:

        async def away(_: Ask[Any], error: Exception = error) -> Answer:
            raise error

        counter.doors.handle = away
        reply = await counter.send("POST", "/v1/strings/str_a/beads", GREEN)
        assert problem(reply) == (503, code, [])
        assert reply.headers["retry-after"] == "1"
        assert "hanna" not in reply.text


async def test_a_mistake_of_ours_is_logged_by_type_and_told_to_nobody(
    counter: Counter, capsys: pytest.CaptureFixture[str]
) -> None:
    reply = await counter.send("GET", "/v1/broken", Authorization=counter.token(role="teacher"))
    assert problem(reply) == (500, "internal", [])
    logged = capsys.readouterr().err
    assert '"error":"RuntimeError"' in logged
    assert "Hanna" not in logged + reply.text


async def test_health_needs_no_token_and_says_what_is_not_ready(counter: Counter) -> None:
    assert (await counter.client.get("/health/live")).status_code == 200
    assert (await counter.client.get("/health/ready")).json() == {"ready": True, "reasons": []}
    counter.reasons.append("loop relay: ValueError")
    reply = await counter.client.get("/health/ready")
    assert reply.status_code == 503
    assert reply.json() == {"ready": False, "reasons": ["loop relay: ValueError"]}


async def test_a_route_that_names_no_roles_does_not_get_through() -> None:
    app = application("beads", list)
    check_routes(app)
    app.add_api_route("/v1/secret", lambda: {}, methods=["GET"])
    with pytest.raises(TypeError, match="/v1/secret"):
        check_routes(app)
    with pytest.raises(TypeError, match="nobody"):
        Routes[Doors]("beads").query("GET", "/v1/x", Colours, roles=set(), opens=True)(_never)


async def _never(_: Question[Any], __: Doors) -> Colours:
    raise AssertionError


async def test_a_path_is_mounted_once(counter: Counter) -> None:
    table = Routes[Doors]("twice")
    table.query("GET", "/v1/beads", Colours, roles={Role.TEACHER}, opens=True)(_never)

    class Nobody:
        async def actor(self, authorization: str) -> Any: ...

    with pytest.raises(TypeError, match="taken"):
        mount(counter.app, table, counter.doors, Nobody())
