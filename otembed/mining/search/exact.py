"""Exact search: neighbors in both directions from one pass over the tiles of the similarity matrix."""

from __future__ import annotations

import threading
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

import numpy as np
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from otembed.errors import ConfigError, DataError
from otembed.mining.search import kernels
from otembed.mining.search.blocks import Block, take_up_left
from otembed.mining.search.neighbors import Neighbors, SearchState
from otembed.runtime.processors import available_workers
from otembed.runtime.progress import Progress, silent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otembed.embeddings.vectors import Floats
    from otembed.mining.search.sides import Side

SAVE_SECONDS = 60


@dataclass(frozen=True)
class Tiling:
    """Sizes of the pieces a search works on; they change its speed and memory, never its answer.

    Parameters
    ----------
    rows
        Source rows multiplied at a time.
    columns
        Target rows multiplied at a time: ``rows * columns`` cells are in memory, 4 bytes each.
    stripe
        Target rows kept while all source rows pass by.
    """

    rows: int = 1024
    columns: int = 2048
    stripe: int = 8192

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value < 1:
                raise ConfigError(f"{name} is {value}", "Give a whole number from 1.")

    def memory(self, dimension: int) -> int:
        """Return the bytes that one worker needs beside its neighbor lists."""
        return 4 * (self.rows * self.columns + dimension * (self.stripe + 2 * self.rows))


def exact_neighbors(
    source: Side,
    target: Side,
    k: int,
    *,
    tiling: Tiling | None = None,
    workers: int | None = None,
    state_file: Path | None = None,
    progress: Progress = silent,
) -> tuple[Neighbors, Neighbors]:
    r"""Return the k nearest neighbors of each source row among the targets, and the other way round.

    The score of two rows is their dot product, summed in float64 in a fixed order and rounded to float32;
    equal scores are ordered by id. A float32 matrix product only screens: rounding moves it by at most
    :math:`d\,2^{-24} |x| |y|` [1]_, whatever its order of summation, so a cell further below the last score of
    both of its lists cannot belong to either. The answer is therefore the same bytes for any tiling, number of
    workers, shards and restarts.

    Parameters
    ----------
    source, target
        The sides; streamed from their files.
    k
        Neighbors kept; with fewer rows on a side, all of them.
    tiling
        Sizes of the pieces.
    workers
        Threads, each on its own stripe of targets; by default all processors.
    state_file
        Saves what has been found, once a minute and at the end, and goes on from what it holds.
    progress
        Called with the stage, the tiles done and all tiles.

    Raises
    ------
    DataError
        The sides have vectors of different dimensions, or the state cannot be written.
    ConfigError
        ``k`` or ``workers`` is below 1.

    Notes
    -----
    Time: one product of n m d multiplications and one walk over its cells. Memory: the tiling, and
    ``12 k`` bytes for each row of both sides, those of the source once more for each worker.

    References
    ----------
    .. [1] N. Higham, "Accuracy and Stability of Numerical Algorithms", 2nd edition, section 3.1, SIAM 2002.
    """
    check_sides(source, target, k)
    if workers is not None and workers < 1:
        raise ConfigError(f"workers is {workers}", "Give a whole number from 1.")
    state = SearchState(len(source), len(target), k)
    if state_file is not None:
        state.load(state_file)
        take_up_left(state_file, state)
    _Search(source, target, state, tiling or Tiling(), state_file, progress).run(workers or available_workers())
    return state.forward, state.backward


def check_sides(source: Side, target: Side, k: int) -> None:
    """Refuse sides that cannot be compared."""
    if k < 1:
        raise ConfigError(f"k is {k}", "Give a whole number from 1.")
    if source.vectors.dimension != target.vectors.dimension:
        raise DataError(
            f"{source.vectors.name} has vectors of dimension {source.vectors.dimension}, "
            f"{target.vectors.name} of {target.vectors.dimension}",
            "Embed both sides with the same model.",
        )


def slack_of(dimension: int) -> float:
    """Return how far a float32 matrix product of unit rows may be from their exact products.

    The bound of :func:`exact_neighbors`; a little more for rows that rounding has left a little longer than 1.
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
    """Bring the lists of rows and columns up to date, ``width`` columns at a time; ``tile`` is scratch."""
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


class _Search:
    def __init__(
        self,
        source: Side,
        target: Side,
        state: SearchState,
        tiling: Tiling,
        state_file: Path | None,
        progress: Progress,
    ) -> None:
        self.source, self.target, self.state, self.tiling = source, target, state, tiling
        self.state_file, self.progress = state_file, progress
        self.lock = threading.Lock()
        self.stopped = threading.Event()
        self.saved_at = monotonic()
        self.blocks = -(-len(source) // tiling.rows)
        self.tiles_done = 0

    def run(self, workers: int) -> None:
        stripes = list(self.state.remaining(self.tiling.stripe))
        self.tiles_all = sum(self.blocks * self._tiles(start, stop) for start, stop in stripes)
        queue = iter(stripes)
        workers = min(workers, len(stripes))
        # Each worker multiplies on its own thread: together they would ask for workers^2.
        with threadpool_limits(1, "blas") if workers > 1 else nullcontext():
            if workers == 1:
                self._work(queue)
            elif workers > 1:
                self._work_together(queue, workers)
        if stripes and self.state_file is not None:
            self.state.save(self.state_file)

    def _work_together(self, queue: Iterator[tuple[int, int]], workers: int) -> None:
        with ThreadPoolExecutor(workers) as pool:
            try:
                running = [pool.submit(self._work, queue) for _ in range(workers)]
                for each in wait(running, return_when=FIRST_EXCEPTION).done:
                    each.result()
            except BaseException:
                self.stopped.set()
                raise

    def _tiles(self, start: int, stop: int) -> int:
        return -(-(stop - start) // self.tiling.columns)

    def _work(self, queue: Iterator[tuple[int, int]]) -> None:
        own = Neighbors.none(*self.state.forward.ids.shape)
        tile = np.empty(self.tiling.rows * self.tiling.columns, np.float32)
        while True:
            with self.lock:
                stripe = next(queue, None)
                if stripe is None:
                    return
                # What the others have found raises the bar for this stripe.
                own.merge(self.state.forward)
            found = self._stripe(*stripe, own, tile)
            if found is None:
                return
            with self.lock:
                self._finish(*stripe, own, found)

    def _stripe(self, start: int, stop: int, own: Neighbors, tile: np.ndarray) -> Neighbors | None:
        columns = self.target.read(start, stop)
        found = Neighbors(self.state.backward.scores[start:stop].copy(), self.state.backward.ids[start:stop].copy())
        for first in range(0, len(self.source), self.tiling.rows):
            if self.stopped.is_set():
                return None
            last = min(first + self.tiling.rows, len(self.source))
            # A block that another engine has searched is in the lists already.
            if not self.state.covers(Block(first, last, start, stop)):
                rows = self.source.read(first, last)
                lists = Neighbors(own.scores[first:last], own.ids[first:last])
                screen_stripe(rows, columns, lists, found, first, start, tile, self.tiling.columns)
            with self.lock:
                self.tiles_done += self._tiles(start, stop)
                self.progress("searching", self.tiles_done, self.tiles_all)
        return found

    def _finish(self, start: int, stop: int, own: Neighbors, found: Neighbors) -> None:
        self.state.forward.merge(own)
        self.state.backward.scores[start:stop] = found.scores
        self.state.backward.ids[start:stop] = found.ids
        self.state.done[start:stop] = True
        if self.state_file is not None and monotonic() - self.saved_at > SAVE_SECONDS:
            self.state.save(self.state_file)
            self.saved_at = monotonic()
