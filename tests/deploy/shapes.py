"""Whether a manifest is what its schema says: Kubernetes' own kinds, and those of the operators.

Fields that a schema does not name are refused everywhere, except where it says that it keeps what
it does not know.
"""

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate  # type: ignore[import-untyped]  # it carries annotations only

from tests.deploy.reading import Manifest

SCHEMAS = Path(__file__).parent / "schemas"
KUBERNETES = ("1.33", "1.37")
"""The oldest that the manifests are for, and the newest that the schemas know."""
OPEN = "x-kubernetes-preserve-unknown-fields"


def complaints(manifest: Manifest) -> Iterator[str]:
    """Everything that is wrong with one manifest's form."""
    named = f"{manifest.get('kind')} {manifest.get('metadata', {}).get('name')}"
    schema = vendored(str(manifest.get("apiVersion")), str(manifest.get("kind")))
    if schema is not None:
        for error in jsonschema.Draft202012Validator(schema).iter_errors(manifest):
            yield f"{named}: {error.json_path}: {error.message}"
        return
    for version in KUBERNETES:
        try:
            kubernetes_validate.validate(manifest, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            yield f"{named}: {error.json_path}: {error.message}"
        except kubernetes_validate.SchemaNotFoundError:
            yield f"{named}: no such kind in {manifest.get('apiVersion')}"


@cache
def vendored(version: str, kind: str) -> dict[str, Any] | None:
    """The schema of an operator's kind, closed; None when it is not one of those."""
    place = SCHEMAS / f"{version.replace('/', '_')}_{kind}.json"
    if not place.is_file():
        return None
    schema: dict[str, Any] = closed(json.loads(place.read_bytes()))
    schema["properties"]["metadata"] = {"type": "object"}  # as Kubernetes checks it for any kind
    return schema


def closed(schema: Any) -> Any:
    """An object that lists its properties has no others; `nullable` and integers-or-strings are
    Kubernetes' own words and get their meaning."""
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    found = {name: closed(value) for name, value in schema.items() if name != "properties"}
    if "properties" in schema:
        found["properties"] = {name: closed(each) for name, each in schema["properties"].items()}
        if not schema.get(OPEN) and schema.get("type") == "object":
            found.setdefault("additionalProperties", False)
    if schema.get("x-kubernetes-int-or-string"):
        found.pop("type", None)
    if schema.get("nullable") is True and isinstance(found.get("type"), str):
        found["type"] = [found["type"], "null"]
    return found
