"""The exact search in blocks of rows by columns, each a task that reads vectors and writes neighbor lists."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING

import numpy as np

from otembed.errors import DataError
from otembed.mining.search.blocks import Block, block_folder, clear, save_arrays, take_up, take_up_left
from otembed.mining.search.exact import SAVE_SECONDS, Tiling, check_sides, screen_stripe
from otembed.mining.search.neighbors import Neighbors, SearchState
from otembed.runtime.executors import refuse_memory
from otembed.runtime.progress import Progress, silent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from otembed.mining.search.sides import Side
    from otembed.runtime.executors import Executor

# A block of so many rows and columns takes about 40 seconds of one processor at 384 dimensions.
BLOCK_ROWS = 65_536
# Every worker gets so many blocks at least, if they are worth a task then, so that the last one is not waited for long.
BLOCKS_A_WORKER = 4


@dataclass(frozen=True, eq=False)
class SearchWork:
    """Blocks of one search; its sides are opened once a worker."""

    source: Side
    target: Side
    k: int
    tiling: Tiling
    folder: Path

    @property
    def gpu(self) -> bool:
        """Whether a GPU serves: the search runs on processors."""
        return False

    def open(self, threads: int) -> Callable[[Block], Block]:
        """Set the threads of the matrix product."""
        from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

        threadpool_limits(threads, "blas")
        return partial(self._search, np.empty(self.tiling.rows * self.tiling.columns, np.float32))

    def _search(self, tile: np.ndarray, block: Block) -> Block:
        rows, columns = block.last_row - block.first_row, block.last_column - block.first_column
        forward = Neighbors.none(rows, min(self.k, columns))
        backward = Neighbors.none(columns, min(self.k, rows))
        for start in range(block.first_column, block.last_column, self.tiling.stripe):
            stripe = self.target.read(start, min(start + self.tiling.stripe, block.last_column))
            here = slice(start - block.first_column, start - block.first_column + len(stripe))
            found = Neighbors(backward.scores[here], backward.ids[here])
            for first in range(block.first_row, block.last_row, self.tiling.rows):
                part = self.source.read(first, min(first + self.tiling.rows, block.last_row))
                there = slice(first - block.first_row, first - block.first_row + len(part))
                lists = Neighbors(forward.scores[there], forward.ids[there])
                screen_stripe(part, stripe, lists, found, first, start, tile, self.tiling.columns)
        save_arrays(
            self.folder / block.file,
            forward_scores=forward.scores,
            forward_ids=forward.ids,
            backward_scores=backward.scores,
            backward_ids=backward.ids,
        )
        return block


def exact_neighbors_apart(
    source: Side,
    target: Side,
    k: int,
    executor: Executor,
    *,
    state_file: Path,
    tiling: Tiling | None = None,
    block_rows: int = BLOCK_ROWS,
    progress: Progress = silent,
) -> tuple[Neighbors, Neighbors]:
    """Return what :func:`otembed.mining.search.exact.exact_neighbors` returns, byte for byte, found by an executor's tasks.

    Parameters
    ----------
    source, target, k, tiling, progress
        As there; the sides must lie in files that all workers see.
    executor
        Does the blocks.
    state_file
        What has been found; its neighbor folder ``.blocks`` holds the blocks that are not in it yet. A run goes on
        from both, whatever engine left them.
    block_rows
        Most rows and most columns of a block; smaller collections are cut smaller, for work for everybody.

    Raises
    ------
    ConfigError
        A side lies in memory, or ``k`` is below 1.
    DataError
        The sides have vectors of different dimensions, or a file cannot be read or written.
    """
    check_sides(source, target, k)
    for side in (source, target):
        if any(part.array is not None for part in side.vectors.parts):
            raise refuse_memory(side.vectors.name)
    tiling = tiling or Tiling()
    state = SearchState(len(source), len(target), k)
    state.load(state_file)
    take_up_left(state_file, state)
    blocks = [
        block
        for block in _cut(state, _side_of_block(state, block_rows, tiling.stripe, executor.workers))
        if not state.covers(block)
    ]
    folder = block_folder(state_file).absolute()
    if not blocks:
        return state.forward, state.backward
    _make(folder)
    merged: list[Path] = []
    saved_at = monotonic()
    for done, block in enumerate(executor.run(SearchWork(source, target, k, tiling, folder), blocks), start=1):
        path = folder / block.file
        if not take_up(path, state):
            raise DataError("a worker's block cannot be read", "All machines must share the cache.", path=path)
        merged.append(path)
        if monotonic() - saved_at > SAVE_SECONDS:
            # Saved first: cut between the two, a block is merged twice, which does no harm.
            state.save(state_file)
            while merged:
                merged.pop().unlink(missing_ok=True)
            saved_at = monotonic()
        progress("searching blocks", done, len(blocks))
    state.save(state_file)
    clear(folder)
    return state.forward, state.backward


def _side_of_block(state: SearchState, most: int, least: int, workers: int) -> int:
    rows, columns = len(state.forward.ids), len(state.backward.ids)
    side = most
    while side // 2 >= least and -(-rows // side) * -(-columns // side) < BLOCKS_A_WORKER * workers:
        side //= 2
    return side


def _cut(state: SearchState, side: int) -> Iterator[Block]:
    """Yield blocks, all of some columns before those of the next, so that few columns are half done at a time."""
    rows = len(state.forward.ids)
    for start, stop in state.remaining(side):
        for first in range(0, rows, side):
            yield Block(first, min(first + side, rows), start, stop)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(
            f"cannot write the cache: {error.strerror}", "Name another folder: --cache FOLDER.", path=folder
        ) from error
