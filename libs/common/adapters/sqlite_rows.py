"""Many rows in one statement: the interpreter changes hands once for all of them.

A thread that steps from row to row lets go of the interpreter at each step, and where another
thread is busy it waits up to the switch interval to have it back.
"""

import sqlite3
from collections.abc import Sequence
from functools import lru_cache

ROWS_MAX = 512
"""Rows of one statement at most."""
STATEMENTS_MAX = 1_024


def execute_many(
    connection: sqlite3.Connection, statement: str, columns: int, values: Sequence[object]
) -> int:
    """Executes a statement that takes its rows FROM {rows}, in order, as column1, column2 and so
    on; returns how many rows it changed. `values` are those of all rows, one row after the other;
    column1 is never null."""
    before = connection.total_changes
    step = columns * ROWS_MAX
    for start in range(0, len(values), step):
        some = values[start : start + step]
        count = len(some) // columns
        size = 1 << (count - 1).bit_length()
        unused = [None] * (columns * (size - count))
        connection.execute(_spelt(statement, columns, size), [*some, *unused])
    return connection.total_changes - before


@lru_cache(STATEMENTS_MAX)
def _spelt(statement: str, columns: int, size: int) -> str:
    """Few sizes, so that few statements are prepared; places that are left over hold nothing."""
    row = f"({','.join('?' * columns)})"
    rows = f"(VALUES {','.join([row] * size)}) WHERE column1 IS NOT NULL"
    return statement.replace("{rows}", rows)
