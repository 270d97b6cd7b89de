"""Exports that load on first use, for packages whose light parts are used without torch or compiled code."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def lazy_exports(package: str, modules: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return ``__getattr__`` and ``__dir__`` of a package that imports each exported name on first use (PEP 562).

    Parameters
    ----------
    package
        ``__name__`` of the package.
    modules
        Exported name to the module of the package that defines it, such as ``{"train": "recipe"}``, or to the dotted name
        of a module elsewhere.
    """

    def get(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module = modules[name]
        return getattr(import_module(module if "." in module else f"{package}.{module}"), name)

    def names() -> list[str]:
        return sorted(modules)

    return get, names
