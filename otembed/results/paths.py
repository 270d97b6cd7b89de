"""Paths as users write them."""

from __future__ import annotations

import os
from pathlib import Path

from otembed.errors import ConfigError


def expand(path: str | Path) -> Path:
    """Return ``path`` with a leading ``~`` or ``~user`` replaced by the home folder.

    Raises
    ------
    ConfigError
        The user does not exist or has no home folder.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise ConfigError(
            f"{str(path)!r}: there is no such home folder", "Write the path of the folder instead of '~'."
        ) from error


def identity(name: str) -> str:
    """Return what two names of one model have in common: the absolute path of a folder or file, else the name itself."""
    try:
        return os.path.realpath(name, strict=True)
    except (OSError, ValueError):  # no path, or no text that a path can be
        return name
