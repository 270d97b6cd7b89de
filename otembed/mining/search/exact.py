"""Exact search: neighbors in both directions from one pass over the blocks of the similarity matrix."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from otembed.errors import ConfigError, DataError
from otembed.mining.search import kernels
from otembed.mining.search.blocks import (
    BLOCK_ROWS,
    FoundBlock,
    block_side,
    make_block_folder,
    require_files,
    run_blocks,
)
from otembed.mining.search.neighbors import Neighbors
from otembed.mining.search.state import Block, SearchState, add_leftovers
from otembed.runtime.executors import LocalExecutor
from otembed.runtime.progress import Progress, counting, silent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from otembed.embeddings.rows import UnitRows
    from otembed.embeddings.vectors import Floats
    from otembed.runtime.work import Advance, Executor


@dataclass(frozen=True)
class Tiling:
    """Sizes of the pieces a search works on; they change its speed and memory, never its result.

    Parameters
    ----------
    rows
        Source rows multiplied at once.
    columns
        Target rows multiplied at once: ``rows * columns`` cells are in memory, 4 bytes each.
    stripe
        Target rows in memory while the source rows of a block are read.
    """

    rows: int = 1024
    columns: int = 2048
    stripe: int = 8192

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value < 1:
                raise ConfigError(f"{name} is {value}", "Use an integer >= 1.")

    def memory(self, dimension: int) -> int:
        """Return the bytes that one worker needs in addition to its neighbor lists."""
        return 4 * (self.rows * self.columns + dimension * (self.stripe + 2 * self.rows))

    def tiles(self, rows: int, columns: int) -> int:
        """Return the number of matrix products for so many rows and columns."""
        stripes, rest = divmod(columns, self.stripe)
        return -(-rows // self.rows) * (stripes * -(-self.stripe // self.columns) + -(-rest // self.columns))


def exact_neighbors(
    source: UnitRows,
    target: UnitRows,
    k: int,
    *,
    executor: Executor | None = None,
    tiling: Tiling | None = None,
    block_rows: int = BLOCK_ROWS,
    state_file: Path | None = None,
    progress: Progress = silent,
) -> tuple[Neighbors, Neighbors]:
    r"""Return the k nearest neighbors of each source row among the targets, and of each target among the sources.

    The score of two rows is their dot product, summed in float64 in a fixed order and rounded to float32; equal scores
    are ordered by id. A float32 matrix product is used for screening only: its rounding error is at most
    :math:`d\,2^{-24} |x| |y|` [1]_ for any order of summation, so a cell that is further below the last score of both
    of its lists cannot belong to either. The result is therefore identical to the byte for any executor, tiling, block
    size, number of shards and restarts.

    Parameters
    ----------
    source, target
        The rows of both sides, streamed from their files.
    k
        Neighbors kept; all rows of the other side if it has fewer.
    executor
        Executor that searches the blocks; ``None``: threads of this process, one for each processor.
    tiling
        Sizes of the pieces within a block.
    block_rows
        Maximum number of rows and of columns of a block; smaller collections are divided into smaller blocks, so that
        all workers are used.
    state_file
        File in which results are stored, once a minute and at the end; until then, finished blocks are stored in the
        folder ``.blocks`` next to it. A search resumes from both, with any executor. ``None``: nothing is stored.
    progress
        Called with the stage, the finished tiles and the total.

    Raises
    ------
    DataError
        The sides have vectors of different dimensions, or a file cannot be read or written.
    ConfigError
        ``k`` is below 1, or a remote executor is used with vectors in memory or without ``state_file``.

    Notes
    -----
    Time: one product of n m d multiplications and one pass over its cells. Memory: ``12 k`` bytes for each row of both
    sides; for each worker the tiling and the neighbor lists of a block.

    References
    ----------
    .. [1] N. Higham, "Accuracy and Stability of Numerical Algorithms", 2nd edition, section 3.1, SIAM 2002.
    """
    check_rows(source, target, k)
    executor = executor or LocalExecutor()
    if executor.remote:
        require_files(source, target, state_file)
    tiling = tiling or Tiling()
    state = SearchState(len(source), len(target), k)
    if state_file is not None:
        state.load(state_file)
        add_leftovers(state_file, state)
    side = block_side(
        lambda side: -(-len(source) // side) * -(-len(target) // side), block_rows, tiling.stripe, executor.workers
    )
    blocks = [block for block in _cut(state, side) if not state.covers(block)]
    if not blocks:
        return state.forward, state.backward
    work = SearchWork(source, target, k, tiling, make_block_folder(state_file))
    advance = counting(progress, "searching", sum(map(work.tiles, blocks)))
    run_blocks(executor, work, _tasks(blocks, state), state, state_file, advance)
    return state.forward, state.backward


def check_rows(source: UnitRows, target: UnitRows, k: int) -> None:
    """Reject sides that cannot be compared."""
    if k < 1:
        raise ConfigError(f"k is {k}", "Use an integer >= 1.")
    if source.vectors.dimension != target.vectors.dimension:
        raise DataError(
            f"{source.vectors.name} has vectors of dimension {source.vectors.dimension}, "
            f"{target.vectors.name} of {target.vectors.dimension}",
            "Embed both sides with the same model.",
        )


def _cut(state: SearchState, side: int) -> Iterator[Block]:
    """Yield blocks column by column of blocks, so that only a few columns are half finished at any time."""
    rows = len(state.forward.ids)
    for start, stop in state.remaining(side):
        for first in range(0, rows, side):
            yield Block(first, min(first + side, rows), start, stop)


@dataclass(frozen=True, eq=False)
class SearchTask:
    """A block, and the last score (rows,) and (columns,) of each list so far; lower scores can be skipped."""

    block: Block
    row_floors: Floats
    column_floors: Floats


def _tasks(blocks: list[Block], state: SearchState) -> Iterator[SearchTask]:
    # Created when a worker is free: later blocks have higher minimum scores, so fewer cells pass the screening.
    for block in blocks:
        lists = state.forward.scores[block.rows], state.backward.scores[block.columns]
        yield SearchTask(block, *(each[:, -1].copy() for each in lists))


@dataclass(frozen=True, eq=False)
class SearchWork:
    """The blocks of one search; each is written to ``folder``, or returned if there is none."""

    source: UnitRows
    target: UnitRows
    k: int
    tiling: Tiling
    folder: Path | None

    gpu = False
    threaded = True

    def open(self, threads: int | None, advance: Advance | None = None) -> Callable[[SearchTask], FoundBlock]:
        """Set the number of threads of the matrix product."""
        if threads is not None:
            threadpool_limits(threads, "blas")
        return partial(self._search, advance)

    def units(self, answer: FoundBlock) -> int:
        """Return the tiles of a block."""
        return self.tiles(answer.block)

    def tiles(self, block: Block) -> int:
        """Return the tiles of a block."""
        return self.tiling.tiles(block.last_row - block.first_row, block.last_column - block.first_column)

    def _search(self, advance: Advance | None, task: SearchTask) -> FoundBlock:
        block = task.block
        forward = Neighbors.above(task.row_floors, min(self.k, len(task.column_floors)))
        backward = Neighbors.above(task.column_floors, min(self.k, len(task.row_floors)))
        tile = np.empty(self.tiling.rows * self.tiling.columns, np.float32)
        for start in range(block.first_column, block.last_column, self.tiling.stripe):
            stripe = self.target.read(start, min(start + self.tiling.stripe, block.last_column))
            here = slice(start - block.first_column, start - block.first_column + len(stripe))
            found = Neighbors(backward.scores[here], backward.ids[here])
            for first in range(block.first_row, block.last_row, self.tiling.rows):
                part = self.source.read(first, min(first + self.tiling.rows, block.last_row))
                there = slice(first - block.first_row, first - block.first_row + len(part))
                lists = Neighbors(forward.scores[there], forward.ids[there])
                screen_stripe(part, stripe, lists, found, first, start, tile, self.tiling.columns)
                if advance is not None:
                    advance(self.tiling.tiles(len(part), len(stripe)))
        return FoundBlock.of(block, forward, backward, self.folder)


def slack_of(dimension: int) -> float:
    """Return how far a float32 matrix product of unit rows can be from the exact products.

    The bound of :func:`exact_neighbors`, plus a margin for rows that rounding has left slightly longer than 1.
    """
    return (dimension + 4) * 2.0**-24 * 1.001


def screen_stripe(
    rows: Floats,
    columns: Floats,
    forward: Neighbors,
    backward: Neighbors,
    first_row: int,
    first_column: int,
    tile: Floats,
    width: int,
) -> None:
    """Update the lists of rows and columns, ``width`` columns at a time; ``tile`` is scratch memory."""
    slack = slack_of(rows.shape[1])
    for left in range(0, len(columns), width):
        part = columns[left : left + width]
        product = tile[: len(rows) * len(part)].reshape(len(rows), len(part))
        np.matmul(rows, part.T, out=product)
        kernels.screen(
            product,
            rows,
            part,
            slack,
            forward.scores,
            forward.ids,
            backward.scores[left : left + len(part)],
            backward.ids[left : left + len(part)],
            first_row,
            first_column + left,
        )
