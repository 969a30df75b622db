"""What the figures were measured with: interpreter, versions, processor, memory, and how busy."""

import os
import platform
import sys
import sysconfig
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from bench.raw import sqlite_version

PACKAGES = (
    *("pydantic", "orjson", "cryptography", "fastapi", "uvicorn", "uvloop", "aiokafka"),
    *("pymongo", "eventsourcing", "eventsource-py"),
)
ABSENT = "not installed"


def measured_with() -> dict[str, str]:
    """Label -> value. Names the kind of machine, not the machine."""
    build = "with PGO" if _optimised() else "without PGO"
    found = {
        "interpreter": f"{platform.python_implementation()} {platform.python_version()}, {build}",
        "compiler": platform.python_compiler(),
        "SQLite": sqlite_version(),
        **{name: _version(name) for name in PACKAGES},
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "memory": f"{_memory_gibibytes():.0f} GiB",
    }
    return found | {"load at the start": load()}


def load() -> str:
    """How many wanted a processor in the last minute; above the number of cores, others disturb."""
    return f"{os.getloadavg()[0]:.1f}"


def is_busy() -> bool:
    return os.getloadavg()[0] > (os.cpu_count() or 1) / 2


def _optimised() -> bool:
    return "--enable-optimizations" in (sysconfig.get_config_var("CONFIG_ARGS") or "")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ABSENT


def _processor() -> str:
    about = Path("/proc/cpuinfo")
    lines = about.read_text().splitlines() if about.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or sys.platform


def _memory_gibibytes() -> float:
    pages: int = os.sysconf("SC_PHYS_PAGES")
    size: int = os.sysconf("SC_PAGE_SIZE")
    return pages * size / 1024**3
