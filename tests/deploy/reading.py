"""Manifests read strictly, and the overlays rendered: what a cluster would be given.

Rendering needs kustomize (alone or inside kubectl). So the renderings are committed, each with the
sum of all its sources: without kustomize a stale one is still found, with it they are compared.
`python -m tests.deploy` renders them anew.
"""

import hashlib
import shutil
import subprocess
from collections.abc import Iterator
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent.parent
K8S = ROOT / "deploy" / "k8s"
RENDERED = K8S / "rendered"
OVERLAYS = ("pilot", "district")
MERGE = "tag:yaml.org,2002:merge"
MARK = "# Sources: sha256 "

Manifest = dict[str, Any]


class Doubled(yaml.YAMLError):
    """A key stands twice; YAML's own readers take the last one in silence."""


class Strict(yaml.SafeLoader):
    """Safe YAML that refuses a key that stands twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for name, _ in node.value:
            if name.tag == MERGE:
                continue
            key = self.construct_object(name, deep=True)
            if key in seen:
                raise Doubled(f"line {name.start_mark.line + 1}: {key} stands twice")
            seen.add(key)
        return super().construct_mapping(node, deep)


def read(text: str) -> list[Manifest]:
    """Every document of a file. Raises Doubled."""
    return [document for document in yaml.load_all(text, Strict) if document]


def sources() -> list[Path]:
    """Everything that an overlay may be rendered from."""
    found = (path for path in K8S.rglob("*") if path.suffix in (".yaml", ".json"))
    return sorted(path for path in found if RENDERED not in path.parents)


def digest() -> str:
    found = hashlib.sha256()
    for path in sources():
        found.update(f"{path.relative_to(K8S).as_posix()}\0".encode())
        found.update(path.read_bytes().replace(b"\r\n", b"\n"))
    return found.hexdigest()


@cache
def kustomize() -> tuple[str, ...] | None:
    """The command that renders a folder, or None where there is none."""
    if shutil.which("kustomize"):
        return ("kustomize", "build")
    return ("kubectl", "kustomize") if shutil.which("kubectl") else None


def render(folder: Path) -> str:
    command = kustomize()
    assert command is not None, "install kubectl or kustomize"
    done = subprocess.run([*command, str(folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def rendered(overlay: str) -> str:
    return (RENDERED / f"{overlay}.yaml").read_text("utf-8")


def manifests(overlay: str) -> list[Manifest]:
    """A copy of what is applied, to be changed at will."""
    return deepcopy(_manifests(overlay))


@cache
def _manifests(overlay: str) -> list[Manifest]:
    return read(rendered(overlay))


def write() -> Iterator[Path]:
    """Renders every overlay into its place."""
    RENDERED.mkdir(exist_ok=True)
    for overlay in OVERLAYS:
        place = RENDERED / f"{overlay}.yaml"
        head = f"# Made by `make manifests` from overlays/{overlay}.\n{MARK}{digest()}\n"
        place.write_text(head + render(K8S / "overlays" / overlay), "utf-8")
        yield place
