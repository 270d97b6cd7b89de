"""Versions and extras, read from the metadata of installed packages without importing them."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, distribution, version
from typing import TYPE_CHECKING

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from otembed.errors import OtembedError

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = "otembed"


def requirements(extra: str = "") -> Iterator[Requirement]:
    """Yield the requirements of otembed on this machine, or the requirements of ``extra``, nested extras included."""
    try:
        lines = distribution(PACKAGE).requires or []
    except PackageNotFoundError as error:
        raise OtembedError("otembed is not installed as a package", "Install it: pip install -e .") from error
    for requirement in map(Requirement, lines):
        plain = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        if plain == bool(extra) or not (plain or requirement.marker.evaluate({"extra": extra})):  # type: ignore[union-attr]
            continue
        if canonicalize_name(requirement.name) == PACKAGE:
            for inner in sorted(requirement.extras):
                yield from requirements(inner)
        else:
            yield requirement


def versions() -> dict[str, str | None]:
    """Return the version of otembed and of each required package, ``None`` if a package is missing."""
    names = dict.fromkeys([PACKAGE, *(each.name for each in requirements())])
    return {name: version_of(name) for name in names}


def version_of(name: str) -> str | None:
    """Return the installed version of a package."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def misfits() -> dict[str, str]:
    """Return the packages with an unsupported version, and the supported versions of each."""
    wrong = {}
    for each in requirements():
        found = version_of(each.name)
        if found is None or not each.specifier.contains(found, prereleases=True):
            wrong[each.name] = str(each.specifier)
    return wrong


def extras() -> dict[str, list[str]]:
    """Return for every extra of otembed the packages that are missing or have an unsupported version."""
    names = distribution(PACKAGE).metadata.get_all("Provides-Extra") or []
    return {name: [_lack(each) for each in requirements(name) if _lack(each)] for name in sorted(names)}


def _lack(requirement: Requirement) -> str:
    found = version_of(requirement.name)
    if found is not None and requirement.specifier.contains(found, prereleases=True):
        return ""
    wanted = f"{requirement.name}{requirement.specifier}"
    return wanted if found is None else f"{wanted} (found {found})"
