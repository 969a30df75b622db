"""A secret that is kept in a file: made whole and once, however many processes start together."""

import os
from contextlib import suppress
from pathlib import Path


def make_once(path: Path, secret: bytes) -> None:
    """A 0600 file that holds `secret`, unless the file is there already: the first one is
    everybody's, so read it afterwards."""
    path.parent.mkdir(parents=True, exist_ok=True)
    making = path.with_name(f".{path.name}.{os.urandom(8).hex()}")
    made = os.open(making, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(made, "wb") as file:
        file.write(secret)
        file.flush()
        os.fsync(made)
    with suppress(FileExistsError):
        os.link(making, path)  # whole or not at all
    making.unlink()
