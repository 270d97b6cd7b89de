"""A YAML file of all settings with their descriptions, allowed values and defaults."""

from __future__ import annotations

from dataclasses import is_dataclass
from textwrap import wrap
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

from pydantic import TypeAdapter

from otembed.config.loader import dump_yaml, inline_yaml
from otembed.config.schema import Schema, allowed, settings_schema

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

WIDTH = 100
INDENT = "  "
NO_BREAK = "\N{NO-BREAK SPACE}"


def settings_template(config: Any, *, head: str = "") -> str:
    """Return ``config`` as commented YAML.

    Parameters
    ----------
    config
        A configuration dataclass.
    head
        Text at the top, as comments.

    Returns
    -------
    str
        YAML that reads back as ``config``. Above each value are its description, the allowed values and
        its default, if different. A section that is off (null) is followed by its settings as comments,
        to be uncommented.
    """
    schema = settings_schema(type(config))
    plain = TypeAdapter(type(config)).dump_python(config, mode="json")
    lines = [
        *_comment(head),
        *([""] if head else []),
        *_section(plain, type(config), schema, schema.get("$defs", {}), ""),
    ]
    return "\n".join(lines).rstrip("\n") + "\n"


def _section(
    values: Mapping[str, Any], kind: type, schema: Schema, definitions: Mapping[str, Schema], indent: str
) -> Iterator[str]:
    hints = get_type_hints(kind)
    for key, node in schema["properties"].items():
        inner: Any = next((each for each in (hints[key], *get_args(hints[key])) if is_dataclass(each)), None)
        value = values[key]
        if inner is None:
            yield from _comment(_explained(node, value), indent)
            yield from (f"{indent}{line}" for line in _entry(key, value))
        else:
            below = definitions[inner.__name__]
            # Python run with -OO has no docstrings, so a section may lack its description.
            described = node.get("description") or below.get("description", "").partition("\n")[0]
            yield from _comment(described, indent)
            if value is None:
                yield f"{indent}{key}: null"
                off = _section(_defaults(below), inner, below, definitions, "")
                yield from (f"{indent}# {line}".rstrip() for line in _off(key, off))
            else:
                yield f"{indent}{key}:"
                yield from _section(value, inner, below, definitions, indent + INDENT)
        if not indent:
            yield ""


def _off(key: str, lines: Iterator[str]) -> Iterator[str]:
    yield f"{key}:"
    for line in lines:
        if line:
            yield INDENT + line


def _defaults(schema: Schema) -> dict[str, Any]:
    """Return the defaults of a section that is off; a setting without a default is null, to be filled in."""
    return {key: node.get("default") for key, node in schema["properties"].items()}


def _explained(node: Schema, value: Any) -> str:
    text = node.get("description", "")
    limits = allowed(node)
    default = node.get("default", value)
    if default != value:
        limits += f"; default {inline_yaml(default)}"
    # The allowed values stay on one line: wrapping breaks at ordinary spaces only.
    return f"{text} [{limits.replace(' ', NO_BREAK)}]".strip()


def _entry(key: str, value: Any) -> list[str]:
    if isinstance(value, dict) and value:
        return dump_yaml({key: value}, width=10**6).splitlines()
    return [f"{key}: {inline_yaml(value)}"]


def _comment(text: str, indent: str = "") -> Iterator[str]:
    for paragraph in text.replace("``", "").splitlines():
        lines = wrap(paragraph, WIDTH - len(indent) - 2, break_long_words=False, break_on_hyphens=False) or [""]
        yield from (f"{indent}# {line.replace(NO_BREAK, ' ')}".rstrip() for line in lines)
