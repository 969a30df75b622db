"""Lines become rows of the wanted columns, whatever their order and whatever else is there."""

import csv
from _csv import Reader
from collections.abc import Iterator
from operator import itemgetter
from typing import NamedTuple

from services.consent.roster.archive import Archive
from services.consent.roster.findings import Findings, Unusable

ROWS_MAX = 2_000_000
"""Rows of one file at most."""
COLUMNS_MAX = 200


class Columns(NamedTuple):
    """What is wanted of a file. A column that is missing and not `required` reads as empty."""

    file: str
    names: tuple[str, ...]
    required: frozenset[str]


Row = tuple[int, tuple[str, ...]]
"""The line that a row ends at, and its fields in the order of `Columns`, stripped; no fields when
the row was unreadable (and has been reported)."""


def rows(
    archive: Archive, columns: Columns, findings: Findings, *, may_be_empty: bool = False
) -> Iterator[Row]:
    """Every row that is not blank. Raises Unusable."""
    file = columns.file
    reader = csv.reader(archive.lines(file), strict=True)
    header = next(_records(reader, findings, file), None)
    if header is None:
        findings.fatal(file, 0, "", "empty-file")
        return
    places = _places(header[1], columns, findings)
    if places is None:
        return
    pick, width, strip, count = itemgetter(*places), len(header[1]), str.strip, 0
    for line, fields in _records(reader, findings, file):
        count += 1
        if len(fields) == width:
            fields.append("")
            yield line, tuple(map(strip, pick(fields)))
            continue
        if fields:
            findings.error(file, line, "", "wrong-number-of-fields")
        yield line, ()
    if count == 0 and not may_be_empty:
        findings.fatal(file, 0, "", "no-rows")


def _records(reader: Reader, findings: Findings, file: str) -> Iterator[tuple[int, list[str]]]:
    """Every record that is not blank; one that is badly quoted is reported as no fields."""
    count = 0
    while True:
        try:
            for fields in reader:
                count += 1
                if count > ROWS_MAX:
                    raise Unusable(file, reader.line_num, "too-many-rows")
                if fields:
                    yield reader.line_num, fields
            return
        except csv.Error:
            findings.error(file, reader.line_num, "", "bad-quoting")
            yield reader.line_num, []


def _places(header: list[str], columns: Columns, findings: Findings) -> list[int] | None:
    """Where each wanted column stands; -1 is the empty field that every row gets at its end."""
    names = [name.strip().lower() for name in header]
    usable = len(names) <= COLUMNS_MAX
    if not usable:
        findings.fatal(columns.file, 1, "", "too-many-columns")
    places = []
    for name in columns.names:
        count = names.count(name.lower())
        if count > 1:
            findings.fatal(columns.file, 1, name, "column-twice")
            usable = False
        elif count == 0 and name in columns.required:
            findings.fatal(columns.file, 1, name, "missing-column")
            usable = False
        places.append(names.index(name.lower()) if count else -1)
    return places if usable else None
