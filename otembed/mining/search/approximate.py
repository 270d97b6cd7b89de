"""Approximate search with FAISS indexes: candidates are re-ranked exactly, and the recall is measured."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from otembed.errors import ConfigError, did_you_mean
from otembed.mining.search import kernels
from otembed.mining.search.blocks import BLOCK_ROWS, block_side, make_block_folder, require_files, run_blocks
from otembed.mining.search.exact import check_rows, exact_neighbors
from otembed.mining.search.index import METHODS, Shard, cut_shards, index_file
from otembed.mining.search.index_work import QUERIES, IndexTask, IndexWork, LookUpWork
from otembed.mining.search.state import Block, SearchState, add_leftovers
from otembed.runtime.executors import LocalExecutor
from otembed.runtime.progress import Progress, counting, silent

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from otembed.embeddings.rows import UnitRows
    from otembed.mining.search.neighbors import Neighbors
    from otembed.runtime.work import Executor

logger = logging.getLogger(__name__)

# Up to this many cells of the similarity matrix, exact search finds everything in minutes with int8 products, where it is
# faster than pq (2.0 times at 300,000 lines), and in half an hour of one processor without.
EXACT_CELLS = 500_000**2
PQ_CELLS = 1_000_000**2
# An index over fewer rows saves no time, and pq cannot be trained on a few rows.
MIN_ROWS = 1000
RECALL_QUERIES = 1000
# Fewer queries are not worth a task.
LEAST_QUERIES = 16 * QUERIES


def choose_method(search: str, rows: int, columns: int) -> str:
    """Return the method for collections of this size.

    >>> choose_method("auto", 100_000, 100_000), choose_method("auto", 500_000, 900_000)
    ('exact', 'pq')
    """
    known = ("auto", "exact", *METHODS)
    if search not in known:
        raise ConfigError(f"search is {search!r}", did_you_mean(search, known))
    if search != "auto":
        return search
    cells = rows * columns
    return "exact" if cells <= EXACT_CELLS else "pq" if cells <= PQ_CELLS else "hnsw"


def approximate_neighbors(
    source: UnitRows,
    target: UnitRows,
    k: int,
    method: str,
    *,
    executor: Executor | None = None,
    shard_rows: int | None = None,
    cache: Path | None = None,
    state_file: Path | None = None,
    progress: Progress = silent,
) -> tuple[Neighbors, Neighbors, float]:
    """Return the k nearest neighbors of each row of both sides that indexes find, and their recall.

    Each side is indexed in shards and queried with the other one. Candidates are ranked by their exact cosines, as in
    :func:`otembed.mining.search.exact.exact_neighbors`, and the lists of all shards are merged. A pair found from one
    side counts for both. Rows for which the indexes return too few candidates (index -1), and sides of fewer than 1,000
    rows, are searched exactly. The result depends on ``shard_rows``, but not on executors or restarts.

    Parameters
    ----------
    source, target, k
        As for the exact search.
    method
        ``hnsw`` or ``pq``.
    executor
        Executor that builds the indexes and looks up blocks of queries; ``None``: threads of this process, one for
        each processor. What is searched exactly is searched in this process.
    shard_rows
        Maximum number of rows in one index; by default that of the method.
    cache
        Folder in which indexes are stored and reused.
    state_file
        File in which the result is stored and reused. Until then, the lists of both directions are stored in files next
        to it, from which a search resumes with any executor.
    progress
        Called with the stage, the finished rows and the total.

    Returns
    -------
    tuple
        Lists of both sides without free places (-1), and the recall: the share of the true neighbors of up to 1,000
        rows of each side that were found.

    Raises
    ------
    ConfigError
        ``k`` is below 1, or a remote executor is used with vectors in memory or without ``state_file`` and ``cache``.
    DataError
        The sides have vectors of different dimensions.
    OutputError
        The cache cannot be written.
    """
    check_rows(source, target, k)
    executor = executor or LocalExecutor()
    if executor.remote:
        require_files(source, target, state_file)
        if cache is None:
            raise ConfigError("cache is missing", "Set it: workers in other processes write their indexes there.")
    state = SearchState(len(source), len(target), k)
    if state_file is not None:
        state.load(state_file)
    if state.recall is not None:
        return state.forward, state.backward, state.recall
    here = LocalExecutor() if executor.remote else executor
    options = _Options(k, method, shard_rows or METHODS[method].shard_rows, cache, executor, here, progress)
    directions = [
        _Direction.open(
            queries, base, options, None if state_file is None else state_file.with_suffix(f".{name}.npz")
        )
        for queries, base, name in ((source, target, "forward"), (target, source, "backward"))
    ]
    if cache is not None:
        _build_missing(directions, cache, options)
    for direction in directions:
        direction.search(options)
    state.forward, state.backward = (direction.found for direction in directions)
    kernels.merge_turned(state.backward.scores, state.backward.ids, state.forward.scores, state.forward.ids)
    kernels.merge_turned(state.forward.scores, state.forward.ids, state.backward.scores, state.backward.ids)
    for direction in directions:
        _fill(direction, k, here)
    state.recall = min(_recall(direction, k, here) for direction in directions)
    state.done[:] = True
    if state_file is not None:
        state.save(state_file)
        for direction in directions:
            direction.forget()
    return state.forward, state.backward, state.recall


@dataclass(frozen=True, eq=False)
class _Options:
    """What both directions share: ``executor`` runs tasks, ``here`` searches exactly."""

    k: int
    method: str
    shard_rows: int
    cache: Path | None
    executor: Executor
    here: Executor
    progress: Progress


@dataclass(frozen=True, eq=False)
class _Direction:
    """The rows of one side as queries, the other side in indexes, and the blocks that are not searched."""

    queries: UnitRows
    base: UnitRows
    state: SearchState
    state_file: Path | None
    blocks: list[Block]

    @classmethod
    def open(cls, queries: UnitRows, base: UnitRows, options: _Options, state_file: Path | None) -> _Direction:
        """Load what an interrupted search has left, and divide the rest into blocks, shard by shard."""
        state = SearchState(len(queries), len(base), options.k, both=False)
        if len(base) < MIN_ROWS:
            return cls(queries, base, state, None, [])
        if state_file is not None:
            state.load(state_file)
            add_leftovers(state_file, state)
        shards = cut_shards(len(base), options.shard_rows)
        side = block_side(
            lambda side: len(shards) * -(-len(queries) // side), BLOCK_ROWS, LEAST_QUERIES, options.executor.workers
        )
        blocks = [
            Block(first, min(first + side, len(queries)), *shard)
            for shard in shards
            for first in range(0, len(queries), side)
        ]
        return cls(queries, base, state, state_file, [block for block in blocks if not state.covers(block)])

    @property
    def found(self) -> Neighbors:
        """The neighbor lists of the queries."""
        return self.state.forward

    @property
    def shards(self) -> list[Shard]:
        """The shards of the blocks."""
        return list(dict.fromkeys(Shard(*block[2:]) for block in self.blocks))

    def search(self, options: _Options) -> None:
        """Look up all blocks; without a cache, build as many indexes as there are workers, and then the next ones."""
        if len(self.base) < MIN_ROWS:
            logger.info("%s has too few rows for an index and is searched exactly", self.base.vectors.name)
            self.found.merge(exact_neighbors(self.queries, self.base, options.k, executor=options.here)[0])
        elif options.cache is not None:
            self._look_up(self.blocks, options.cache, options)
        else:
            shards, many = self.shards, options.executor.workers
            for first in range(0, len(shards), many):
                tasks = [IndexTask(0, shard) for shard in shards[first : first + many]]
                indexes = _build([self.base], tasks, options)
                blocks = [block for block in self.blocks if Shard(*block[2:]) in indexes]
                self._look_up(blocks, indexes, options)

    def _look_up(self, blocks: list[Block], indexes: Path | Mapping[Shard, Any], options: _Options) -> None:
        if not blocks:
            return
        folder = make_block_folder(self.state_file)
        work = LookUpWork(self.queries, self.base, options.k, options.method, indexes, folder)
        total = sum(block.last_row - block.first_row for block in blocks)
        advance = counting(options.progress, "looking up", total)
        run_blocks(options.executor, work, blocks, self.state, self.state_file, advance)

    def forget(self) -> None:
        """Remove the file of the state."""
        if self.state_file is not None:
            self.state_file.unlink(missing_ok=True)


def _build_missing(directions: Sequence[_Direction], cache: Path, options: _Options) -> None:
    """Build the indexes of both sides that blocks need and the cache lacks."""
    files = {
        IndexTask(side, shard): index_file(direction.base, shard, options.method, cache)
        for side, direction in enumerate(directions)
        for shard in direction.shards
    }
    missing = [task for task, file in files.items() if not file.exists()]
    _build([direction.base for direction in directions], missing, options)


def _build(bases: Sequence[UnitRows], tasks: Sequence[IndexTask], options: _Options) -> dict[Shard, Any]:
    """Build indexes; without a cache, return them by their shards."""
    if not tasks:
        return {}
    work = IndexWork(tuple(bases), options.method, options.cache)
    advance = counting(options.progress, "indexing", sum(task.shard.stop - task.shard.start for task in tasks))
    built = options.executor.run(work, tasks, advance)
    return {each.task.shard: each.index for each in built}


def _fill(direction: _Direction, k: int, executor: Executor) -> None:
    """Search the rows with incomplete lists exactly."""
    queries, found = direction.queries, direction.found
    short = np.flatnonzero(found.ids[:, -1] < 0)
    if len(short):
        logger.info("%d rows of %s were searched exactly", len(short), queries.vectors.name)
        exact = exact_neighbors(queries.choose(short), direction.base, k, executor=executor)[0]
        found.scores[short], found.ids[short] = exact.scores, exact.ids


def _recall(direction: _Direction, k: int, executor: Executor) -> float:
    queries = direction.queries
    chosen = np.unique(np.linspace(0, len(queries) - 1, min(len(queries), RECALL_QUERIES)).astype(np.int64))
    exact = exact_neighbors(queries.choose(chosen), direction.base, k, executor=executor)[0]
    # An equal score counts as a true neighbor: an index cannot rank ties.
    return float((direction.found.scores[chosen] >= exact.scores[:, -1:]).mean())
