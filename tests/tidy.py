"""The house rules, each a small function over a tree of sources; `test_tidy.py` runs them.

A rule yields one line of complaint for each place. Standard library only.
"""

import ast
import io
import re
import tokenize
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

LINES_MAX = 400
FUNCTION_LINES_MAX = 70
COLUMNS_MAX = 100

ROOMS = {"__init__", "__main__", "events", "decider", "policy", "views", "api", "main"}
EXTRA_ROOMS = {"consent": {"roster", "imports", "erase"}}
"""A service's rooms beyond the usual ones, each by name."""
PURE_ROOMS = {"events", "decider", "policy", "views"}
PURE_IMPORTS = {
    *("typing", "datetime", "zoneinfo", "enum", "decimal", "itertools", "functools"),
    *("collections", "collections.abc", "pydantic"),
    *("libs.common.errors", "libs.common.messages", "libs.common.personal"),
    *("libs.common.shapes", "libs.common.directory"),
}
PURE_NAMES = {("libs.common.timers", "ClockRow")}
"""A single pure value that a pure room may take from a module that is not pure."""
DOORS = {
    "aiokafka": r"libs/common/adapters/kafka\w*\.py",
    "motor": r"libs/common/adapters/mongo\w*\.py",
    "pymongo": r"libs/common/adapters/mongo\w*\.py",
    "bson": r"libs/common/adapters/mongo\w*\.py",
    "sqlite3": r"libs/common/adapters/sqlite\w*\.py",
    "opentelemetry": r"libs/common/(?:telemetry|meters)\.py",
}
"""Each driver has one door; tests may go round it to break things on purpose."""
RAW = re.compile(r"bench/(?:raw\w*|peers)\.py")
"""What ours is measured against has to use the drivers by itself."""
ENVIRONMENT_DOOR = "libs/common/settings.py"
WAITS = {"sleep", "timeout", "wait_for"}
LIMITS = re.compile(r"limit|timeout|wait|retries|maxsize|max_\w+|\w+_(ms|seconds|bytes|max)")
CHANCE = {"now", "today", "utcnow", "time", "monotonic", "uuid1", "uuid4", "random", "choice"}
VAGUE = re.compile(r"(Manager|Helper|Utils?|Base|Impl|(?<!^In)Service|Data|Info)$")
"""`InService` is a situation of the vocabulary."""
VAGUE_FILES = {"utils", "util", "helpers", "helper", "base", "manager", "misc", "interfaces"}
UNFINISHED = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|XX" + r"X)\b")
PLACES = re.compile(
    "(?<![\\w.:/])/" + "(?:work|root|home|Users)/"
    "|(?:py" + "pi|python" + "hosted|npm" + "js|crates|rubygems)\\.(?:org|com|io)"
    "|repo1?\\.maven|proxy\\.golang|registry\\.(?:npm" + "js|yarn)"
)
PRAGMA = re.compile(r"  # (?:noqa|type: ignore|fmt: )")
"""What an ignore says of its line is not counted to the line's length."""
TYPE_IGNORE = re.compile(r"type:\s*ignore(\[[\w\-, ]+\])?\s*(#\s*\S.*)?")
NOQA = re.compile(r"noqa(:\s*[A-Z]+\d+(?:,\s*[A-Z]+\d+)*)?\s*(\S.*)?")


@dataclass(frozen=True)
class Source:
    """One file of the tree."""

    path: str
    text: str

    @cached_property
    def ast(self) -> ast.Module:
        return ast.parse(self.text)

    @cached_property
    def comments(self) -> list[tuple[int, str]]:
        tokens = tokenize.generate_tokens(io.StringIO(self.text).readline)
        return [(t.start[0], t.string) for t in tokens if t.type == tokenize.COMMENT]

    @cached_property
    def imports(self) -> list[tuple[int, str, str | None]]:
        """(line, module, name): `from a.b import c` names c, `import a.b` names nothing."""
        found: list[tuple[int, str, str | None]] = []
        for node in ast.walk(self.ast):
            if isinstance(node, ast.Import):
                found += [(node.lineno, alias.name, None) for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                module = "." * node.level + (node.module or "")
                found += [(node.lineno, module, alias.name) for alias in node.names]
        return found

    @property
    def module(self) -> str:
        return self.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    @property
    def service(self) -> str | None:
        parts = self.path.split("/")
        return parts[1] if parts[0] == "services" and len(parts) > 2 else None

    @property
    def room(self) -> str | None:
        return self.path.split("/")[2].removesuffix(".py") if self.service else None

    @property
    def pure(self) -> bool:
        return self.room in PURE_ROOMS


Tree = Mapping[str, Source]
Rule = Callable[[Tree], Iterator[str]]
RULES: dict[str, Rule] = {}


def rule(function: Rule) -> Rule:
    RULES[function.__name__] = function
    return function


def read_tree(root: Path, names: list[str]) -> dict[str, Source]:
    return {name: Source(name, (root / name).read_text("utf-8")) for name in names}


def python(tree: Tree, *folders: str) -> Iterator[Source]:
    for path, source in sorted(tree.items()):
        if path.endswith(".py") and (not folders or path.split("/")[0] in folders):
            yield source


def imported(tree: Tree, module: str, name: str | None) -> str:
    """The module that is really meant: `from services.consent import events` means events."""
    whole = f"{module}.{name}"
    as_file = whole.replace(".", "/")
    found = name is not None and (f"{as_file}.py" in tree or f"{as_file}/__init__.py" in tree)
    return whole if found else module


@rule
def common_knows_no_service(tree: Tree) -> Iterator[str]:
    for source in python(tree, "libs"):
        for line, module, _ in source.imports:
            if module.split(".")[0] in {"services", "demo", "tests", "bench"}:
                yield f"{source.path}:{line}: libs imports {module}"


@rule
def neighbours_meet_in_events_only(tree: Tree) -> Iterator[str]:
    for source in python(tree, "services"):
        for line, module, name in source.imports:
            parts = imported(tree, module, name).split(".")
            if source.service is None or parts[0] != "services":
                continue
            if len(parts) < 2 or (parts[1] != source.service and parts[2:] != ["events"]):
                yield f"{source.path}:{line}: only another service's events may be imported"
            elif parts[1] != source.service and source.room == "events":
                yield f"{source.path}:{line}: events import no other service"


@rule
def pure_rooms_import_little(tree: Tree) -> Iterator[str]:
    for source in python(tree, "services"):
        if not source.pure:
            continue
        for line, module, name in source.imports:
            meant = imported(tree, module, name).split(".")
            own = meant[:1] == ["services"] and len(meant) > 2 and meant[2] in PURE_ROOMS
            if not own and module not in PURE_IMPORTS and (module, name) not in PURE_NAMES:
                yield f"{source.path}:{line}: a pure room imports {module}"


@rule
def pure_rooms_take_time_and_chance_as_arguments(tree: Tree) -> Iterator[str]:
    for source in python(tree, "services"):
        for node in ast.walk(source.ast) if source.pure else ():
            if isinstance(node, ast.Call) and _called(node) in CHANCE:
                yield f"{source.path}:{node.lineno}: a pure room calls {_called(node)}()"
            if isinstance(node, ast.Name) and node.id == "float":
                yield f"{source.path}:{node.lineno}: a pure room uses float"
            if isinstance(node, ast.Constant) and isinstance(node.value, float):
                yield f"{source.path}:{node.lineno}: a pure room holds a float"
            if isinstance(node, ast.AsyncFunctionDef):
                yield f"{source.path}:{node.lineno}: nothing pure is async"


@rule
def tables_have_no_default_row(tree: Tree) -> Iterator[str]:
    for source in python(tree, "services"):
        for node in ast.walk(source.ast) if source.room == "decider" else ():
            if isinstance(node, ast.match_case) and _is_wildcard(node.pattern):
                yield f"{source.path}:{node.pattern.lineno}: a default row hides a missing one"


@rule
def rooms_are_the_same_everywhere(tree: Tree) -> Iterator[str]:
    for source in python(tree, "services"):
        if source.service and source.room not in ROOMS | EXTRA_ROOMS.get(source.service, set()):
            yield f"{source.path}:1: no such room; an extra one is listed by name in tidy.py"


@rule
def imports_have_no_cycles(tree: Tree) -> Iterator[str]:
    modules = {source.module: source for source in python(tree)}
    needs = {
        name: {imported(tree, module, what) for _, module, what in source.imports} & modules.keys()
        for name, source in modules.items()
    }
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> Iterator[str]:
        if name in path:
            yield f"{modules[name].path}:1: imports go round: {' -> '.join((*path, name))}"
        elif name not in done:
            for other in sorted(needs[name] - {name}):
                yield from visit(other, (*path, name))
            done.add(name)

    for name in sorted(modules):
        yield from visit(name, ())


@rule
def each_driver_has_one_door(tree: Tree) -> Iterator[str]:
    for source in python(tree, "libs", "services", "demo", "bench"):
        for line, module, _ in source.imports:
            door = DOORS.get(module.split(".")[0])
            if RAW.fullmatch(source.path):
                continue
            if door is not None and not re.fullmatch(door, source.path):
                yield f"{source.path}:{line}: {module} has its own door"


@rule
def only_settings_read_the_environment(tree: Tree) -> Iterator[str]:
    for source in python(tree, "libs", "services", "demo"):
        if source.path == ENVIRONMENT_DOOR:
            continue
        for node in ast.walk(source.ast):
            if isinstance(node, ast.Attribute) and node.attr in {"environ", "getenv"}:
                yield f"{source.path}:{node.lineno}: only settings read the environment"
        for line, module, name in source.imports:
            if module == "os" and name in {"environ", "getenv"}:
                yield f"{source.path}:{line}: only settings read the environment"


@rule
def files_and_functions_stay_small(tree: Tree) -> Iterator[str]:
    for source in python(tree):
        lines = source.text.splitlines()
        if len(lines) > LINES_MAX:
            yield f"{source.path}:{LINES_MAX}: {len(lines)} lines"
        for number, line in enumerate(lines, 1):
            columns = len(PRAGMA.split(line)[0])
            if columns > COLUMNS_MAX:
                yield f"{source.path}:{number}: {columns} columns"
        for node in ast.walk(source.ast):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > FUNCTION_LINES_MAX:
                    yield f"{source.path}:{node.lineno}: {node.name} has {length} lines"


@rule
def first_line_says_what_the_file_is_for(tree: Tree) -> Iterator[str]:
    for source in python(tree):
        told = ast.get_docstring(source.ast, clean=False) or ""
        if not source.text.startswith('"""') or not told.splitlines()[0].strip():
            yield f"{source.path}:1: the first line says what the file is for"


@rule
def nothing_prints(tree: Tree) -> Iterator[str]:
    for source in python(tree, "libs", "services"):
        for node in ast.walk(source.ast):
            if isinstance(node, ast.Call) and _called(node) in {"print", "pprint"}:
                yield f"{source.path}:{node.lineno}: services do not print"


@rule
def nothing_is_left_unfinished(tree: Tree) -> Iterator[str]:
    for source in tree.values():
        for number, line in enumerate(source.text.splitlines(), 1):
            if UNFINISHED.search(line):
                yield f"{source.path}:{number}: finish it or leave it out"


@rule
def every_ignore_has_code_and_reason(tree: Tree) -> Iterator[str]:
    for source in python(tree):
        for line, comment in source.comments:
            for pattern in (TYPE_IGNORE, NOQA):
                found = pattern.search(comment)
                if found and not (found[1] and found[2]):
                    yield f"{source.path}:{line}: an ignore names its code and its reason"


@rule
def limits_have_names(tree: Tree) -> Iterator[str]:
    """What a module's own assignment holds has a name: a constant, or a type such as `Ref`."""
    for source in python(tree, "libs", "services"):
        assigned = (n for n in source.ast.body if isinstance(n, ast.Assign | ast.AnnAssign))
        named = {id(inner) for node in assigned for inner in ast.walk(node)}
        for node in ast.walk(source.ast):
            if not isinstance(node, ast.Call) or id(node) in named:
                continue
            bare = [k.value for k in node.keywords if LIMITS.fullmatch(k.arg or "")]
            if _called(node) in WAITS:
                bare += node.args
            if any(isinstance(v, ast.Constant) and _more_than_one(v.value) for v in bare):
                yield f"{source.path}:{node.lineno}: a limit is named at the top of its file"


@rule
def tests_do_not_sleep_and_hope(tree: Tree) -> Iterator[str]:
    """A pause inside a loop is polling for something; anywhere else it says what it waits for."""
    for source in python(tree, "tests"):
        polling = {
            id(inner)
            for node in ast.walk(source.ast)
            if isinstance(node, ast.While | ast.For | ast.AsyncFor)
            for inner in ast.walk(node)
        }
        told = {line for line, comment in source.comments if "waits:" in comment}
        for node in ast.walk(source.ast):
            if not isinstance(node, ast.Call) or _called(node) != "sleep" or not node.args:
                continue
            pause = node.args[0]
            fixed = isinstance(pause, ast.Constant) and bool(pause.value)
            named = isinstance(pause, ast.Name) and pause.id.isupper()
            if (fixed or named) and id(node) not in polling and node.lineno not in told:
                yield f"{source.path}:{node.lineno}: wait for what happens, or say `# waits: why`"


@rule
def nothing_is_mocked_or_skipped_silently(tree: Tree) -> Iterator[str]:
    for source in python(tree, "tests"):
        for line, module, name in source.imports:
            if f"{module}.{name}".startswith(("unittest.mock", "pytest_mock", "mock.")):
                yield f"{source.path}:{line}: no mocks: use SQLite, a list or a real fake"
        for node in ast.walk(source.ast):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            given = {k.arg for k in node.keywords}
            bare = node.func.attr == "skipif" or not node.args
            if node.func.attr in {"skip", "skipif"} and bare and "reason" not in given:
                yield f"{source.path}:{node.lineno}: say why it is skipped"
            if node.func.attr == "xfail" and not {"strict", "reason"} <= given:
                yield f"{source.path}:{node.lineno}: xfail is strict and says why"


@rule
def names_say_something(tree: Tree) -> Iterator[str]:
    for source in python(tree):
        if Path(source.path).stem in VAGUE_FILES:
            yield f"{source.path}:1: a file is named for what it is about"
        for node in ast.walk(source.ast):
            if isinstance(node, ast.ClassDef) and VAGUE.search(node.name):
                yield f"{source.path}:{node.lineno}: {node.name} says nothing"


@rule
def imports_are_whole(tree: Tree) -> Iterator[str]:
    for source in python(tree):
        for line, module, name in source.imports:
            if module.startswith(".") or name == "*":
                yield f"{source.path}:{line}: imports are written out from the root"
        # the one room that neighbours import: in parts or not, it has one path
        whole = source.room == "events" and source.path.endswith("/events/__init__.py")
        for node in () if whole else ast.walk(source.ast):
            if isinstance(node, ast.Name) and node.id == "__all__":
                yield f"{source.path}:{node.lineno}: no re-exports"


@rule
def no_machine_is_named(tree: Tree) -> Iterator[str]:
    for source in tree.values():
        for number, line in enumerate(source.text.splitlines(), 1):
            if PLACES.search(line):
                yield f"{source.path}:{number}: a path of one machine, or a registry's host"


def _called(node: ast.Call) -> str:
    if isinstance(node.func, ast.Attribute):
        return node.func.attr
    return node.func.id if isinstance(node.func, ast.Name) else ""


def _is_wildcard(pattern: ast.pattern) -> bool:
    return isinstance(pattern, ast.MatchAs) and pattern.pattern is None


def _more_than_one(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value not in (0, 1)
