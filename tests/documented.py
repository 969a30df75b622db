"""The table of settings in the documents, written from the settings: `make settings`."""

import re
from pathlib import Path

from libs.common.settings import documented

ROOT = Path(__file__).parent.parent
DOCUMENTS = ("README.md", "docs/operate.md")
TABLE = re.compile(r"^\| variable \| default \| what it is \|\n(?:\|.*\n)+", re.M)


def rewritten(text: str) -> str:
    """The document with the table as it is now; a document without one is left as it is."""
    return TABLE.sub(lambda _: documented(), text)


if __name__ == "__main__":
    for name in DOCUMENTS:
        place = ROOT / name
        place.write_text(rewritten(place.read_text("utf-8")), "utf-8")
