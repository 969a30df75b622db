"""What a route promises, and the OpenAPI document that says so, complete enough to be fuzzed."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from libs.common.messages import Role
from libs.common.web.problems import SCHEMA, TITLES
from libs.common.web.wellformed import Shape

OPENAPI = "3.1.0"
REF = "#/components/schemas/{model}"
PROBLEM = {"$ref": "#/components/schemas/Problem"}

Mode = Literal["validation", "serialization"]
Schemas = dict[tuple[type[BaseModel], Mode], Any]


@dataclass(frozen=True)
class Promise:
    """One route. `sends` is the JSON body that it takes, `params` its query string."""

    kind: Literal["command", "query", "raw"]
    method: str
    path: str
    name: str
    text: str
    roles: frozenset[Role]
    done: tuple[int, ...]
    refusals: tuple[int, ...]
    sends: type[BaseModel] | None = None
    params: type[BaseModel] | None = None
    reply: type[BaseModel] | None = None
    content_type: str = "application/json"
    waits: bool = False


def document(title: str, version: str, promises: Sequence[Promise]) -> dict[str, Any]:
    """The whole document. Health is answered without a token, everything else needs one."""
    schemas, components = _models(promises)
    paths: dict[str, Any] = {}
    for promise in promises:
        operation = _operation(promise, schemas)
        paths.setdefault(promise.path, {})[promise.method.lower()] = operation
    for path, found in HEALTH.items():
        paths[path] = {"get": found}
    return {
        "openapi": OPENAPI,
        "info": {"title": title, "version": version},
        "paths": paths,
        "components": {
            "schemas": {**components, "Problem": SCHEMA},
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
            },
        },
        "security": [{"token": []}],
    }


def _models(promises: Iterable[Promise]) -> tuple[Schemas, dict[str, Any]]:
    """Every model once, by what it is used for; a query's parameters are written out in place."""
    wanted: dict[tuple[type[BaseModel], Mode], None] = {}
    for promise in promises:
        for model in (promise.sends, promise.params):
            if model is not None:
                wanted[model, "validation"] = None
        if promise.reply is not None:
            wanted[promise.reply, "serialization"] = None
    schemas, found = models_json_schema(list(wanted), ref_template=REF)
    return cast("Schemas", schemas), found.get("$defs", {})


def _operation(promise: Promise, schemas: Schemas) -> dict[str, Any]:
    roles = ", ".join(sorted(promise.roles))
    operation: dict[str, Any] = {
        "operationId": promise.name,
        "summary": promise.text.partition("\n")[0],
        "description": f"{promise.text}\n\nAnswers: {roles}.".strip(),
        "parameters": _parameters(promise),
        "responses": _responses(promise, schemas),
    }
    if promise.kind == "raw":
        schema = {"type": "string", "format": "binary"}
        operation["requestBody"] = {
            "required": True,
            "content": {promise.content_type: {"schema": schema}},
        }
    elif promise.sends is not None:
        operation["requestBody"] = {
            "required": not Shape(promise.sends).optional,
            "content": {
                promise.content_type: {"schema": schemas[promise.sends, "validation"]},
            },
        }
    return operation


def _parameters(promise: Promise) -> list[dict[str, Any]]:
    steps = [step[1:-1] for step in promise.path.split("/") if step.startswith("{")]
    found = [{"name": step, "in": "path", "required": True, "schema": REFERENCE} for step in steps]
    if promise.kind != "query":
        found.append(KEY)
    if promise.kind == "command":
        found.append(IF_MATCH)
    if promise.waits:
        found.append(MIN_POSITION)
    if promise.params is not None:
        schema = promise.params.model_json_schema(ref_template=REF)
        required = schema.get("required", [])
        for name, inner in schema.get("properties", {}).items():
            given = {"name": name, "in": "query", "required": name in required}
            found.append({**given, "schema": _without_null(inner)})
    return found


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A query string has no way to say null: what is optional is left out."""
    options = [s for s in schema.get("anyOf", ()) if s.get("type") != "null"]
    rest = {k: v for k, v in schema.items() if k != "anyOf" and not (k == "default" and v is None)}
    if not options:
        return rest
    return {**rest, **options[0]} if len(options) == 1 else {**rest, "anyOf": options}


def _responses(promise: Promise, schemas: Schemas) -> dict[str, Any]:
    schema = {"type": "object"}
    if promise.reply is not None:
        schema = schemas[promise.reply, "serialization"]
    headers = COMMAND_HEADERS if promise.kind == "command" else QUERY_HEADERS
    found: dict[str, Any] = {}
    for status in promise.done:
        found[str(status)] = {
            "description": DONE.get(status, "Done"),
            "headers": headers,
            "content": {"application/json": {"schema": schema}},
        }
    for status in promise.refusals:
        found[str(status)] = {
            "description": TITLES[status],
            "content": {"application/problem+json": {"schema": PROBLEM}},
        }
    for status, name, pattern in ((401, "WWW-Authenticate", "^Bearer"), (503, "Retry-After", "^")):
        header = {"required": True, "schema": {"type": "string", "pattern": pattern}}
        found[str(status)]["headers"] = {name: header}
    return found


def _header(name: str, pattern: str, text: str, required: bool = False) -> dict[str, Any]:
    schema = {"type": "string", "pattern": pattern}
    return {"name": name, "in": "header", "required": required, "schema": schema} | (
        {"description": text} if text else {}
    )


DONE = {200: "Done, or nothing was new", 201: "Made", 202: "Taken on; look at the address given"}
REFERENCE = {"type": "string", "pattern": "^[a-z0-9][a-z0-9_.-]{0,127}$"}
POSITION = "[a-z]{1,32}:(0[0-9]|1[0-5]):[0-9]{1,12}"
KEY = _header(
    "Idempotency-Key",
    "^[!-~]{8,128}$",
    "Your own name for this request: sent again, it is answered again and done once.",
    required=True,
)
IF_MATCH = _header(
    "If-Match", '^"v(0|[1-9][0-9]{0,8})"$', "The version your decision rests on, from an ETag."
)
MIN_POSITION = _header(
    "Min-Position",
    f"^{POSITION}(,{POSITION}){{0,31}}$",
    "What the answer must have seen: `Position` headers of earlier replies.",
)


def _said(pattern: str, text: str) -> dict[str, Any]:
    return {"description": text, "schema": {"type": "string", "pattern": pattern}}


COMMAND_HEADERS = {
    "ETag": _said('^"v[0-9]+"$', "The version of what was changed"),
    "Position": _said(f"^{POSITION}$", "Where the log has it; give it back as Min-Position"),
    "Idempotent-Replayed": _said("^true$", "This is the first answer to this key, once more"),
}
QUERY_HEADERS = {"ETag": _said('^"v[0-9]+"$', "Its version, for If-Match")}

_READINESS = {
    "type": "object",
    "required": ["ready", "reasons"],
    "properties": {
        "ready": {"type": "boolean"},
        "reasons": {"type": "array", "items": {"type": "string"}},
    },
}


def _health(name: str, *answers: tuple[int, str]) -> dict[str, Any]:
    content = {"application/json": {"schema": _READINESS}}
    return {
        "operationId": name,
        "security": [],
        "responses": {str(s): {"description": t, "content": content} for s, t in answers},
    }


HEALTH = {
    "/health/live": _health("live", (200, "The process answers")),
    "/health/ready": _health("ready", (200, "Ready"), (503, "Not ready, and why")),
}
