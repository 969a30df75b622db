"""Renders the overlays anew: `make manifests`."""

from tests.deploy.reading import ROOT, write

for place in write():
    print(place.relative_to(ROOT))
