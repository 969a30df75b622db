"""What a roster zip says it holds: its version, and which files are there as bulk."""

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


class Manifest(NamedTuple):
    version: str
    files: frozenset[str]
    """Those to read."""


def manifest(archive: Archive, findings: Findings) -> Manifest | None:
    """None when this is no bulk zip of a known version (and that has been reported)."""
    if MANIFEST.file not in archive:
        findings.fatal(MANIFEST.file, 0, "", "missing-file")
        return None
    said = {row[0].lower(): (line, row[1].lower()) for line, row in _pairs(archive, findings)}
    line, version = said.get("oneroster.version", (0, ""))
    if version not in NEEDED:
        findings.fatal(MANIFEST.file, line, "value", "unknown-version")
        return None
    present = [
        file
        for file in NEEDED[version] + OPTIONAL
        if _to_read(file, file in NEEDED[version], said, archive, findings)
    ]
    if not set(NEEDED[version]) <= set(present):
        return None
    return Manifest(version, frozenset(present))


def _pairs(archive: Archive, findings: Findings) -> list[tuple[int, tuple[str, ...]]]:
    return [(line, row) for line, row in rows(archive, MANIFEST, findings) if row]


def _to_read(
    file: str,
    needed: bool,
    said: dict[str, tuple[int, str]],
    archive: Archive,
    findings: Findings,
) -> bool:
    """A file that the manifest does not name is read when it is there."""
    there = file in archive
    line, mode = said.get(f"file.{file.removesuffix('.csv')}", (0, "bulk" if there else "absent"))
    if mode == "delta":
        findings.fatal(MANIFEST.file, line, "value", "delta-not-supported")
    elif mode not in ("bulk", "absent"):
        findings.fatal(MANIFEST.file, line, "value", "unknown-mode")
    elif (mode == "bulk" and not there) or (mode == "absent" and needed):
        findings.fatal(file, 0, "", "missing-file")
    return mode == "bulk" and there
