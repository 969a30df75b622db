"""Everything that a deployment may change; the only reader of the environment."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self, get_type_hints
from urllib.parse import urlsplit

STORE_SCHEMES = ("sqlite", "mongodb")
BUS_SCHEMES = ("sqlite", "kafka")
WEB_SCHEMES = ("http", "https")
NAME = re.compile(r"[a-z][a-z0-9_-]{0,39}")


class BadSetting(Exception):
    """A setting makes no sense: its name and why. Never the value, it may hold a password."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(f"{name}: {why}")
        self.name, self.why = name, why


class Says(NamedTuple):
    """What a setting means; `default` as in the environment, `{data}` and `{port}` filled in."""

    default: str
    text: str


@dataclass(frozen=True)
class Settings:
    """One process's settings. A field's environment variable is its name in capitals."""

    service: str
    data_dir: Annotated[Path, Says("data", "Folder of all that the embedded engine keeps.")]
    store_url: Annotated[
        str,
        Says("sqlite://{data}", "The log: `sqlite://folder`, or `mongodb://hosts/?replicaSet=…`."),
    ]
    views_url: Annotated[str, Says("sqlite://{data}", "Read models and cursors; the same schemes.")]
    keys_url: Annotated[
        str, Says("sqlite://{data}", "Students' keys, one store a deployment; the same schemes.")
    ]
    bus_url: Annotated[
        str, Says("sqlite://{data}", "Distribution: `sqlite://folder`, or `kafka://hosts`.")
    ]
    kek_file: Annotated[
        Path, Says("secrets/kek", "The key-encryption key; never in DATA_DIR or its backups.")
    ]
    prefix: Annotated[str, Says("alliance", "Begins the names of databases and topics.")]
    directory_file: Annotated[
        Path, Says("directory.json", "Schools, agencies, terms and the school calendar.")
    ]
    oidc_issuer: Annotated[
        str,
        Says(
            "http://127.0.0.1:{port}/issuer", "The identity provider, as tokens name it in `iss`."
        ),
    ]
    allow_dev_issuer: Annotated[
        bool, Says("no", "`yes` allows the development issuer and a stepped clock; loopback only.")
    ]
    clock: Annotated[
        Literal["system", "stepped", "shifted"],
        Says("system", "`system`, `stepped` (by POST /clock) or `shifted` (by CLOCK_OFFSET)."),
    ]
    clock_start: Annotated[
        datetime, Says("2025-07-01T00:00:00Z", "Where a stepped clock over an empty log begins.")
    ]
    clock_offset: Annotated[timedelta, Says("0", "Seconds that a shifted clock is off.")]
    host: Annotated[str, Says("127.0.0.1", "Address to listen on.")]
    port: Annotated[int, Says("8000", "Port to listen on.")]
    reached_seconds: Annotated[
        int,
        Says("10", "So long a read waits for a position that it names; then it is 503 `behind`."),
    ]
    otlp_url: Annotated[
        str | None, Says("", "Where spans go, OTLP over HTTP; nowhere when it is empty.")
    ]
    otlp_metrics_url: Annotated[
        str | None, Says("", "Where figures go, OTLP over HTTP; nowhere when it is empty.")
    ]

    @classmethod
    def of(
        cls,
        service: str,
        environ: Mapping[str, str] = os.environ,
        defaults: Mapping[str, str] | None = None,
    ) -> Self:
        """`defaults` (by variable) are an entry point's own. Raises BadSetting; touches nothing."""
        given = {**(defaults or {}), **environ}
        words = {name: given.get(name.upper(), says.default) for name, says in SAYS.items()}
        data, port = words["data_dir"], words["port"]
        found = {
            name: _read(name, word.replace("{data}", data).replace("{port}", port))
            for name, word in words.items()
        }
        settings = cls(service=service, **found)
        settings._agree()
        return settings

    @property
    def relayed(self) -> bool:
        """Whether commits are sent on; an embedded log is read where it is written."""
        return urlsplit(self.bus_url).scheme != "sqlite"

    def _agree(self) -> None:
        """What one setting asks of another."""
        if self.clock == "stepped" and not self.allow_dev_issuer:
            raise BadSetting("CLOCK", "a stepped clock needs ALLOW_DEV_ISSUER=yes")
        if self.allow_dev_issuer and not _is_loopback(self.host):
            raise BadSetting("HOST", "with ALLOW_DEV_ISSUER=yes only a loopback address")
        if self.clock != "shifted" and self.clock_offset:
            raise BadSetting("CLOCK_OFFSET", "only a shifted clock has one")
        if self.kek_file.resolve().is_relative_to(self.data_dir.resolve()):
            raise BadSetting("KEK_FILE", "must not lie in DATA_DIR: a backup would carry both")


def documented() -> str:
    """The settings as a Markdown table, for the README."""
    rows = ["| variable | default | what it is |", "| --- | --- | --- |"]
    for name, says in SAYS.items():
        default = says.default.replace("{data}", "data").replace("{port}", "8000")
        shown = f"`{default}`" if default else ""
        rows.append(f"| `{name.upper()}` | {shown} | {says.text} |")
    return "\n".join(rows) + "\n"


SAYS: dict[str, Says] = {
    name: hint.__metadata__[0]
    for name, hint in get_type_hints(Settings, include_extras=True).items()
    if name != "service"
}


def _read(name: str, word: str) -> Any:
    """The value that a word in the environment stands for."""
    variable = name.upper()
    match name:
        case "store_url" | "views_url" | "keys_url":
            return _url(variable, word, STORE_SCHEMES)
        case "bus_url":
            return _url(variable, word, BUS_SCHEMES)
        case "oidc_issuer":
            return _url(variable, word, WEB_SCHEMES)
        case "otlp_url" | "otlp_metrics_url":
            return _url(variable, word, WEB_SCHEMES) if word else None
        case "data_dir" | "kek_file" | "directory_file":
            return Path(_filled(variable, word))
        case "allow_dev_issuer":
            return _one_of(variable, word, ("yes", "no")) == "yes"
        case "clock":
            return _one_of(variable, word, ("system", "stepped", "shifted"))
        case "clock_start":
            return _instant(variable, word)
        case "clock_offset":
            return timedelta(seconds=_number(variable, word, -4_000_000_000, 4_000_000_000))
        case "reached_seconds":
            return _number(variable, word, 0, 60)
        case "port":
            return _number(variable, word, 1, 65_535)
        case "prefix":
            return _name(variable, word)
        case _:
            return _filled(variable, word)


def _filled(variable: str, word: str) -> str:
    if not word.strip():
        raise BadSetting(variable, "is empty")
    return word


def _one_of(variable: str, word: str, words: tuple[str, ...]) -> str:
    if word not in words:
        raise BadSetting(variable, f"must be one of {', '.join(words)}")
    return word


def _number(variable: str, word: str, low: int, high: int) -> int:
    try:
        number = int(word)
    except ValueError:
        raise BadSetting(variable, "must be a whole number") from None
    if not low <= number <= high:
        raise BadSetting(variable, f"must lie between {low} and {high}")
    return number


def _instant(variable: str, word: str) -> datetime:
    try:
        found = datetime.fromisoformat(word)
    except ValueError:
        raise BadSetting(variable, "must be a time, ISO 8601") from None
    if found.tzinfo is None:
        raise BadSetting(variable, "needs its offset from UTC")
    return found


def _name(variable: str, word: str) -> str:
    """Safe in a database's and in a topic's name."""
    if not NAME.fullmatch(word):
        raise BadSetting(variable, "must be a lower-case letter and up to 39 of a-z, 0-9, - and _")
    return word


def _url(variable: str, word: str, schemes: tuple[str, ...]) -> str:
    try:
        parts = urlsplit(word)
    except ValueError:
        raise BadSetting(variable, "is no URL") from None
    if parts.scheme not in schemes or not (parts.netloc or parts.path):
        raise BadSetting(variable, f"must be a URL that begins with {' or '.join(schemes)}")
    return word


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
