"""Blocks of a search: an executor searches them, and their neighbor lists are merged into the state of the search."""

from __future__ import annotations

from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any

from otembed.embeddings.cache import make_folder
from otembed.errors import ConfigError, DataError
from otembed.mining.search.state import Block, add_file, block_folder, clear, save_arrays

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    import numpy as np

    from otembed.embeddings.rows import UnitRows
    from otembed.mining.search.neighbors import Neighbors
    from otembed.mining.search.state import SearchState
    from otembed.runtime.work import Advance, Executor, Work

SAVE_SECONDS = 60
# A block of this many rows and columns takes about 40 seconds of one processor at 384 dimensions in an exact search.
BLOCK_ROWS = 65_536
# Blocks per worker, if they stay large enough to be worth a task, so that no worker waits long for the last one.
BLOCKS_A_WORKER = 4


@dataclass(frozen=True, eq=False)
class FoundBlock:
    """A finished block; ``lists`` are the scores and ids of its rows and columns, empty if they are in its file."""

    block: Block
    lists: tuple[tuple[np.ndarray, np.ndarray], ...] = ()

    @classmethod
    def of(cls, block: Block, forward: Neighbors, backward: Neighbors, folder: Path | None) -> FoundBlock:
        """Write the lists to the file of the block; without a folder, keep them."""
        if folder is None:
            return cls(block, ((forward.scores, forward.ids), (backward.scores, backward.ids)))
        save_arrays(
            folder / block.file,
            forward_scores=forward.scores,
            forward_ids=forward.ids,
            backward_scores=backward.scores,
            backward_ids=backward.ids,
        )
        return cls(block)


def make_block_folder(state_file: Path | None) -> Path | None:
    """Create and return the folder for the blocks of a search; None if it stores nothing."""
    return None if state_file is None else make_folder(block_folder(state_file).absolute())


def run_blocks(
    executor: Executor,
    work: Work,
    tasks: Iterable[Any],
    state: SearchState,
    state_file: Path | None,
    advance: Advance | None = None,
) -> None:
    """Run tasks whose results are blocks, and merge these into the state, which is saved once a minute and at the end.

    Raises
    ------
    DataError
        A file cannot be read or written.
    """
    folder = make_block_folder(state_file)
    merged: list[Path] = []
    saved_at = monotonic()
    for found in executor.run(work, tasks, advance):
        if folder is None or state_file is None:
            state.add_block(found.block, *found.lists)
            continue
        path = folder / found.block.file
        if not add_file(path, state):
            raise DataError("cannot read the block of a worker", "All machines must share the cache.", path=path)
        merged.append(path)
        if monotonic() - saved_at > SAVE_SECONDS:
            # Saved first: after an interruption between the two a block is merged twice, which changes nothing.
            state.save(state_file)
            while merged:
                merged.pop().unlink(missing_ok=True)
            saved_at = monotonic()
    if folder is not None and state_file is not None:
        state.save(state_file)
        clear(folder)


def block_side(count: Callable[[int], int], most: int, least: int, workers: int) -> int:
    """Return the side of blocks: ``most``, or halves of it as long as their count is too small for the workers."""
    wanted, side = BLOCKS_A_WORKER * workers if workers > 1 else 1, most
    while side // 2 >= least and count(side) < wanted:
        side //= 2
    return side


def require_files(source: UnitRows, target: UnitRows, state_file: Path | None) -> None:
    """Reject what workers in other processes cannot read, or would not find."""
    names = [
        each.vectors.name for each in (source, target) if any(part.array is not None for part in each.vectors.parts)
    ]
    if names:
        raise ConfigError(
            f"{' and '.join(names)}: arrays in memory cannot be searched by other processes",
            "Save them with numpy.save and pass the files, or set engine: local.",
        )
    if state_file is None:
        raise ConfigError("state_file is missing", "Set it: workers in other processes write their results there.")
