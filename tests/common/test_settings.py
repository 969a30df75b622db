"""What an operator may rely on: working defaults, nonsense refused by name and never shown."""

from datetime import timedelta
from pathlib import Path

import pytest

from libs.common.settings import SAYS, BadSetting, Settings, documented


def test_without_an_environment_everything_lies_in_one_folder() -> None:
    settings = Settings.of("consent", {})
    assert settings.data_dir == Path("data")
    urls = {settings.store_url, settings.views_url, settings.keys_url, settings.bus_url}
    assert urls == {"sqlite://data"}
    assert not settings.allow_dev_issuer
    assert settings.clock == "system"


def test_the_folder_may_lie_elsewhere() -> None:
    settings = Settings.of("consent", {"DATA_DIR": "/srv/data"})
    assert settings.store_url == "sqlite:///srv/data"


def test_an_entry_point_has_defaults_of_its_own_and_the_environment_wins() -> None:
    defaults = {"ALLOW_DEV_ISSUER": "yes", "PORT": "8001"}
    settings = Settings.of("all", {"PORT": "8002"}, defaults)
    assert settings.allow_dev_issuer
    assert settings.port == 8002


def test_the_real_engines_are_two_urls() -> None:
    mongo = "mongodb://one,two/?replicaSet=rs0"
    given = {"STORE_URL": mongo, "BUS_URL": "kafka://one:9092,two:9092"}
    settings = Settings.of("consent", given)
    assert settings.store_url == mongo
    assert settings.bus_url == "kafka://one:9092,two:9092"


def test_a_shifted_clock_has_an_offset() -> None:
    settings = Settings.of("consent", {"CLOCK": "shifted", "CLOCK_OFFSET": "-86400"})
    assert settings.clock_offset == timedelta(days=-1)


@pytest.mark.parametrize(
    ("environ", "name"),
    [
        ({"STORE_URL": "postgres://secret@host"}, "STORE_URL"),
        ({"STORE_URL": "secret"}, "STORE_URL"),
        ({"BUS_URL": "mongodb://secret"}, "BUS_URL"),
        ({"OIDC_ISSUER": "secret"}, "OIDC_ISSUER"),
        ({"OTLP_URL": "secret"}, "OTLP_URL"),
        ({"PORT": "secret"}, "PORT"),
        ({"PORT": "0"}, "PORT"),
        ({"PREFIX": "Secret!"}, "PREFIX"),
        ({"DATA_DIR": " "}, "DATA_DIR"),
        ({"CLOCK": "secret"}, "CLOCK"),
        ({"CLOCK": "stepped"}, "CLOCK"),
        ({"CLOCK_OFFSET": "60"}, "CLOCK_OFFSET"),
        ({"ALLOW_DEV_ISSUER": "secret"}, "ALLOW_DEV_ISSUER"),
        ({"ALLOW_DEV_ISSUER": "yes", "HOST": "0.0.0.0"}, "HOST"),
        ({"KEK_FILE": "data/secret"}, "KEK_FILE"),
    ],
    ids=str,
)
def test_nonsense_is_refused_by_name_and_never_shown(environ: dict[str, str], name: str) -> None:
    with pytest.raises(BadSetting) as refused:
        Settings.of("consent", environ)
    assert refused.value.name == name
    assert "secret" not in str(refused.value).lower()


def test_every_setting_is_documented() -> None:
    table = documented()
    for name, says in SAYS.items():
        assert f"| `{name.upper()}` |" in table
        assert says.text.endswith(".")
