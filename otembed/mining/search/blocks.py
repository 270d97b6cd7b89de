"""Finished blocks of a search in files: rows of the source by rows of the target, and the neighbors among them."""

from __future__ import annotations

import logging
import os
import re
import zipfile
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple
from uuid import uuid4

import numpy as np

from otembed.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

    from otembed.mining.search.neighbors import SearchState

logger = logging.getLogger(__name__)

NAME = re.compile(r"block-(\d+)-(\d+)-(\d+)-(\d+)\.npz")


class Block(NamedTuple):
    """Source rows ``first_row`` to before ``last_row`` against target rows, likewise."""

    first_row: int
    last_row: int
    first_column: int
    last_column: int

    @property
    def file(self) -> str:
        """Name of the file of what was found."""
        return f"block-{'-'.join(map(str, self))}.npz"

    def holds(self, other: Block) -> bool:
        """Return whether all of ``other`` lies in this block."""
        return (
            self.first_row <= other.first_row
            and other.last_row <= self.last_row
            and self.first_column <= other.first_column
            and other.last_column <= self.last_column
        )


def block_folder(state_file: Path) -> Path:
    """Return the folder in which the blocks of a search wait until the state holds them."""
    return state_file.with_suffix(".blocks")


def save_arrays(path: Path, **arrays: np.ndarray) -> None:
    """Write arrays whole or not at all; any process may."""
    temporary = path.with_name(f".{path.name}.{uuid4().hex}.tmp")
    try:
        with temporary.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise DataError(
            f"cannot write the state of the search: {error.strerror}",
            "What was written before stays: free some space and run again, or name another --cache.",
            path=path,
        ) from error


def take_up(path: Path, state: SearchState) -> bool:
    """Merge a block's file into the state; return whether it was sound."""
    found = NAME.fullmatch(path.name)
    try:
        block = Block(*map(int, found.groups())) if found else None
        with np.load(path) as file:
            lists = [(file[f"{side}_scores"], file[f"{side}_ids"]) for side in ("forward", "backward")]
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile):
        return False
    return block is not None and state.add_block(block, *lists)


def take_up_left(state_file: Path, state: SearchState) -> None:
    """Take up the blocks that a run which was cut has left, save, and remove their files."""
    folder = block_folder(state_file)
    left = sorted(folder.glob("block-*.npz")) if folder.is_dir() else []
    for path in left:
        if not take_up(path, state):
            logger.warning("%s: the block is damaged, it is searched again", path)
    if left:
        state.save(state_file)
    clear(folder)


def clear(folder: Path) -> None:
    """Remove the folder and what lies in it, but for what another process writes just now."""
    if folder.is_dir():
        for path in [*folder.glob("block-*.npz"), *folder.glob(".block-*.tmp")]:
            path.unlink(missing_ok=True)
        with suppress(OSError):
            folder.rmdir()
