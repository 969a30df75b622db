"""What a district applies to its cluster is whole, in form and in meaning, without a cluster."""

from pathlib import Path

import pytest

from tests.deploy.cluster import Cluster
from tests.deploy.links import LINKS
from tests.deploy.reading import (
    K8S,
    MARK,
    OVERLAYS,
    Doubled,
    digest,
    kustomize,
    manifests,
    read,
    render,
    rendered,
    sources,
)
from tests.deploy.rules import RULES
from tests.deploy.shapes import complaints


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_field_is_one_that_the_cluster_knows(overlay: str) -> None:
    found = [each for manifest in manifests(overlay) for each in complaints(manifest)]
    assert found == []


@pytest.mark.parametrize("overlay", OVERLAYS)
@pytest.mark.parametrize("name", sorted(RULES | LINKS))
def test_the_rules_hold(name: str, overlay: str) -> None:
    found = list((RULES | LINKS)[name](Cluster(manifests(overlay))))
    assert found == [], "\n" + "\n".join(found)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_what_was_rendered_is_of_these_sources(overlay: str) -> None:
    assert f"{MARK}{digest()}\n" in rendered(overlay), "run `make manifests`"


def test_every_overlay_is_looked_at() -> None:
    assert {path.name for path in (K8S / "overlays").iterdir()} == set(OVERLAYS)


@pytest.mark.skipif(kustomize() is None, reason="neither kubectl nor kustomize is here")
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_what_was_rendered_is_what_kustomize_makes(overlay: str) -> None:
    assert read(render(K8S / "overlays" / overlay)) == manifests(overlay)


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(K8S)))
def test_no_key_stands_twice(path: Path) -> None:
    read(path.read_text("utf-8"))


def test_a_key_that_stands_twice_is_refused() -> None:
    with pytest.raises(Doubled, match="line 3: name"):
        read("metadata:\n  name: one\n  name: two\n")
