"""The decision tables are complete, and mypy says so: take a row out, and the table fails.

One row is taken out of every table at once (the first, the middle, the last), in a copy.
"""

import ast
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SECONDS_MAX = 300
TABLES_MIN = 75
"""So many there were when this was written: a rule of looking that finds fewer looks wrongly."""


def tables(tree: ast.Module) -> Iterator[tuple[ast.FunctionDef, ast.Match]]:
    """Functions that end in a `match` and give something back from each of its rows."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and isinstance(node.body[-1], ast.Match):
            yield node, node.body[-1]


def broken(path: Path, place: float) -> set[str]:
    """Takes a row out of every table of a file; returns `line` of each as mypy will name it."""
    tree = ast.parse(path.read_text())
    names = []
    for function, table in tables(tree):
        del table.cases[round(place * (len(table.cases) - 1))]
        names.append(function.name)
    path.write_text(text := ast.unparse(tree))
    defined = {n.name: n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.FunctionDef)}
    return {f"{defined[name].lineno}" for name in names}


def mypy(folder: Path, *deciders: Path) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--cache-dir", str(folder / "cache"), *map(str, deciders)],
        cwd=folder, capture_output=True, text=True, timeout=SECONDS_MAX, check=False,
    )  # fmt: skip
    return done.stdout.splitlines()


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for name in ("libs", "services"):
        shutil.copytree(ROOT / name, tmp_path / name)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


@pytest.mark.parametrize("place", [pytest.param(n / 2, id=w) for n, w in enumerate(
    ("first", "middle", "last"))])  # fmt: skip
def test_a_table_without_one_of_its_rows_does_not_pass(place: float, copy: Path) -> None:
    expected: set[str] = set()
    deciders = [path.relative_to(copy) for path in copy.glob("services/*/decider")]
    for path in sorted(copy.glob("services/*/decider/*.py")):
        name = path.relative_to(copy)
        expected |= {f"{name}:{line}" for line in broken(path, place)}
    found = {":".join(e.split(":")[:2]) for e in mypy(copy, *deciders) if "[return]" in e}
    assert sorted(expected - found) == []
    assert len(expected) >= TABLES_MIN


def test_the_whole_tables_pass(copy: Path) -> None:
    deciders = [path.relative_to(copy) for path in copy.glob("services/*/decider")]
    assert mypy(copy, *deciders)[-1].startswith("Success")
