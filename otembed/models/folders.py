"""Write a folder atomically."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from otembed.results import writing
from otembed.results.temporary import beside, fresh_folder, held

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def whole_folder(path: Path, *, needed: int | None = None, option: str = "") -> Iterator[Path]:
    """Yield an empty folder next to ``path`` that is renamed to it when the block succeeds.

    An existing folder stays in place until the new one is complete; then it is renamed to a hidden
    name, and removed once the new one is in place. If the block raises, ``path`` is left unchanged.
    A killed process leaves hidden ``.NAME.*`` folders, which the next writer removes; the earlier folder is among
    them if the process was killed between the two renames, and the next writer puts it back first. ``needed`` and
    ``option`` are for the message, as in :func:`otembed.results.writing`.

    Raises
    ------
    OutputError
        The folder cannot be written, whichever library was writing.
    """
    with writing(path, needed=needed, option=option), fresh_folder(path) as fresh:
        earlier = fresh.with_suffix(".old")
        try:
            yield fresh
            _grant_usual_permissions(fresh)
            with held(path) if path.exists() else nullcontext():
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
    if earlier.exists():
        # Under a name that is never put back: it may be removed only in part.
        shutil.rmtree(earlier.rename(beside(path)), ignore_errors=True)


def _grant_usual_permissions(folder: Path) -> None:
    """Set the permissions that the umask grants; temporary folders are created private."""
    umask = os.umask(0)
    os.umask(umask)
    for item in (folder, *folder.rglob("*")):
        item.chmod((0o777 if item.is_dir() else 0o666) & ~umask)
