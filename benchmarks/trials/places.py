"""What may be in the place of an input file: pipes, devices, folders, links, bombs, and files that name other files."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random

from trials.readers import COMPRESSIONS

# Decompressed, of one short line repeated: the worst ratio for memory that is not bounded.
BOMB_BYTES = 300_000_000


def _replaced(put: Callable[[Path], object]) -> Callable[[Path, Path, list[Path], Random], int]:
    def place(valid: Path, folder: Path, files: list[Path], random: Random) -> int:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(valid, folder)
        target = folder / random.choice(files).relative_to(valid)
        content = target.read_bytes()
        target.unlink()
        size = put(target)
        return size if isinstance(size, int) else len(content)

    return place


def _bomb(target: Path) -> int:
    """Write 300 MB of zeros, compressed where the name says so; other names get 1 MB."""
    pack = COMPRESSIONS.get(target.suffix) if target.suffix else None
    size = BOMB_BYTES if pack else 1_000_000
    buffer = io.BytesIO(bytes(size)).getvalue()
    target.write_bytes(pack(buffer) if pack else buffer)
    return size


PLACES: dict[str, Callable[[Path, Path, list[Path], Random], int]] = {
    "nothing": _replaced(lambda target: None),
    "an empty file": _replaced(lambda target: target.touch()),
    "a pipe": _replaced(lambda target: os.mkfifo(target)),
    "a device": _replaced(lambda target: target.symlink_to("/dev/zero")),
    "a folder": _replaced(lambda target: target.mkdir()),
    "a link to itself": _replaced(lambda target: target.symlink_to(target.name)),
    "a link to nothing": _replaced(lambda target: target.symlink_to(target.with_suffix(".gone"))),
    "an unreadable process file": _replaced(lambda target: target.symlink_to("/proc/self/mem")),
    "the path of a file": _replaced(lambda target: target.write_text("/etc/hostname")),
    "zeros, compressed if the name says so": _replaced(_bomb),
}
