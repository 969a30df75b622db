"""`make contracts`: writes what contracts gained; refuses, writing nothing, if one shrank."""

import sys

from tests.contracts import HERE, Shrunk, grown, services, written

try:
    contracts = {name: written(grown(name)) for name in services()}
except Shrunk as lost:
    sys.exit(f"A contract may grow, never shrink:\n{lost}")
for name, contract in contracts.items():
    (HERE / f"{name}.json").write_bytes(contract)
