"""The demo's district, made once: it is a value."""

import pytest

from demo import partners
from demo.asks import Ask
from demo.district import District, district
from demo.plan import plan
from libs.common.directory import Directory


@pytest.fixture(scope="session")
def boston() -> District:
    return district()


@pytest.fixture(scope="session")
def directory(boston: District) -> Directory:
    return partners.directory(boston.schools)


@pytest.fixture(scope="session")
def year(boston: District, directory: Directory) -> tuple[Ask, ...]:
    return plan(boston, directory)
