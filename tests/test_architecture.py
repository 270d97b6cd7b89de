"""Imports point one way and never in a circle, between rooms, parts of rooms and modules; light rooms load no torch."""

from __future__ import annotations

import ast
import functools
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LIBRARY = sorted((ROOT / "otembed").rglob("*.py"))
COMMANDS = sorted((ROOT / "cli").rglob("*.py"))

# From the bottom up: a room imports itself and rooms further down, also for type checking and inside functions.
ROOMS = (
    "errors",
    "_lazy",
    "_version",
    "results",
    "page",
    "config",
    "runtime",
    "transport",
    "models",
    "data",
    "words",
    "embeddings",
    "losses",
    "mining",
    "documents",
    "tasks",
    "comparison",
    "training",
    "diagnostics",
    "__main__",
)
LIGHT = ("errors", "_lazy", "_version", "results", "page", "config")
LIGHT_FILES = ("report.py", "table.py", "tables.py", "summary.py", "card_section.py", "plot.py")
HEAVY = {"torch", "transformers", "sentence_transformers"}


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path): path for path in LIBRARY}
PACKAGES = [name for name, path in MODULES.items() if path.name == "__init__.py" and name != "otembed"]


@functools.cache
def imports(path: Path) -> set[str]:
    """Absolute names of the modules that a file imports anywhere, type checking and functions included."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                found.add(whole if whole in MODULES else node.module)
    return found


def within(path: Path) -> set[str]:
    return {name for name in imports(path) if name in MODULES}


def room(module: str) -> str:
    return module.split(".")[1]


def imported_commands(path: Path) -> set[str]:
    """Names of the modules of the command line that one of them imports, all by relative imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level == 1:
            found |= {node.module} if node.module else {alias.name for alias in node.names}
    return found & {each.stem for each in COMMANDS}


def parts_of(package: str) -> dict[str, set[str]]:
    """Return the modules and sub-packages of a package, and which of them each one imports, at any depth."""
    depth = package.count(".") + 2

    def part(module: str) -> str:
        return ".".join(module.split(".")[:depth])

    graph: dict[str, set[str]] = {}
    for name, path in MODULES.items():
        if name.startswith(f"{package}."):
            used = {part(each) for each in within(path) if each.startswith(f"{package}.")}
            graph.setdefault(part(name), set()).update(used - {part(name)})
    return graph


def circle(graph: dict[str, set[str]]) -> list[str]:
    """Return the nodes of one circle, or nothing."""
    done: set[str] = set()

    def visit(node: str, trail: list[str]) -> list[str]:
        if node in trail:
            return trail[trail.index(node) :]
        if node in done:
            return []
        for below in sorted(graph[node]):
            if found := visit(below, [*trail, node]):
                return found
        done.add(node)
        return []

    return next((found for node in sorted(graph) if (found := visit(node, []))), [])


def test_every_room_is_listed():
    assert {room(name) for name in MODULES if "." in name} == set(ROOMS)


@pytest.mark.parametrize("name", [name for name in MODULES if "." in name])
def test_rooms_import_only_lower_rooms(name):
    lower = ROOMS[: ROOMS.index(room(name)) + 1]
    assert not [used for used in within(MODULES[name]) if "." not in used or room(used) not in lower]


def test_module_imports_have_no_cycle():
    # A package's own __init__ collects exports and is read by none of its modules.
    graph = {name: within(path) - {name} for name, path in MODULES.items() if name != "otembed"}
    assert circle(graph) == []


@pytest.mark.parametrize("package", PACKAGES)
def test_parts_of_a_package_form_no_cycle(package):
    assert circle(parts_of(package)) == []


def test_parts_of_a_package_are_its_modules_and_packages():
    graph = parts_of("otembed.mining")
    assert "otembed.mining.search" in graph["otembed.mining.pairing"]
    assert "otembed.mining.search" in graph["otembed.mining.mine"]
    assert not any(name.count(".") > 2 for name in graph)


def test_commands_form_no_cycle():
    graph = {path.stem: imported_commands(path) for path in COMMANDS}
    assert "options" in graph["mine"]
    assert circle(graph) == []


def test_cycle_search_finds_a_cycle():
    assert set(circle({"a": {"b"}, "b": {"c"}, "c": {"b"}})) == {"b", "c"}
    assert circle({"a": {"b"}, "b": set()}) == []


@pytest.mark.parametrize(
    "name", [name for name in MODULES if "." in name and (room(name) in LIGHT or MODULES[name].name in LIGHT_FILES)]
)
def test_light_modules_import_no_torch(name):
    assert not {each.split(".")[0] for each in imports(MODULES[name])} & HEAVY


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: path.stem)
def test_commands_import_heavy_libraries_only_inside_functions(path):
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            names = {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = {str(node.module)}
        else:
            continue
        light = {"typer", *sys.stdlib_module_names}
        light_rooms = {"otembed", "otembed.errors", "otembed.tasks.base", "otembed.tasks.registry"}
        assert all(name in light_rooms or name.split(".")[0] in light for name in names)


def test_click_is_never_imported():
    assert not [path for path in LIBRARY + COMMANDS if any(name.split(".")[0] == "click" for name in imports(path))]
