"""The cache folder of otembed; torch-free."""

from __future__ import annotations

import os
from pathlib import Path


def default_cache_dir() -> Path:
    """Return ``$OTEMBED_CACHE``, else ``$XDG_CACHE_HOME/otembed``, else ``~/.cache/otembed``."""
    own, shared = os.environ.get("OTEMBED_CACHE"), os.environ.get("XDG_CACHE_HOME")
    if own:
        return Path(own).expanduser()
    return (Path(shared) if shared else Path.home() / ".cache") / "otembed"
