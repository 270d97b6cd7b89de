"""Merged settings, and which layer each value comes from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from otembed.config.io import build, merge, parse_assignments, parse_yaml, read_preset, settings_text, to_yaml
from otembed.config.loader import Loader, inline_yaml, load_yaml
from otembed.config.train import TrainConfig
from otembed.results import Result

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

DEFAULT = "default"
# Placeholder while no parallel text is set: it may come with --pairs.
NO_PAIRS = {"pairs": {"en-sw": "starter:en-sw"}}

Tree = dict[str, Any]


@dataclass(frozen=True)
class Resolved(Result):
    """The settings of a training run, and the origin of each by its path: default, a preset, ``file:line``, --set.

    ``settings`` has no ``pairs`` if no layer sets them.
    """

    settings: dict[str, Any]
    origins: dict[str, str]

    def to_yaml(self) -> str:
        """Return the settings as YAML with the origin of each value as a comment."""
        return "".join(f"{line}\n" for line in self._lines(self.settings, ()))

    def _lines(self, tree: Tree, head: tuple[str, ...]) -> Iterator[str]:
        indent = "  " * len(head)
        for key, value in tree.items():
            path = (*head, str(key))
            if isinstance(value, dict) and value:
                yield f"{indent}{inline_yaml(key)}:"
                yield from self._lines(value, path)
            else:
                yield f"{indent}{inline_yaml(key)}: {inline_yaml(value)}  # {self.origins['.'.join(path)]}"


def resolve_settings(
    path: str | Path | None = None, *, preset: str | None = None, assignments: Sequence[str] = ()
) -> Resolved:
    """Merge defaults < preset < YAML file < assignments as ``otembed train`` does, and record where each value comes from.

    Raises
    ------
    ConfigError
        As in ``otembed train``, except for missing parallel text.
    """
    layers: list[tuple[Tree, Tree]] = []
    if preset is not None:
        tree = read_preset(preset)
        layers.append((tree, _marked(tree, f"preset {preset}")))
    if path is not None:
        text = settings_text(path)  # once: it may come from a pipe
        tree, lines = parse_yaml(text, str(path)), _Lines(text)
        layers.append((tree, _with_lines(tree, lines.tree, str(path))))
    tree = parse_assignments(assignments)
    layers.append((tree, _marked(tree, "--set")))
    values: Tree = {}
    origins: Tree = {}
    for value, origin in layers:
        values, origins = merge(values, value), merge(origins, origin)
    named = bool(values.get("pairs"))
    config = build(TrainConfig, values if named else {**values, **NO_PAIRS}, str(path or "command line"))
    settings = load_yaml(to_yaml(config), "settings")
    if not named:
        del settings["pairs"]
    return Resolved(
        settings=settings, origins={".".join(leaf): _origin(origins, leaf) for leaf in _leaves(settings)}
    )


def _leaves(tree: Tree, head: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for key, value in tree.items():
        path = (*head, str(key))
        if isinstance(value, dict) and value:
            yield from _leaves(value, path)
        else:
            yield path


def _origin(origins: Any, path: tuple[str, ...]) -> str:
    """Follow ``path`` to a layer's mark; a section that a layer set as a whole belongs to that layer."""
    here = origins
    for part in path:
        if not isinstance(here, dict) or part not in here:
            break
        here = here[part]
    return here if isinstance(here, str) else DEFAULT


def _marked(tree: Any, mark: str) -> Any:
    """Return ``tree`` with every value replaced by ``mark``, so that marks merge as values do."""
    return {key: _marked(value, mark) for key, value in tree.items()} if isinstance(tree, dict) else mark


def _with_lines(tree: Any, lines: Any, path: str) -> Any:
    """Return ``tree`` with every value replaced by its ``path:line``."""
    marks = {}
    for key, value in tree.items():
        line, below = lines[key]
        marks[key] = _with_lines(value, below, path) if isinstance(value, dict) else f"{path}:{line}"
    return marks


class _Lines(Loader):
    """Line of each key, counted from 1, and of the keys below it."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        node = self.get_single_node()
        self.tree: dict[Any, tuple[int, Any]] = self._mapping(node) if isinstance(node, yaml.MappingNode) else {}
        self.dispose()

    def _mapping(self, node: yaml.MappingNode) -> dict[Any, tuple[int, Any]]:
        self.flatten_mapping(node)
        return {
            self.construct_object(key, deep=True): (
                key.start_mark.line + 1,
                self._mapping(value) if isinstance(value, yaml.MappingNode) else {},
            )
            for key, value in node.value
        }
