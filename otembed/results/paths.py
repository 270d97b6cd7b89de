"""Paths as users write them."""

from __future__ import annotations

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
