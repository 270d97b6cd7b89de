"""Imports point one way, rooms keep to themselves, files stay short."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FILES = sorted([*(ROOT / "otembed").rglob("*.py"), *(ROOT / "cli").rglob("*.py")])

# Room to the rooms it may import; every room may import errors, config and results.
ALLOWED = {
    "errors": set(),
    "cache": set(),
    "config": set(),
    "config_alignment": set(),
    "config_base": set(),
    "config_io": set(),
    "config_mining": set(),
    "config_xnli": set(),
    "outcomes": set(),
    "results": set(),
    "transport": set(),
    "alignment": {"transport", "models"},
    "models": set(),
    "data": set(),
    "evaluation": {"models", "data", "alignment", "mining"},
    "reporting": set(),
    "settings": set(),
    "diagnostics": {"transport", "losses", "models", "mining"},
    "losses": {"transport", "alignment", "models"},
    "mining": {"models", "data", "alignment"},
    "transfer": {"data", "models", "evaluation", "mining"},
    "comparison": {"data", "models", "evaluation", "mining", "alignment", "transfer", "reporting", "diagnostics"},
    "training": {"losses", "alignment", "data", "models", "evaluation", "reporting", "diagnostics"},
}
BASE = {
    "errors",
    "cache",
    "config",
    "config_alignment",
    "config_base",
    "config_io",
    "config_mining",
    "config_xnli",
    "outcomes",
    "results",
}
HEAVY = {"torch", "transformers", "sentence_transformers"}


def room(path):
    return path.relative_to(ROOT / "otembed").with_suffix("").parts[0]


def imports(path):
    """Absolute module names imported anywhere in a file, but for type checking."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    skipped = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    found = set()
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module)
    return found


@pytest.mark.parametrize("path", [each for each in FILES if each.is_relative_to(ROOT / "otembed")], ids=str)
def test_rooms_import_only_what_lies_below(path):
    here = room(path)
    if here == "__init__":
        return
    used = {name.split(".")[1] for name in imports(path) if name.startswith("otembed.")}
    assert used - {here} <= ALLOWED[here] | BASE


@pytest.mark.parametrize("name", sorted(BASE | {"reporting", "settings"}))
def test_light_rooms_import_no_torch(name):
    for path in FILES:
        if path.is_relative_to(ROOT / "otembed") and room(path) == name:
            assert not {each.split(".")[0] for each in imports(path)} & HEAVY, path


@pytest.mark.parametrize("path", [each for each in FILES if each.is_relative_to(ROOT / "cli")], ids=str)
def test_commands_import_heavy_libraries_only_inside_functions(path):
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            names = {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = {str(node.module)}
        else:
            continue
        light = {"typer", *sys.stdlib_module_names}
        assert all(name in {"otembed", "otembed.errors"} or name.split(".")[0] in light for name in names)


def test_click_is_never_imported():
    assert not [path for path in FILES if any(name.split(".")[0] == "click" for name in imports(path))]


@pytest.mark.parametrize("path", FILES, ids=str)
def test_files_stay_short(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 300
