"""Who may import whom: the arrows of the architecture page, read from the source."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "hanode"

# room -> the rooms it may import. A room is the first part of the module's name below hanode.
ALLOWED = {
    "core": set(),
    "errors": set(),
    "metrics": set(),
    "ports": {"core", "errors"},
    "engine": {"core", "errors", "ports", "metrics"},
    "adapters": {"core", "errors", "ports", "metrics"},
    "sim": {"core", "errors", "ports", "metrics", "engine"},
    "conf": {"core", "errors"},
    "web": {"core", "errors", "ports", "metrics", "engine"},
    "daemon": {"core", "errors", "ports", "metrics", "engine", "adapters", "conf", "web"},
    "cli": {"core", "errors", "ports", "metrics", "engine", "adapters", "conf", "sim", "daemon"},
    "__main__": {"cli"},
}
PURE = {
    "__future__",
    "abc",
    "bisect",
    "collections",
    "copy",
    "dataclasses",
    "enum",
    "fnmatch",
    "functools",
    "heapq",
    "ipaddress",
    "itertools",
    "math",
    "operator",
    "re",
    "statistics",
    "string",
    "types",
    "typing",
    "zlib",
}


def room_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import hides who is meant"
            found |= {f"{node.module}.{alias.name}" for alias in node.names} if node.module == "hanode" else {node.module or ""}
    return found


MODULES = sorted(path for path in ROOT.rglob("*.py") if path != ROOT / "__init__.py")


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_room_imports_only_the_rooms_below_it(path: Path) -> None:
    """The simulator proves the production code only while that cannot reach around the ports."""
    room = room_of(path)
    for name in imports(path):
        if name.startswith("hanode.") and name != "hanode.__version__":
            other = name.split(".")[1]
            assert other == room or other in ALLOWED[room], f"{path.relative_to(ROOT)} ({room}) imports {name}"


@pytest.mark.parametrize("path", [p for p in MODULES if room_of(p) == "core"], ids=lambda path: path.name)
def test_the_core_is_pure(path: Path) -> None:
    """Without I/O, clock, randomness, configuration or logging, the same facts give the same decisions, for ever."""
    outside = {name.split(".")[0] for name in imports(path)} - PURE - {"hanode"}
    assert not outside, f"{path.name} imports {outside}"
