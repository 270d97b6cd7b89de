"""The cache folder of otembed; torch-free."""

from __future__ import annotations

import os
from pathlib import Path

from otembed.errors import ConfigError
from otembed.results.paths import expand


def default_cache_dir() -> Path:
    """Return ``$OTEMBED_CACHE``, else ``$XDG_CACHE_HOME/otembed``, else ``~/.cache/otembed``.

    Raises
    ------
    ConfigError
        No variable is set and the user has no home folder, as with a numeric user in a container.
    """
    own, shared = os.environ.get("OTEMBED_CACHE"), os.environ.get("XDG_CACHE_HOME")
    if own:
        return expand(own)
    try:
        return (Path(shared) if shared else Path.home() / ".cache") / "otembed"
    except RuntimeError as error:
        raise ConfigError(
            "no folder for the cache: the user has no home folder", "Set OTEMBED_CACHE to a folder to write to."
        ) from error
