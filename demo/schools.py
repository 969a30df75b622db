"""The district's schools: 127 real buildings of Boston, and how large each is in the demo.

The rule: the private schools of the file (ids from 8000) are left out, and schools that share one
address count once, by their first row.
"""

import csv
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from random import Random
from typing import NamedTuple

FILE = Path(__file__).parent / "data" / "boston-schools.tsv"
PRIVATE_FROM = "8"
SIZE_SPREAD = (0.7, 1.3)


class Level(StrEnum):
    EARLY = "early"
    ELEMENTARY = "elementary"
    WHOLE = "K-8"
    MIDDLE = "middle"
    HIGH = "high"


GRADES = {
    Level.EARLY: ("PK", "KG", "01"),
    Level.ELEMENTARY: ("KG", "01", "02", "03", "04", "05"),
    Level.WHOLE: ("KG", "01", "02", "03", "04", "05", "06", "07", "08"),
    Level.MIDDLE: ("06", "07", "08"),
    Level.HIGH: ("09", "10", "11", "12"),
}
SIZES = {
    Level.EARLY: 180,
    Level.ELEMENTARY: 380,
    Level.WHOLE: 560,
    Level.MIDDLE: 420,
    Level.HIGH: 800,
}


class School(NamedTuple):
    """`source` is its sourcedId in the roster; its reference is `sch_` + source."""

    source: str
    name: str
    level: Level

    @property
    def ref(self) -> str:
        return f"sch_{self.source}"


def schools(file: Path = FILE) -> tuple[School, ...]:
    with file.open(newline="", encoding="utf-8") as lines:
        return tuple(_chosen(csv.DictReader(lines, delimiter="\t")))


def _chosen(rows: Iterable[dict[str, str]]) -> Iterable[School]:
    addresses: set[tuple[str, str]] = set()
    for row in rows:
        address = (row["address"], row["zip"])
        if row["id"].startswith(PRIVATE_FROM) or address in addresses:
            continue
        addresses.add(address)
        name = row["name"].strip()
        source = row["id"] if row["id"].isdigit() else name.lower().replace(" ", "-")
        yield School(source, name, _level(source, name))


def _level(source: str, name: str) -> Level:
    """Boston numbers its high schools from 1000, its middle schools from 2000."""
    if source.startswith("1") or " HS" in name or name.endswith("9-12"):
        return Level.HIGH
    if source.startswith("2") or " MS" in name:
        return Level.MIDDLE
    if name.endswith(("EEC", "ELC", "EES", "K-2", "K-3")):
        return Level.EARLY
    return Level.WHOLE if "K-8" in name or source.startswith("5") else Level.ELEMENTARY


def seats(all_schools: tuple[School, ...], students: int, chance: Random) -> dict[str, int]:
    """How many students each school has; exactly `students` in all."""
    wanted = [SIZES[school.level] * chance.uniform(*SIZE_SPREAD) for school in all_schools]
    scale = students / sum(wanted)
    counts = [int(size * scale) for size in wanted]
    for place in range(students - sum(counts)):
        counts[place % len(counts)] += 1
    return {school.source: count for school, count in zip(all_schools, counts, strict=True)}
