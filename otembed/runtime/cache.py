"""The cache folder of otembed, and locks of its entries; torch-free."""

from __future__ import annotations

import logging
import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from otembed.errors import ConfigError
from otembed.results import writing
from otembed.results.paths import expand

if TYPE_CHECKING:
    from collections.abc import Iterator


logger = logging.getLogger(__name__)


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


@contextmanager
def entry_lock(folder: Path, name: str, *, option: str) -> Iterator[None]:
    """Lock an entry of a cache for writing; other processes wait until it is finished.

    The folder is created. ``option`` is how another one is chosen, for the message of the OutputError.
    """
    lock = FileLock(folder / f".{name}.lock")
    with writing(folder, option=option):
        folder.mkdir(parents=True, exist_ok=True)
    # In a cache of another user, the file may exist and be read-only.
    with writing(lock.lock_file, option=option):
        try:
            lock.acquire(timeout=0)
        except Timeout:
            logger.info("another process writes %s: waiting for it", folder / name)
            lock.acquire()
    try:
        yield
    finally:
        lock.release()
