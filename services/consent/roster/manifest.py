"""What a roster zip says it holds: its version, its mode, and which files are there."""

from typing import NamedTuple

from services.consent.roster.archive import Archive
from services.consent.roster.findings import Findings
from services.consent.roster.table import Columns, rows

MANIFEST = Columns("manifest.csv", ("propertyName", "value"), frozenset({"propertyName", "value"}))
NEEDED = {
    "1.1": ("orgs.csv", "users.csv"),
    "1.2": ("orgs.csv", "users.csv", "roles.csv"),
}
OPTIONAL = ("demographics.csv",)
"""Files that are read when they are there; every other file is left alone."""


OF_PEOPLE = ("users.csv", "roles.csv", "demographics.csv")
"""All of these are bulk, or all delta: a mixture cannot say what absence means."""
BULK, DELTA, ABSENT = "bulk", "delta", "absent"


class Manifest(NamedTuple):
    """`files` are those to read. A delta holds changed rows only."""

    version: str
    files: frozenset[str]
    delta: bool = False


class _Said(NamedTuple):
    line: int
    mode: str


def manifest(archive: Archive, findings: Findings) -> Manifest | None:
    """None when this is no zip of a known version and mode (and that has been reported)."""
    if MANIFEST.file not in archive:
        findings.fatal(MANIFEST.file, 0, "", "missing-file")
        return None
    said = {row[0].lower(): _Said(line, row[1].lower()) for line, row in _pairs(archive, findings)}
    line, version = said.get("oneroster.version", _Said(0, ""))
    if version not in NEEDED:
        findings.fatal(MANIFEST.file, line, "value", "unknown-version")
        return None
    modes = {file: _mode(file, said, archive) for file in NEEDED[version] + OPTIONAL}
    delta = any(modes[file].mode == DELTA for file in OF_PEOPLE if file in modes)
    sound = {file: _sound(file, modes[file], delta, version, archive, findings) for file in modes}
    if not all(sound[file] for file in (modes if delta else NEEDED[version])):
        return None
    there = (file for file in modes if sound[file] and modes[file].mode != ABSENT)
    # what a delta says of organisations is left alone: the directory names the schools
    files = frozenset(file for file in there if file in OF_PEOPLE or not delta)
    return Manifest(version, files, delta)


def _pairs(archive: Archive, findings: Findings) -> list[tuple[int, tuple[str, ...]]]:
    return [(line, row) for line, row in rows(archive, MANIFEST, findings) if row]


def _mode(file: str, said: dict[str, _Said], archive: Archive) -> _Said:
    """A file that the manifest does not name is bulk when it is there."""
    unnamed = _Said(0, BULK if file in archive else ABSENT)
    return said.get(f"file.{file.removesuffix('.csv')}", unnamed)


def _sound(
    file: str, said: _Said, delta: bool, version: str, archive: Archive, findings: Findings
) -> bool:
    mixed = said.mode == (BULK if delta else DELTA) and (file in OF_PEOPLE or not delta)
    needed = not delta and file in NEEDED[version]
    if said.mode not in (BULK, DELTA, ABSENT):
        findings.fatal(MANIFEST.file, said.line, "value", "unknown-mode")
    elif mixed:
        findings.fatal(MANIFEST.file, said.line, "value", "mixed-modes")
    elif (said.mode != ABSENT and file not in archive) or (said.mode == ABSENT and needed):
        findings.fatal(file, 0, "", "missing-file")
    else:
        return True
    return False
