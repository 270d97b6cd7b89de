"""Write a folder whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder beside ``path`` that takes its name when the block ends well.

    A folder that stands there already keeps its name and content until the new one is whole; then it
    steps aside under a hidden name, and is removed once the new one is in place. When the block
    raises, nothing but ``path`` as it was remains. A killed process leaves at most hidden
    ``.NAME.*`` folders beside an intact ``path``.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp"))
    earlier = fresh.with_suffix(".old")
    try:
        yield fresh
        _grant_usual_permissions(fresh)
        if path.exists():
            path.rename(earlier)
        try:
            fresh.rename(path)
        except OSError:
            if earlier.exists():
                earlier.rename(path)
            raise
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise
    shutil.rmtree(earlier, ignore_errors=True)


def _grant_usual_permissions(folder: Path) -> None:
    """Give the folder and all in it what the umask grants; temporary names start out private."""
    umask = os.umask(0)
    os.umask(umask)
    for item in (folder, *folder.rglob("*")):
        item.chmod((0o777 if item.is_dir() else 0o666) & ~umask)


def remove_leftovers(path: Path) -> None:
    """Remove what killed writers of ``path`` left; call only where no other writer can be at work."""
    for leftover in path.parent.glob(f".{path.name}.*.tmp"):
        shutil.rmtree(leftover, ignore_errors=True)
