"""How a Kafka cluster is reached: its brokers and, over TLS, who they are and who we are.

`kafka://one:9092,two:9092` is plaintext, for one machine. With `?tls=yes` the brokers must show a
certificate of the machine's authorities, or of those in the file `ca`; the files `certificate` and
`key` are ours, PEM, and both or none. Files are read for each new client, so a renewed certificate
is taken up by the next connection.
"""

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

from aiokafka.errors import KafkaError

TROUBLE = (KafkaError, TimeoutError, OSError, RuntimeError)
"""What a client of Kafka raises that passes by itself. RuntimeError: uvloop says it where something
is written on a connection that has been closed meanwhile."""
OPTIONS = frozenset({"tls", "ca", "certificate", "key"})


@dataclass(frozen=True)
class Reach:
    """What a Kafka client is told of its cluster; `files` by option."""

    servers: str
    tls: bool
    files: dict[str, Path]

    @classmethod
    def of(cls, url: str) -> Self:
        """Raises ValueError for an option that does not exist or lacks its companion, and for a
        password, which would be sent to nobody. Opens no file."""
        parts = urlsplit(url)
        said = dict(parse_qsl(parts.query, keep_blank_values=True))
        if unknown := said.keys() - OPTIONS:
            raise ValueError(f"a Kafka URL has no option {', '.join(sorted(unknown))}")
        if "@" in parts.netloc:
            raise ValueError("a Kafka URL carries no user: a client shows a certificate")
        tls = said.pop("tls", "no")
        if tls not in ("yes", "no"):
            raise ValueError("tls must be yes or no")
        if said and tls == "no":
            raise ValueError("certificates need tls=yes")
        if ("certificate" in said) != ("key" in said):
            raise ValueError("certificate and key go together")
        return cls(parts.netloc, tls == "yes", {name: Path(path) for name, path in said.items()})

    def options(self) -> dict[str, Any]:
        """Keyword arguments of every aiokafka client. Raises OSError when a file is not there or
        is no certificate."""
        if not self.tls:
            return {"bootstrap_servers": self.servers}
        context = ssl.create_default_context(cafile=self.files.get("ca"))
        if "certificate" in self.files:
            context.load_cert_chain(self.files["certificate"], self.files["key"])
        return {
            "bootstrap_servers": self.servers,
            "security_protocol": "SSL",
            "ssl_context": context,
        }
