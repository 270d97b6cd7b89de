"""YAML of settings: plain values only, no key twice, and bounded in size and depth."""

from __future__ import annotations

import re
from typing import Any

import yaml
import yaml.composer
import yaml.constructor

from otembed.errors import ConfigError

# Aliases multiply a small text: ten levels of ten aliases are 10,000,000,000 values.
MOST_VALUES = 100_000
DEEPEST = 50
LARGEST = 2**63
# A number of YAML 1.2 that is a text in YAML 1.1, which PyYAML reads: 1e-7.
EXPONENT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)[eE][-+]?[0-9]+$")


class Loader(yaml.SafeLoader):
    """The safe loader, without duplicate keys, huge numbers, alias bombs, and endless or deep structures."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Return the next node; the depth is limited here, before PyYAML exhausts the stack."""
        self._depth += 1
        if self._depth > DEEPEST:
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(None, None, f"more than {DEEPEST} levels", mark)
        node: yaml.Node | None = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """Return the value of a node; errors of int(), float() and datetime() get its line."""
        try:
            return super().construct_object(node, deep)
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
            kind = node.tag.rpartition(":")[2]
            raise _refused(f"{str(node.value)[:40]!r} is not a valid {kind}", node) from error

    def get_single_node(self) -> yaml.Node | None:
        """Return the root of the document, checked."""
        root: yaml.Node | None = super().get_single_node()
        if root is not None:
            self._count(root, {})
        return root

    def construct_whole_number(self, node: yaml.ScalarNode) -> int:
        """Return a whole number of at most 63 bits."""
        value: int = self.construct_yaml_int(node)
        if abs(value) >= LARGEST:
            raise _refused("a whole number beyond 63 bits", node)
        return value

    def _count(self, node: yaml.Node, known: dict[int, int]) -> int:
        """Return the number of values below a node with all aliases resolved."""
        if id(node) in known:
            if known[id(node)] == 0:
                raise _refused("an alias of a value that contains it", node)
            return known[id(node)]
        known[id(node)] = 0
        below: list[yaml.Node] = node.value if isinstance(node, yaml.SequenceNode) else []
        if isinstance(node, yaml.MappingNode):
            _refuse_repeated(node)
            below = [each for pair in node.value for each in pair]
        total = 1
        for each in below:
            total += self._count(each, known)
            if total > MOST_VALUES:
                raise _refused(f"more than {MOST_VALUES:,} values with all aliases resolved", node)
        known[id(node)] = total
        return total


class _Dumper(yaml.SafeDumper):
    """Quotes the texts that the loader would read as another type."""


Loader.add_constructor("tag:yaml.org,2002:int", Loader.construct_whole_number)
for _kind in (Loader, _Dumper):
    _kind.add_implicit_resolver("tag:yaml.org,2002:float", EXPONENT, list("-+.0123456789"))


def load_yaml(text: str, origin: str, hint: str = "Fix the line.") -> Any:
    """Return the plain values of a YAML document.

    Parameters
    ----------
    text
        The document.
    origin
        A file name, or a description of the text, for messages.

    Raises
    ------
    ConfigError
        The text is not valid YAML or has a value that is not a plain one; a key is given twice; it is nested too
        deeply, or its aliases or numbers are too large. The message has the line.
    """
    try:
        return yaml.load(text, Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{origin}:{mark.line + 1}" if mark else origin
        raise ConfigError(f"{where}: invalid YAML: {getattr(error, 'problem', None) or error}", hint) from error


def dump_yaml(value: Any, **style: Any) -> str:
    """Return plain values as YAML that :func:`load_yaml` reads; ``style`` holds arguments of ``yaml.dump``."""
    text: str = yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, **style)
    return text


def inline_yaml(value: Any) -> str:
    """Return a value as YAML in one line.

    >>> inline_yaml(None), inline_yaml("query: "), inline_yaml(["embeddings"])
    ('null', "'query: '", '[embeddings]')
    """
    return dump_yaml(value, default_flow_style=True, width=10**6).removesuffix("...\n").strip()


def _refuse_repeated(node: yaml.MappingNode) -> None:
    """Raise if a mapping has a key twice; keys of a merge (``<<``) may be given again."""
    seen: dict[tuple[str, str], int] = {}
    for key, _ in node.value:
        if isinstance(key, yaml.ScalarNode):
            if (key.tag, key.value) in seen:
                raise _refused(f"the key {key.value!r} is already in line {seen[key.tag, key.value]}", key)
            seen[key.tag, key.value] = key.start_mark.line + 1


def _refused(problem: str, node: yaml.Node) -> yaml.constructor.ConstructorError:
    return yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
