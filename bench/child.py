"""One contender, once, in a process of its own: `python -m bench.child MODULE:FUNCTION …`.

Prints one line of JSON, Measured. What the contender needs (a folder, a log, an engine) is given by
the driver, `python -m bench`.
"""

import argparse
import sys
from collections.abc import Awaitable, Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import orjson

from bench.figures import Figures, Measured
from libs.common.tasks import run, settle


def main() -> int:
    parser = argparse.ArgumentParser(description="One contender of the bench, once.")
    parser.add_argument("call", help="module:function")
    parser.add_argument("--size", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True, help="where it may write")
    parser.add_argument("--options", default="{}", help="further arguments, as JSON")
    parser.add_argument("--log", type=Path, help="a log of that size, not to be changed")
    asked = parser.parse_args()
    options = orjson.loads(asked.options)
    if asked.log is not None:
        options["log"] = asked.log
    asked.folder.mkdir(parents=True, exist_ok=True)
    run(_measure(asked.call, asked.folder, asked.size, options))
    return 0


async def _measure(call: str, folder: Path, size: int, options: dict[str, Any]) -> None:
    """Every contender gets the event loop and the settings of a service."""
    module, _, name = call.partition(":")
    work: Callable[..., Awaitable[Figures | Measured]] = getattr(import_module(module), name)
    settle()
    found = await work(folder, size, **options)
    measured = found if isinstance(found, Measured) else Measured(found, {})
    sys.stdout.write(f"{orjson.dumps(measured._asdict()).decode()}\n")


if __name__ == "__main__":
    sys.exit(main())
