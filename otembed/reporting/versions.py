"""Versions of what figures depend on."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

PACKAGES = (
    "otembed",
    "torch",
    "sentence-transformers",
    "transformers",
    "accelerate",
    "datasets",
    "POT",
    "faiss-cpu",
    "numpy",
)


def package_versions() -> dict[str, str | None]:
    """Return the version of each package, None where it is not installed.

    >>> "numpy" in package_versions()
    True
    """
    return {name: _version(name) for name in PACKAGES}


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
