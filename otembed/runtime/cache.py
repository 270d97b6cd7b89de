"""The cache folder of otembed, and locks of its entries; torch-free."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from otembed.results import writing

if TYPE_CHECKING:
    from collections.abc import Iterator


def default_cache_dir() -> Path:
    """Return ``$OTEMBED_CACHE``, else ``$XDG_CACHE_HOME/otembed``, else ``~/.cache/otembed``."""
    own, shared = os.environ.get("OTEMBED_CACHE"), os.environ.get("XDG_CACHE_HOME")
    if own:
        return Path(own).expanduser()
    return (Path(shared) if shared else Path.home() / ".cache") / "otembed"


@contextmanager
def entry_lock(folder: Path, name: str, *, option: str) -> Iterator[None]:
    """Lock an entry of a cache for writing; other processes wait until it is finished.

    The folder is created. ``option`` is how another one is chosen, for the message of the OutputError.
    """
    lock = FileLock(folder / f".{name}.lock")
    with writing(folder, option=option):
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
