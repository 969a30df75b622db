"""Opens a roster zip that nobody has to trust: every size is counted while it is read."""

import struct
import zlib
from collections.abc import Iterator
from io import BufferedReader, BytesIO
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from services.consent.roster.findings import Unusable

ZIP_BYTES_MAX = 64_000_000
FILES_MAX = 100
UNPACKED_BYTES_MAX = 512_000_000
"""Over all files that are read, by what comes out and not by what the zip declares."""
LINE_BYTES_MAX = 65_536
READ_BYTES = 65_536
ZIP = "zip"
"""How the report names the zip itself."""

ENTRY = b"PK\x01\x02"
ENCRYPTED = 0x1
DAMAGE = (
    BadZipFile, zlib.error, struct.error, EOFError, ValueError, OverflowError, RuntimeError,
)  # fmt: skip
"""What zipfile raises for bytes that are not as they should be (NotImplementedError included)."""
BOM = b"\xef\xbb\xbf"
OTHER_BOMS = (b"\xff\xfe", b"\xfe\xff")


class Archive:
    """The files of a zip, by their lower-case name without its folder."""

    def __init__(self, data: bytes) -> None:
        """Raises Unusable."""
        self._left = UNPACKED_BYTES_MAX
        self._zip = _opened(data)
        self._files = _named(self._zip.infolist())

    def __contains__(self, name: str) -> bool:
        return name in self._files

    def lines(self, name: str) -> Iterator[str]:
        """Text lines with their ends, streamed. Raises Unusable, also half way."""
        number = 0
        try:
            with self._zip.open(self._files[name]) as packed:
                file = BufferedReader(packed, READ_BYTES)  # type: ignore[type-var]  # a reader
                if file.peek(2).startswith(OTHER_BOMS):
                    raise Unusable(name, 1, "not-utf8")
                if file.peek(3).startswith(BOM):
                    file.read(len(BOM))
                while line := file.readline(LINE_BYTES_MAX):
                    number += 1
                    self._count(name, number, line)
                    yield line.decode()
        except UnicodeDecodeError:
            raise Unusable(name, number, "not-utf8") from None
        except DAMAGE:
            raise Unusable(name, number, "broken-zip") from None

    def _count(self, name: str, number: int, line: bytes) -> None:
        self._left -= len(line)
        if self._left < 0:
            raise Unusable(ZIP, 0, "too-large-unpacked")
        if len(line) == LINE_BYTES_MAX:
            raise Unusable(name, number, "line-too-long")


def _opened(data: bytes) -> ZipFile:
    if len(data) > ZIP_BYTES_MAX:
        raise Unusable(ZIP, 0, "zip-too-large")
    if data.count(ENTRY) > 2 * FILES_MAX:  # before zipfile builds an object for each entry
        raise Unusable(ZIP, 0, "too-many-files")
    try:
        return ZipFile(BytesIO(data))
    except DAMAGE:
        raise Unusable(ZIP, 0, "not-a-zip") from None


def _named(entries: list[ZipInfo]) -> dict[str, ZipInfo]:
    """One folder around the files is tolerated, and what packers leave behind is passed over."""
    found: dict[str, ZipInfo] = {}
    if len(entries) > FILES_MAX:
        raise Unusable(ZIP, 0, "too-many-files")
    for entry in entries:
        *folders, name = entry.filename.replace("\\", "/").lower().split("/")
        if not name.endswith(".csv") or name.startswith(".") or "__macosx" in folders:
            continue
        if entry.flag_bits & ENCRYPTED:
            raise Unusable(ZIP, 0, "encrypted")
        if entry.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
            raise Unusable(ZIP, 0, "unknown-compression")
        if name in found:
            raise Unusable(name, 0, "file-twice")
        found[name] = entry
    return found
