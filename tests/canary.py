"""The scanner: does any file of a folder hold planted personal values, in any of their disguises?

A canary is a value that stands nowhere but in one synthetic person's record. It is looked for as it
is and in lower and upper case, in base64 (at each of the three offsets, plain and URL-safe), in
hex, URL-quoted, JSON-escaped and in UTF-16; in the bytes of each file and of every gzip or zlib
stream and every zip member within it.

Known limits: a value that a storage engine splits over two pages, or compresses with a codec that
the standard library has not (snappy, zstd, lz4), is not seen: switch compression off to scan.
"""

import gzip
import io
import json
import zipfile
import zlib
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, quote_plus

CANARY_CHARS_MIN = 8
"""Shorter values stand in many files by chance."""
FILE_BYTES_MAX = 1 << 31
UNPACKED_BYTES_MAX = 1 << 28
DEPTH_MAX = 3
ZEROS_KEPT = 8
LEAKS_SHOWN = 10
CHUNK_BYTES = 512
"""A broken stream is read up to the chunk that breaks it."""
EITHER_HEADER = zlib.MAX_WBITS | 32
"""gzip or zlib, by the stream's own first bytes."""
GZIP, ZIP = b"\x1f\x8b\x08", b"PK\x03\x04"
ZLIB = (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda")


CANARIES = {
    "given": "Quillabetha",
    "family": "Zweispringer",
    "birth": "2012-02-29",
    "mother": "Ottolinde",
    "phone": "+1-617-555-0199",
    "words": "He threw the blue chair in the music room on Tuesday",
    "evidence": "Three written observations by Ms. Quark in October",
    "letter": "The family prefers calls after six in the evening",
}
"""What the suites that ask over HTTP say of their people: words for sealed fields alone."""


class Leak(NamedTuple):
    """Where a canary was found, and in which disguise."""

    place: str
    canary: str
    disguise: str


class Leaked(AssertionError):
    """Personal values lie where none may lie; says where, not what."""


def scan(folder: Path, canaries: Collection[str]) -> list[Leak]:
    """Every leak in the files below a folder, names of files included."""
    shapes = disguises(canaries)
    leaks: list[Leak] = []
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        leaks += find(f"name of {name}", name.encode(), shapes)
        if path.is_file() and not path.is_symlink():
            if path.stat().st_size > FILE_BYTES_MAX:
                raise ValueError(f"{name} is too large to scan")
            leaks += find(name, trimmed(path.read_bytes()), shapes)
    return leaks


def trimmed(content: bytes) -> bytes:
    """Without the zeros that a file was made long with beforehand: Kafka's and the store's are, by
    hundreds of megabytes. A few stay, for text in UTF-16 ends with one."""
    kept = len(content.rstrip(b"\0")) + ZEROS_KEPT
    return content[:kept]


def clean(folder: Path) -> None:
    """Raises Leaked when any of the suites' own canaries is found below a folder."""
    leaks = scan(folder, [word for word in CANARIES.values() if len(word) >= CANARY_CHARS_MIN])
    if leaks:
        raise Leaked("; ".join(f"{leak.disguise} in {leak.place}" for leak in leaks[:LEAKS_SHOWN]))


def find(place: str, content: bytes, shapes: Mapping[bytes, tuple[str, str]]) -> Iterator[Leak]:
    """Leaks in these bytes, and in whatever is packed within them."""
    for layer, unpacked in layers(place, content):
        for shape, (canary, disguise) in shapes.items():
            if shape in unpacked:
                yield Leak(layer, canary, disguise)


def disguises(canaries: Collection[str]) -> dict[bytes, tuple[str, str]]:
    """Bytes to look for -> (canary, disguise)."""
    found: dict[bytes, tuple[str, str]] = {}
    for canary in canaries:
        if len(canary) < CANARY_CHARS_MIN:
            raise ValueError("a canary is too short to be told from chance")
        for text in (canary, canary.lower(), canary.upper()):
            for disguise, shape in _shapes(text):
                found.setdefault(shape, (canary, disguise))
    return found


def _shapes(text: str) -> Iterator[tuple[str, bytes]]:
    raw = text.encode()
    yield "raw", raw
    yield "hex", raw.hex().encode()
    yield "hex", raw.hex().upper().encode()
    yield "url", quote(text, safe="").encode()
    yield "url", quote_plus(text).encode()
    yield "url", quote(text, safe="").lower().encode()
    yield "json", json.dumps(text)[1:-1].encode()
    yield "json", "".join(f"\\u{unit:04x}" for unit in _units(text)).encode()
    yield "utf-16", text.encode("utf-16-le")
    yield "utf-16", text.encode("utf-16-be")
    for offset in range(3):
        yield "base64", _aligned(b64encode(b"\0" * offset + raw), offset, len(raw))
        yield "base64", _aligned(urlsafe_b64encode(b"\0" * offset + raw), offset, len(raw))


def _units(text: str) -> Iterator[int]:
    raw = text.encode("utf-16-be")
    return (int.from_bytes(raw[n : n + 2], "big") for n in range(0, len(raw), 2))


def _aligned(encoded: bytes, offset: int, length: int) -> bytes:
    """Only the characters that depend on nothing but the canary: its neighbours are unknown."""
    return encoded[-(-offset * 8 // 6) : (offset + length) * 8 // 6]


def layers(place: str, content: bytes, depth: int = 0) -> Iterator[tuple[str, bytes]]:
    """The bytes themselves, then what every packed stream in them unpacks to."""
    yield place, content
    if depth == DEPTH_MAX:
        return
    for kind, unpacked in (*_streams(content), *_members(content)):
        yield from layers(f"{place} > {kind}", unpacked, depth + 1)


def _streams(content: bytes) -> Iterator[tuple[str, bytes]]:
    for magic in (GZIP, *ZLIB):
        start = content.find(magic)
        while start != -1:
            unpacked = _inflated(memoryview(content)[start:])
            if unpacked:
                yield "gzip" if magic == GZIP else "zlib", unpacked
            start = content.find(magic, start + 1)


def _inflated(packed: memoryview) -> bytes:
    """As much as can be unpacked: what is cut short may hold a canary all the same."""
    stream = zlib.decompressobj(EITHER_HEADER)
    unpacked = bytearray()
    try:
        for start in range(0, len(packed), CHUNK_BYTES):
            unpacked += stream.decompress(packed[start : start + CHUNK_BYTES])
            if stream.eof or len(unpacked) > UNPACKED_BYTES_MAX:
                break
    except zlib.error:
        pass
    return bytes(unpacked)


def _members(content: bytes) -> Iterator[tuple[str, bytes]]:
    if ZIP not in content:
        return
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for info in archive.infolist():
                if info.file_size <= UNPACKED_BYTES_MAX:
                    yield f"zip {info.filename}", archive.read(info)
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError, zlib.error):
        return


def planted(canary: str) -> dict[str, bytes]:
    """One leak of each kind, for the scanner's own test and for tests that trust it."""
    raw = canary.encode()
    return {
        "raw": b"name=" + raw + b";",
        "lower": b"name=" + canary.lower().encode(),
        "upper": b"name=" + canary.upper().encode(),
        "base64 at 0": b64encode(raw + b"!!"),
        "base64 at 1": b64encode(b"x" + raw + b"!"),
        "base64 at 2": b64encode(b"xy" + raw + b"!?"),
        "base64 url-safe": urlsafe_b64encode(b'{"name":"' + raw + b'"}'),
        "hex": b"0x" + raw.hex().encode(),
        "hex upper": raw.hex().upper().encode(),
        "url": b"GET /search?q=" + quote(canary).encode(),
        "url plus": b"q=" + quote_plus(canary).encode(),
        "json": json.dumps({"name": canary}).encode(),
        "json escaped": b'"' + b"".join(b"\\u%04x" % unit for unit in _units(canary)) + b'"',
        "utf-16 little": canary.encode("utf-16-le"),
        "utf-16 big": canary.encode("utf-16-be"),
        "gzip": b"head" + gzip.compress(b"a record of " + raw),
        "zlib": b"page" + zlib.compress(b"a record of " + raw),
        "base64 in gzip": gzip.compress(b64encode(b"abc" + raw)),
    }
