"""The cache of embeddings and of results computed from them: its folders and locks; torch-free."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from otembed.results import writing
from otembed.results.paths import expand
from otembed.runtime.cache import default_cache_dir, entry_lock

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

OPTION = "--cache FOLDER"
"""How another cache is chosen, for messages."""
KEPT = "Finished work is kept: run again to continue."
"""What the cache holds after a failure to write, for messages."""


def cache_home(cache: str | Path | None) -> Path:
    """Return the folder of the cache; by default ``mining`` in :func:`otembed.runtime.cache.default_cache_dir`."""
    return default_cache_dir() / "mining" if cache is None else expand(cache)


def make_cache_folder(cache: str | Path | None, name: str) -> Path:
    """Create and return a folder of the cache; OutputError if that fails."""
    return make_folder(cache_home(cache) / name)


def make_folder(folder: Path) -> Path:
    """Create and return a folder; OutputError if that fails."""
    with writing(folder, option=OPTION):
        folder.mkdir(parents=True, exist_ok=True)
    return folder


def cache_lock(folder: Path, name: str) -> AbstractContextManager[None]:
    """Lock an entry of the cache for writing, as :func:`otembed.runtime.cache.entry_lock` does."""
    return entry_lock(folder, name, option=OPTION)
