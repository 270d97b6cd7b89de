"""A griffe extension that turns the docstrings of otembed (numpydoc in reStructuredText) into Markdown.

- A role such as ``class`` becomes a link if it names a public name, and code otherwise; formulas become ``$...$``.
- Tables keep their form, as plain text. Examples outside a section become a section.
- A setting declared by ``Field(default=..., description=...)`` is documented by its description.
"""

from __future__ import annotations

import ast
import re
from importlib import import_module
from typing import Any

from griffe import Attribute, Docstring, Expr, ExprCall, ExprKeyword, ExprName, Extension, Module, Object

ROLE = re.compile(r":([a-z]+):`~?([^`]+)`")
DISPLAY = re.compile(r"^\.\. math::(.*(?:\n+[ ]{2,}.*)*)", re.MULTILINE)
# A grid table, or a simple table between rules.
TABLE = re.compile(r"^(?:\+[-+=]+\+\n(?:[|+].*(?:\n|$))+|={3,}[ =]*\n(?:.*\n)*?={3,}[ =]*$)", re.MULTILINE)
FOOTNOTE = re.compile(r"^\.\. \[(\d+)\] ", re.MULTILINE)
# A paragraph that announces a literal block: Markdown knows it by its indentation.
LITERAL = re.compile(r"^(.*):$\n(?=\n {4})", re.MULTILINE)


class Docstrings(Extension):
    """Rewrites docstrings once the whole package is loaded."""

    def on_package(self, *, pkg: Module, **_: Any) -> None:
        """Rewrite the docstrings of a package and of everything in it."""
        public = {pkg.path}
        for module in _modules(pkg):
            if module.exports is not None:
                public |= {module.path, *(f"{module.path}.{name}" for name in module.exports)}
        for module in _modules(pkg):
            self._rewrite(module, public)

    def on_attribute_instance(self, *, attr: Attribute, **_: Any) -> None:
        """Take the default and the description of a setting from its ``Field``; a group of settings names its class."""
        made = attr.value
        if not isinstance(made, ExprCall) or str(made.function) not in {"Field", "field"}:
            return
        given = {each.name: each.value for each in made.arguments if isinstance(each, ExprKeyword)}
        attr.value = given.get("default")
        if "description" in given and attr.docstring is None:
            attr.docstring = Docstring(_text(given["description"], attr.module.path), parent=attr)
        elif str(attr.annotation).endswith("Config") and attr.docstring is None:
            attr.docstring = Docstring(f"Settings of :class:`{attr.annotation}`.", parent=attr)

    def _rewrite(self, place: Object, public: set[str]) -> None:
        if place.docstring is not None:
            place.docstring.value = _markdown(place.docstring.value, public, place.module.path)
        for member in place.members.values():
            if not member.is_alias and not member.is_module:
                self._rewrite(member, public)  # type: ignore[arg-type]


def _modules(module: Module) -> list[Module]:
    return [module, *(each for child in module.modules.values() if not child.is_alias for each in _modules(child))]


def _markdown(text: str, public: set[str], module: str) -> str:
    text = ROLE.sub(lambda role: _role(role[1], role[2], public, module), text)
    text = DISPLAY.sub(lambda formula: f"$${' '.join(formula[1].split())}$$", text)
    text = TABLE.sub(lambda table: f"```text\n{table[0].rstrip()}\n```\n", text)
    text = FOOTNOTE.sub(r"\1. ", re.sub(r"(\[\d+\])_", r"\1", text))
    return _examples(LITERAL.sub(_announcement, text))


def _role(role: str, name: str, public: set[str], module: str) -> str:
    """Return the Markdown of a role; a name without a package is looked up in those around the module."""
    if role == "math":
        return f"${name}$"
    parts = module.split(".")
    around = [".".join([*parts[:length], name]) for length in range(len(parts), 0, -1)]
    found = [each for each in (name, *around) if each in public]
    return f"[`{name}`][{found[0]}]" if found else f"`{name}`"


def _announcement(line: re.Match[str]) -> str:
    """Return a line that ends in two colons with one, and nothing for a line of two colons."""
    return {":": ""}.get(line[1], line[0].replace("::", ":"))


def _text(value: str | Expr, module: str) -> str:
    """Return the text of a literal, which may be several literals in a row, or of a constant of a module."""
    if isinstance(value, ExprName):
        return str(getattr(import_module(module), value.name))
    return str(ast.literal_eval(str(value)))


def _examples(text: str) -> str:
    """Put examples that stand outside a section into one."""
    if ">>>" not in text or re.search(r"^Examples\n-{3,}$", text, re.MULTILINE):
        return text
    return re.sub(r"(?:^|\n)\n?(?=>>>)", "\n\nExamples\n--------\n", text, count=1)
