"""Tests marked `engines` run when `ALLIANCE_ENGINES` asks; the last line says what was missing.

A test that wants a real engine takes its address from one of the two fixtures below.
"""

import pytest

from tests import engines
from tests.deploy.reading import kustomize


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if engines.asked():
        return
    dropped = [item for item in items if item.get_closest_marker("engines")]
    if dropped:
        config.hook.pytest_deselected(items=dropped)
        items[:] = [item for item in items if not item.get_closest_marker("engines")]


def pytest_sessionstart() -> None:
    missing = engines.missing()
    if engines.required() and missing:
        raise pytest.UsageError(f"engines required, but not found: {', '.join(missing)}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    missing = ", ".join(engines.missing()) or "none"
    ran = "SQLite and what was found" if engines.asked() else "SQLite only"
    terminalreporter.write_line(f"engines: ran on {ran}; not found: {missing}")
    if kustomize() is None:
        terminalreporter.write_line("manifests: no kubectl or kustomize to render them with")


def pytest_unconfigure() -> None:
    engines.stop()


@pytest.fixture(scope="session")
def kafka() -> str:
    """The address of a real Kafka."""
    url = engines.kafka_url()
    if url is None:
        pytest.skip("no Kafka found: `make test-engines` fetches it")
    return url


@pytest.fixture(scope="session")
def mongo() -> str:
    """The address of a real MongoDB, or of a server that speaks its protocol."""
    url = engines.mongo_url()
    if url is None:
        pytest.skip("no MongoDB-compatible server found: `make test-engines` builds it")
    return url
