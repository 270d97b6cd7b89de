"""State of a search: neighbor lists, finished blocks, and the files from which a search resumes."""

from __future__ import annotations

import logging
import re
import zipfile
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from otembed.errors import DataError
from otembed.mining.search.neighbors import Neighbors
from otembed.results import whole_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from otembed.embeddings.vectors import Floats, Ids

logger = logging.getLogger(__name__)

NAME = re.compile(r"block-(\d+)-(\d+)-(\d+)-(\d+)\.npz")


class Block(NamedTuple):
    """Source rows ``first_row`` to ``last_row`` (exclusive) against target rows, likewise."""

    first_row: int
    last_row: int
    first_column: int
    last_column: int

    @property
    def rows(self) -> slice:
        """Its source rows."""
        return slice(self.first_row, self.last_row)

    @property
    def columns(self) -> slice:
        """Its target rows."""
        return slice(self.first_column, self.last_column)

    @property
    def file(self) -> str:
        """Name of the file with its neighbor lists."""
        return f"block-{'-'.join(map(str, self))}.npz"

    def holds(self, other: Block) -> bool:
        """Return whether ``other`` is part of this block."""
        return (
            self.first_row <= other.first_row
            and other.last_row <= self.last_row
            and self.first_column <= other.first_column
            and other.last_column <= self.last_column
        )


class SearchState:
    """Intermediate result of a search.

    Parameters
    ----------
    rows, columns
        Number of rows of the source and of the target.
    k
        Number of neighbors kept per row; all of them if the other side has fewer rows.

    Attributes
    ----------
    forward, backward
        Neighbor lists of both sides; they contain all neighbors from finished blocks, and possibly others.
    done
        (columns,) which columns were compared with all rows.
    blocks
        Other finished blocks.
    recall
        Measured recall of an approximate search, None for an exact one.
    """

    def __init__(self, rows: int, columns: int, k: int) -> None:
        self.forward = Neighbors.none(rows, min(k, columns))
        self.backward = Neighbors.none(columns, min(k, rows))
        self.done = np.zeros(columns, bool)
        self.blocks: set[Block] = set()
        self.recall: float | None = None

    def remaining(self, width: int) -> Iterator[tuple[int, int]]:
        """Yield ``(start, stop)`` of the columns that are not searched, at most ``width`` at once."""
        edges = np.flatnonzero(np.diff(np.concatenate([[True], self.done, [True]]).astype(np.int8)))
        for start, stop in edges.reshape(-1, 2).tolist():
            for first in range(start, stop, width):
                yield first, min(first + width, stop)

    def add_block(self, block: Block, *lists: tuple[Floats, Ids]) -> bool:
        """Merge the scores and ids found in a block and record it as done; False if they do not fit it."""
        parts = [
            Neighbors(own.scores[part], own.ids[part])
            for own, part in ((self.forward, block.rows), (self.backward, block.columns))
        ]
        fit = [
            scores.shape == ids.shape and scores.ndim == 2 and len(ids) == len(own.ids)
            for (scores, ids), own in zip(lists, parts, strict=True)
        ]
        if not all(fit) or block.last_row > len(self.forward.ids) or block.last_column > len(self.done):
            return False
        for (scores, ids), own in zip(lists, parts, strict=True):
            own.merge(Neighbors(scores, ids))
        self.blocks.add(block)
        self._settle(block.columns)
        return True

    def _settle(self, columns: slice) -> None:
        """Mark columns as done if blocks of exactly these columns cover all rows, and forget blocks of done columns."""
        reached = 0
        for block in sorted(each for each in self.blocks if each.columns == columns):
            if block.first_row <= reached:
                reached = max(reached, block.last_row)
        if reached == len(self.forward.ids):
            self.done[columns] = True
            self.blocks = {each for each in self.blocks if not self.done[each.columns].all()}

    def covers(self, block: Block) -> bool:
        """Return whether the lists already contain all neighbors in a block."""
        return bool(self.done[block.columns].all()) or any(each.holds(block) for each in self.blocks)

    def save(self, path: Path) -> None:
        """Write the state atomically."""
        save_arrays(
            path,
            done=self.done,
            blocks=np.array(sorted(self.blocks), np.int64).reshape(-1, 4),
            recall=np.array(np.nan if self.recall is None else self.recall),
            **{f"forward_{name}": getattr(self.forward, name) for name in ("scores", "ids")},
            **{f"backward_{name}": getattr(self.backward, name) for name in ("scores", "ids")},
        )

    def load(self, path: Path) -> None:
        """Load a saved state; a corrupt one, or one of other shapes, is ignored with a warning."""
        if not path.exists():
            return
        try:
            with np.load(path) as file:
                saved = {name: file[name] for name in file.files}
            done, recall = saved["done"], float(saved["recall"])
            blocks = {Block(*each) for each in saved["blocks"].tolist()}
            lists = [Neighbors(saved[f"{side}_scores"], saved[f"{side}_ids"]) for side in ("forward", "backward")]
            fits = done.shape == self.done.shape and all(
                found.scores.shape == found.ids.shape == own.ids.shape
                for found, own in zip(lists, (self.forward, self.backward), strict=True)
            )
        except (ValueError, KeyError, TypeError, OSError, EOFError, zipfile.BadZipFile):
            fits = False
        if not fits:
            logger.warning("%s: the saved search state is corrupt; the search starts over", path)
            return
        self.blocks = blocks
        self.done, self.recall = done, None if np.isnan(recall) else recall
        self.forward, self.backward = lists


def block_folder(state_file: Path) -> Path:
    """Return the folder in which finished blocks are stored until the state holds them."""
    return state_file.with_suffix(".blocks")


def save_arrays(path: Path, **arrays: np.ndarray) -> None:
    """Write arrays atomically; any process may."""
    try:
        # Not created here: on a machine without the shared folder, that would hide it.
        path.parent.stat()
        with whole_file(path) as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]
    except OSError as error:
        raise DataError(
            f"cannot write the search state: {error.strerror}",
            "Earlier results are kept: free some disk space and run again, or choose another --cache.",
            path=path,
        ) from error


def add_file(path: Path, state: SearchState) -> bool:
    """Merge a block's file into the state; return whether it was valid."""
    found = NAME.fullmatch(path.name)
    try:
        block = Block(*map(int, found.groups())) if found else None
        with np.load(path) as file:
            lists = [(file[f"{side}_scores"], file[f"{side}_ids"]) for side in ("forward", "backward")]
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile):
        return False
    return block is not None and state.add_block(block, *lists)


def add_leftovers(state_file: Path, state: SearchState) -> None:
    """Merge the block files that an interrupted run left behind, save the state, and remove them."""
    folder = block_folder(state_file)
    left = sorted(folder.glob("block-*.npz")) if folder.is_dir() else []
    for path in left:
        if not add_file(path, state):
            logger.warning("%s: the block is corrupt and is searched again", path)
    if left:
        state.save(state_file)
    clear(folder)


def clear(folder: Path) -> None:
    """Remove the folder and its files, except for what another process is writing."""
    if folder.is_dir():
        for path in [*folder.glob("block-*.npz"), *folder.glob(".block-*.tmp")]:
            path.unlink(missing_ok=True)
        with suppress(OSError):
            folder.rmdir()
