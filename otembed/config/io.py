"""Configuration as text: defaults < preset < YAML < ``--set a.b=c`` < flags; unknown keys are rejected."""

from __future__ import annotations

from dataclasses import is_dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from pydantic import TypeAdapter, ValidationError

from otembed.config.base import explain
from otembed.config.loader import dump_yaml, load_yaml
from otembed.config.train import TrainConfig
from otembed.errors import ConfigError, DataError, did_you_mean
from otembed.results.paths import expand
from otembed.results.reading import read_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Tree = dict[str, Any]
T = TypeVar("T")


def to_yaml(config: Any) -> str:
    """Return the resolved configuration as YAML that :func:`read_yaml` reads."""
    plain = TypeAdapter(type(config)).dump_python(config, mode="json") if is_dataclass(config) else config
    return dump_yaml(plain)


def read_yaml(path: str | Path) -> Tree:
    """Read a YAML file of settings.

    Raises
    ------
    ConfigError
        If it is missing, is not valid YAML (with ``file:line``) or not a mapping.
    """
    return parse_yaml(settings_text(path), str(expand(path)))


def settings_text(path: str | Path) -> str:
    """Return the text of a file of settings; ConfigError if it is missing or not UTF-8."""
    try:
        return read_text(expand(path), "Convert the file to UTF-8.")
    except DataError as error:
        raise ConfigError(error.message, error.hint) from error


def preset_names() -> list[str]:
    """Names of the presets that ship with otembed."""
    folder = resources.files("otembed") / "presets"
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def read_preset(name: str) -> Tree:
    """Read one of the shipped presets by its name."""
    return parse_yaml(preset_text(name), f"preset {name}")


def preset_text(name: str) -> str:
    """Return the YAML text of a shipped preset."""
    if name not in preset_names():
        raise ConfigError(f"unknown preset {name!r}", did_you_mean(name, preset_names()))
    return (resources.files("otembed") / "presets" / f"{name}.yaml").read_text(encoding="utf-8")


def parse_assignments(assignments: Iterable[str]) -> Tree:
    """Turn ``a.b=value`` strings into a tree; values are read as YAML.

    >>> parse_assignments(["loss.alignment.epsilon=0.1", "optimization.seed=7"])
    {'loss': {'alignment': {'epsilon': 0.1}}, 'optimization': {'seed': 7}}
    """
    tree: Tree = {}
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        if not equals or not key.strip():
            raise ConfigError(
                f"--set {assignment!r} is not an assignment",
                "Use KEY=VALUE, such as --set loss.alignment.epsilon=0.1",
            )
        parsed = load_yaml(value, f"--set {assignment}", "Quote the value.")
        for part in reversed(key.strip().split(".")):
            parsed = {part: parsed}
        tree = merge(tree, parsed)
    return tree


def merge(under: Mapping[str, Any], over: Mapping[str, Any]) -> Tree:
    """Merge ``over`` into ``under``: mappings are merged, other values replaced.

    >>> merge({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}})
    {'a': {'b': 3, 'c': 2}}
    """
    merged = dict(under)
    for key, value in over.items():
        below = merged.get(key)
        both = isinstance(below, dict) and isinstance(value, dict)
        merged[key] = merge(cast("Tree", below), value) if both else value
    return merged


def build(kind: type[T], tree: Mapping[str, Any], origin: str = "settings") -> T:
    """Validate ``tree`` as the configuration dataclass ``kind``.

    Raises
    ------
    ConfigError
        For an unknown or renamed key, a wrong type or a value out of range, with the key's full path and
        ``origin``.
    """
    try:
        return TypeAdapter(kind).validate_python(dict(tree))
    except ValidationError as error:
        raise explain(kind, error, origin) from error


def train_config(*layers: Mapping[str, Any], origin: str = "settings") -> TrainConfig:
    """Build the training configuration from ``layers``; later ones take precedence."""
    tree: Tree = {}
    for layer in layers:
        tree = merge(tree, layer)
    return build(TrainConfig, tree, origin)


def parse_yaml(text: str, origin: str) -> Tree:
    """Return the settings in a YAML text; ConfigError, with ``origin`` and line, if it is not a mapping."""
    tree = load_yaml(text, origin)
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise ConfigError(
            f"{origin}: expected a mapping of settings, found {type(tree).__name__}", "Use key: value."
        )
    return tree
