"""The cache of embeddings and of results computed from them: its folders and locks; torch-free."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from otembed.errors import DataError
from otembed.results.paths import expand
from otembed.runtime.cache import default_cache_dir

if TYPE_CHECKING:
    from collections.abc import Iterator


def cache_home(cache: str | Path | None) -> Path:
    """Return the folder of the cache; by default ``mining`` in :func:`otembed.runtime.cache.default_cache_dir`."""
    return default_cache_dir() / "mining" if cache is None else expand(cache)


def make_cache_folder(cache: str | Path | None, name: str) -> Path:
    """Create and return a folder of the cache; DataError if that fails."""
    return make_folder(cache_home(cache) / name)


def make_folder(folder: Path) -> Path:
    """Create and return a folder; DataError if that fails."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _not_written(folder, error) from error
    return folder


@contextmanager
def cache_lock(folder: Path, name: str) -> Iterator[None]:
    """Lock an entry of the cache for writing; other processes wait until it is finished."""
    lock = FileLock(folder / f".{name}.lock")
    try:
        lock.acquire()
    except OSError as error:
        raise _not_written(folder, error) from error
    try:
        yield
    finally:
        lock.release()


def _not_written(folder: Path, error: OSError) -> DataError:
    return DataError(
        f"cannot write the cache: {error.strerror}", "Choose another folder: --cache FOLDER.", path=folder
    )
