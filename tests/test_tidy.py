"""The house rules hold over the whole tree, and each rule is shown to fail when it is broken."""

import subprocess
from pathlib import Path

import pytest

from tests.tidy import FUNCTION_LINES_MAX, LINES_MAX, RULES, Source, Tree, read_tree

ROOT = Path(__file__).parent.parent
TEXT = {".py", ".md", ".toml", ".txt", ".yml", ".yaml", ".sh", ".xml", ".properties", ".json", ""}
SKIPPED = {"LICENSE"}
DECIDER = "services/consent/decider.py"
HEAD = '"""What it is for."""\n'


def tracked() -> list[str]:
    """What git would keep: tracked files and new ones that are not ignored."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, check=False, text=True,
    )  # fmt: skip
    if listed.returncode == 0:
        return [name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]
    places = [*ROOT.glob("*"), *(p for d in ROOT.glob("[a-z]*") for p in d.rglob("*"))]
    return [str(path.relative_to(ROOT)) for path in places if path.is_file()]


@pytest.fixture(scope="module")
def tree() -> Tree:
    names = [n for n in tracked() if Path(n).suffix in TEXT and Path(n).name not in SKIPPED]
    return read_tree(ROOT, [name for name in names if not name.startswith(("data/", "demo/data/"))])


@pytest.mark.parametrize("name", sorted(RULES))
def test_the_house_is_tidy(name: str, tree: Tree) -> None:
    complaints = list(RULES[name](tree))
    assert not complaints, "\n" + "\n".join(complaints)


BROKEN: list[tuple[str, dict[str, str]]] = [
    ("common_knows_no_service", {"libs/common/x.py": "from services.consent import events\n"}),
    ("common_knows_no_service", {"libs/common/x.py": "import demo.play\n"}),
    (
        "neighbours_meet_in_events_only",
        {
            "services/referrals/api.py": "from services.consent import decider\n",
            DECIDER: "",
        },
    ),
    (
        "neighbours_meet_in_events_only",
        {"services/referrals/events.py": "from services.consent.events import ConsentGranted\n"},
    ),
    ("pure_rooms_import_little", {DECIDER: "import json\n"}),
    ("pure_rooms_import_little", {"services/consent/views.py": "import libs.common.timers\n"}),
    ("pure_rooms_import_little", {"services/consent/decider/grants.py": "from os import path\n"}),
    (
        "pure_rooms_import_little",
        {DECIDER: "from services.consent.api import routes\n", "services/consent/api.py": ""},
    ),
    ("pure_rooms_take_time_and_chance_as_arguments", {DECIDER: "AT = datetime.now(UTC)\n"}),
    ("pure_rooms_take_time_and_chance_as_arguments", {DECIDER: "AT = date.today()\n"}),
    ("pure_rooms_take_time_and_chance_as_arguments", {DECIDER: "ID = uuid4()\n"}),
    ("pure_rooms_take_time_and_chance_as_arguments", {DECIDER: "share: float\n"}),
    ("pure_rooms_take_time_and_chance_as_arguments", {DECIDER: "share = 0.5\n"}),
    ("pure_rooms_take_time_and_chance_as_arguments", {DECIDER: "async def decide(): ...\n"}),
    (
        "tables_have_no_default_row",
        {DECIDER: "match state:\n    case Open():\n        pass\n    case _:\n        pass\n"},
    ),
    ("rooms_are_the_same_everywhere", {"services/consent/rules.py": ""}),
    ("rooms_are_the_same_everywhere", {"services/referrals/roster/read.py": ""}),
    (
        "imports_have_no_cycles",
        {
            "libs/a.py": "import libs.b\n",
            "libs/b.py": "from libs import c\n",
            "libs/c.py": "from libs.a import thing\n",
        },
    ),
    ("each_driver_has_one_door", {"libs/common/relay.py": "import aiokafka\n"}),
    ("each_driver_has_one_door", {"services/consent/main.py": "from motor import motor_asyncio\n"}),
    ("each_driver_has_one_door", {"libs/common/adapters/kafka.py": "import sqlite3\n"}),
    ("each_driver_has_one_door", {"bench/ours.py": "import sqlite3\n"}),
    ("each_driver_has_one_door", {"demo/play.py": "from opentelemetry import trace\n"}),
    ("only_settings_read_the_environment", {"libs/common/clock.py": "X = os.environ['X']\n"}),
    ("only_settings_read_the_environment", {"demo/play.py": "from os import getenv\n"}),
    ("files_and_functions_stay_small", {"libs/x.py": "\n" * (LINES_MAX + 1)}),
    ("files_and_functions_stay_small", {"libs/x.py": f"X = '{'x' * 100}'\n"}),
    (
        "files_and_functions_stay_small",
        {"libs/x.py": "def f():\n" + "    pass\n" * FUNCTION_LINES_MAX},
    ),
    ("first_line_says_what_the_file_is_for", {"libs/x.py": "import re\n"}),
    ("first_line_says_what_the_file_is_for", {"libs/x.py": '"""\nToo late.\n"""\n'}),
    ("first_line_says_what_the_file_is_for", {"libs/x.py": ""}),
    ("nothing_prints", {"services/consent/api.py": "print('x')\n"}),
    ("nothing_is_left_unfinished", {"README.md": "TO" + "DO: say more\n"}),
    ("every_ignore_has_code_and_reason", {"libs/x.py": "x = 1  # type: ignore\n"}),
    ("every_ignore_has_code_and_reason", {"libs/x.py": "x = 1  # type: ignore[misc]\n"}),
    ("every_ignore_has_code_and_reason", {"libs/x.py": "x = 1  # noqa\n"}),
    ("every_ignore_has_code_and_reason", {"libs/x.py": "x = 1  # noqa: S101\n"}),
    ("limits_have_names", {"libs/x.py": "read(limit=500)\n"}),
    ("limits_have_names", {"libs/x.py": "asyncio.timeout(2.5)\n"}),
    ("tests_do_not_sleep_and_hope", {"tests/x.py": "time.sleep(0.2)\n"}),
    ("tests_do_not_sleep_and_hope", {"tests/x.py": "await asyncio.sleep(PAUSE_SECONDS)\n"}),
    ("nothing_is_mocked_or_skipped_silently", {"tests/x.py": "from unittest.mock import Mock\n"}),
    ("nothing_is_mocked_or_skipped_silently", {"tests/x.py": "pytest.mark.skipif(True)\n"}),
    ("nothing_is_mocked_or_skipped_silently", {"tests/x.py": "pytest.mark.xfail(reason='x')\n"}),
    ("names_say_something", {"libs/x.py": "class ConsentManager: ...\n"}),
    ("names_say_something", {"libs/utils.py": ""}),
    ("imports_are_whole", {"libs/x.py": "from .y import z\n"}),
    ("imports_are_whole", {"libs/x.py": "from libs.y import *\n"}),
    ("imports_are_whole", {"libs/x.py": "__all__ = ['x']\n"}),
    ("no_machine_is_named", {"README.md": "see /ro" + "ot/notes\n"}),
    ("no_machine_is_named", {"Makefile": "pip -i https://py" + "pi.org/simple\n"}),
]


@pytest.mark.parametrize(("name", "files"), BROKEN)
def test_a_broken_rule_is_found(name: str, files: dict[str, str]) -> None:
    assert list(RULES[name]({path: Source(path, text) for path, text in files.items()}))


def test_every_rule_has_been_seen_to_fail() -> None:
    assert {name for name, _ in BROKEN} == RULES.keys()


SOUND: list[tuple[str, str]] = [
    (DECIDER, HEAD + "from services.consent.events import ConsentGranted\n"),
    ("services/referrals/views.py", HEAD + "from services.consent.events import ConsentGranted\n"),
    ("services/referrals/views.py", HEAD + "from libs.common.timers import ClockRow\n"),
    ("libs/common/adapters/sqlite_log.py", HEAD + "import sqlite3\n"),
    ("bench/raw_kafka.py", HEAD + "import aiokafka\n"),
    ("libs/common/x.py", HEAD + "x = f()  # type: ignore[misc]  # the driver is untyped\n"),
    ("libs/common/x.py", HEAD + "x = f()  # noqa: S603 - a fixed command\n"),
    ("libs/common/x.py", HEAD + "read(limit=LIMIT, wait=0)\n"),
    ("libs/common/x.py", HEAD + "Ref = Annotated[str, Field(max_length=64)]\n"),
    ("tests/x.py", HEAD + "while not done():\n    time.sleep(0.1)\n"),
    ("tests/x.py", HEAD + "time.sleep(2)  # waits: the process must outlive its lease\n"),
    ("docs.md", "Position `/v1/roster/imports` is no path of a machine.\n"),
]


@pytest.mark.parametrize(("path", "text"), SOUND)
def test_sound_code_is_left_alone(path: str, text: str) -> None:
    tree = {path: Source(path, text)}
    assert [complaint for check in RULES.values() for complaint in check(tree)] == []
