"""Files and folders with digests of their bytes: damage is detected before anything is parsed."""

from __future__ import annotations

import json
import os
from hashlib import blake2b
from typing import IO, TYPE_CHECKING

from otembed.results import write_text, writing
from otembed.results.temporary import fresh_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

DIGEST_BYTES = 16
READ_BYTES = 1 << 22
DIGESTS_FILE = "digests.json"


def digest_of(file: IO[bytes], size: int) -> bytes:
    """Return the digest of the next ``size`` bytes of a file, or of as many as there are."""
    total = blake2b(digest_size=DIGEST_BYTES)
    while size > 0 and (block := file.read(min(size, READ_BYTES))):
        total.update(block)
        size -= len(block)
    return total.digest()


def file_digest(path: Path) -> str:
    """Return the digest of a file as hexadecimal digits."""
    with path.open("rb") as file:
        return digest_of(file, path.stat().st_size).hex()


def write_sealed(path: Path, write: Callable[[Path], object], *, option: str, kept: str) -> None:
    """Write a file atomically, with a digest of its bytes at the end; any process may.

    Parameters
    ----------
    path
        The file.
    write
        Writes the content to the path that it is given.
    option, kept
        For the message, as in :func:`otembed.results.writing`.

    Raises
    ------
    OutputError
        The file cannot be written; an earlier file is kept.

    Notes
    -----
    FAISS and NumPy read such a file by its path: they ignore what follows their own content.
    """
    with writing(path, option=option, kept=kept), fresh_file(path) as temporary:
        write(temporary)
        with temporary.open("r+b") as file:
            file.write(digest_of(file, temporary.stat().st_size))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)


def is_sound(path: Path) -> bool:
    """Return whether a file is as :func:`write_sealed` wrote it."""
    with path.open("rb") as file:
        digest = digest_of(file, path.stat().st_size - DIGEST_BYTES)
        return file.read() == digest


def seal_folder(folder: Path, *, without: str = "") -> None:
    """Write the digest of each file of a folder to ``digests.json`` in it; ``without`` is a pattern to leave out."""
    left_out = set(folder.glob(without)) if without else set()
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path not in left_out)
    digests = {path.relative_to(folder).as_posix(): file_digest(path) for path in paths}
    write_text(folder / DIGESTS_FILE, json.dumps(digests, indent=1) + "\n")


def damaged_in(folder: Path) -> str | None:
    """Return the first file that differs from what :func:`seal_folder` saw; ``None`` if there is none."""
    try:
        digests = json.loads((folder / DIGESTS_FILE).read_text(encoding="utf-8"))
        pairs = list(digests.items())
    except (OSError, ValueError, AttributeError):
        return DIGESTS_FILE
    return next((name for name, digest in pairs if not _has(folder / name, digest)), None)


def _has(path: Path, digest: str) -> bool:
    return path.is_file() and file_digest(path) == digest
