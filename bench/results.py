"""What a question's rounds have given: a JSON file each, from which the page is written."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

import orjson

Series = dict[str, list[float]]


@dataclass(frozen=True)
class Result:
    """`rounds`: contender -> figures. `skipped` and `failed`: contender -> why. `series`: the last
    ones of a contender."""

    question: str
    quick: bool
    at: str
    measured_with: Mapping[str, str]
    sizes: Mapping[str, int]
    rounds: list[dict[str, dict[str, float]]] = field(default_factory=list)
    series: dict[str, Series] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        words = orjson.dumps(asdict(self), option=orjson.OPT_INDENT_2)
        (folder / f"{self.question}.json").write_bytes(words + b"\n")

    @classmethod
    def of(cls, words: Any) -> Self:
        return cls(**words)


def read(folder: Path) -> dict[str, Result]:
    """Every question that was ever measured there."""
    found = [Result.of(orjson.loads(file.read_bytes())) for file in sorted(folder.glob("*.json"))]
    return {result.question: result for result in found}
