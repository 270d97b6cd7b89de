"""Exact search: neighbors in both directions from one pass over the blocks of the similarity matrix."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from otembed.embeddings.vectors import check_dimensions
from otembed.errors import ConfigError
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
from otembed.mining.search.screening import Operand, check_screen, choose_screen, most_exact, multiply
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
    columns: int = 1024
    stripe: int = 8192

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value < 1:
                raise ConfigError(f"{name} is {value}", "Use an integer >= 1.")

    def memory(self, dimension: int) -> int:
        """Return the bytes that one worker needs in addition to its neighbor lists."""
        return 4 * self.rows * self.columns + 5 * dimension * (self.stripe + 2 * self.rows)

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
    screen: str | None = None,
    progress: Progress = silent,
) -> tuple[Neighbors, Neighbors]:
    r"""Return the k nearest neighbors of each source row among the targets, and of each target among the sources.

    The score of two rows is their dot product, summed in float64 in a fixed order and rounded to float32; equal scores
    are ordered by id. A fast matrix product, in float32 or int8, is used for screening only: its error has a proven
    bound (:func:`otembed.mining.search.screening.multiply`), so a cell that is further below the last score of both of
    its lists cannot belong to either. The result is therefore identical to the byte for either product and for any
    executor, tiling, block size, number of shards and restarts.

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
    screen
        ``"float32"`` or ``"int8"``: the product for screening. ``None``: each worker uses int8 where its processor is
        exact and faster with it, in searches that are large enough, as long as it rules enough cells out.
    progress
        Called with the stage, the finished tiles and the total.

    Raises
    ------
    DataError
        The sides have vectors of different dimensions, or a file cannot be read or written.
    ConfigError
        ``k`` is below 1, ``screen`` is unknown, or a remote executor is used with vectors in memory or without
        ``state_file``.

    Notes
    -----
    Time: one product of n m d multiplications and one pass over its cells. Memory: ``12 k`` bytes for each row of both
    sides; for each worker the tiling and the neighbor lists of a block.
    """
    check_rows(source, target, k)
    check_screen(screen, source.vectors.dimension)
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
    work = SearchWork(source, target, k, tiling, make_block_folder(state_file), screen)
    advance = counting(progress, "searching", sum(map(work.tiles, blocks)))
    run_blocks(executor, work, _tasks(blocks, state), state, state_file, advance)
    return state.forward, state.backward


def check_rows(source: UnitRows, target: UnitRows, k: int) -> None:
    """Reject sides that cannot be compared."""
    if k < 1:
        raise ConfigError(f"k is {k}", "Use an integer >= 1.")
    first, second = ((side.vectors.name, side.vectors.dimension) for side in (source, target))
    check_dimensions(first, second)


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
    screen: str | None = None

    gpu = False
    threaded = True

    def open(self, threads: int | None, advance: Advance | None = None) -> Callable[[SearchTask], FoundBlock]:
        """Choose the product for screening, and set its number of threads."""
        screen = self.screen or choose_screen(len(self.source), len(self.target), self.source.vectors.dimension)
        if threads is not None:
            threadpool_limits(threads, "blas")
        if screen == "int8":
            import torch  # numpy multiplies otherwise, and a worker does without torch

            if threads is not None:
                torch.set_num_threads(threads)
        return partial(self._search, advance, screen == "int8")

    def units(self, answer: FoundBlock) -> int:
        """Return the tiles of a block."""
        return self.tiles(answer.block)

    def tiles(self, block: Block) -> int:
        """Return the tiles of a block."""
        return self.tiling.tiles(block.last_row - block.first_row, block.last_column - block.first_column)

    def _search(self, advance: Advance | None, int8: bool, task: SearchTask) -> FoundBlock:
        block = task.block
        forward = Neighbors.above(task.row_floors, min(self.k, len(task.column_floors)))
        backward = Neighbors.above(task.column_floors, min(self.k, len(task.row_floors)))
        tile = np.empty(self.tiling.rows * self.tiling.columns, np.float32)
        for start in range(block.first_column, block.last_column, self.tiling.stripe):
            columns = self.target.read(start, min(start + self.tiling.stripe, block.last_column))
            coded = int8
            stripe = Operand.of(columns, coded=coded)
            here = slice(start - block.first_column, start - block.first_column + len(stripe.rows))
            found = Neighbors(backward.scores[here], backward.ids[here])
            for first in range(block.first_row, block.last_row, self.tiling.rows):
                rows = self.source.read(first, min(first + self.tiling.rows, block.last_row))
                part = Operand.of(rows, coded=coded)
                size = len(part.rows), len(stripe.rows)
                there = slice(first - block.first_row, first - block.first_row + size[0])
                lists = Neighbors(forward.scores[there], forward.ids[there])
                computed = screen_stripe(part, stripe, lists, found, first, start, tile, self.tiling.columns)
                # Not for the first part: the lists of the columns are still empty, and either product rules out little.
                if self.screen is None and first > block.first_row:
                    coded = coded and computed <= most_exact(*size, self.k)
                if advance is not None:
                    advance(self.tiling.tiles(*size))
        return FoundBlock.of(block, forward, backward, self.folder)


def screen_stripe(
    rows: Operand,
    columns: Operand,
    forward: Neighbors,
    backward: Neighbors,
    first_row: int,
    first_column: int,
    tile: Floats,
    width: int,
) -> int:
    """Update the lists of rows and columns, ``width`` columns at a time, and return the number of exact products.

    ``tile`` is scratch memory.
    """
    computed = 0
    for left in range(0, len(columns.rows), width):
        part = columns.part(left, left + width)
        product = multiply(rows, part, tile)
        here = slice(left, left + len(part.rows))
        computed += kernels.screen(
            product.cells,
            rows.rows,
            part.rows,
            product.slack,
            product.unit,
            forward.scores,
            forward.ids,
            backward.scores[here],
            backward.ids[here],
            first_row,
            first_column + left,
        )
    return computed
