"""The manifests of one overlay as the rules look at them: by kind, by selector, by name."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.deploy.reading import Manifest

NAME = "app.kubernetes.io/name"
COMPONENT = "app.kubernetes.io/component"


@dataclass(frozen=True)
class Cluster:
    """What one overlay makes."""

    manifests: Sequence[Manifest]

    def kind(self, *kinds: str) -> Iterator[Manifest]:
        return (each for each in self.manifests if each["kind"] in kinds)

    def named(self, kind: str) -> set[str]:
        return {name(each) for each in self.kind(kind)}

    def pods(self) -> Iterator["Pods"]:
        for each in self.kind("Deployment", "StatefulSet", "Job", "DaemonSet"):
            yield Pods(each)


@dataclass(frozen=True)
class Pods:
    """A Deployment, seen as the pods that it makes."""

    manifest: Manifest

    @property
    def name(self) -> str:
        return name(self.manifest)

    @property
    def labels(self) -> dict[str, str]:
        found: dict[str, str] = self.manifest["spec"]["template"]["metadata"]["labels"]
        return found

    @property
    def spec(self) -> dict[str, Any]:
        found: dict[str, Any] = self.manifest["spec"]["template"]["spec"]
        return found

    @property
    def containers(self) -> list[dict[str, Any]]:
        return [*self.spec.get("initContainers", ()), *self.spec["containers"]]

    @property
    def embedded(self) -> bool:
        """It keeps its data on a volume of its own."""
        return any("persistentVolumeClaim" in volume for volume in self.spec.get("volumes", ()))

    def said(self) -> dict[str, Any]:
        """Every variable of its containers, by name: the whole entry."""
        return {one["name"]: one for each in self.containers for one in each.get("env", ())}


def name(manifest: Manifest) -> str:
    found: str = manifest["metadata"]["name"]
    return found


def selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """As Kubernetes reads a label selector; an empty one selects everything."""
    wanted: Mapping[str, str] = selector.get("matchLabels", {})
    if any(labels.get(key) != value for key, value in wanted.items()):
        return False
    for each in selector.get("matchExpressions", ()):
        assert each["operator"] == "In", "only `In` is used here"
        if labels.get(each["key"]) not in each["values"]:
            return False
    return True


def strings(value: Any) -> Iterator[str]:
    """Every text in a manifest."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from strings(each)
    elif isinstance(value, list):
        for each in value:
            yield from strings(each)
