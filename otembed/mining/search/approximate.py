"""Approximate search with a FAISS index: candidates are re-ranked exactly, and the recall is measured."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

import faiss
import numpy as np

from otembed.embeddings import row_kernels
from otembed.embeddings.cache import KEPT, OPTION, cache_lock
from otembed.errors import ConfigError, did_you_mean
from otembed.mining.search import kernels
from otembed.mining.search.exact import check_rows, exact_neighbors
from otembed.mining.search.neighbors import Neighbors
from otembed.mining.search.state import SearchState
from otembed.runtime.executors import LocalExecutor
from otembed.runtime.processors import available_workers
from otembed.runtime.progress import Progress, silent
from otembed.runtime.sealed import is_sound, write_sealed

if TYPE_CHECKING:
    from otembed.embeddings.rows import UnitRows
    from otembed.embeddings.vectors import Ids

logger = logging.getLogger(__name__)

INDEX_SCHEMA = 2
# Up to this many cells of the similarity matrix, exact search takes minutes and finds everything.
EXACT_CELLS = 200_000**2
PQ_CELLS = 1_000_000**2
# An index over fewer rows saves no time, and pq cannot be trained on a few rows.
MIN_ROWS = 1000
TRAIN_ROWS = 65_536
RECALL_QUERIES = 1000
BLOCK = 4096
QUERIES = 256
GRAPH_LINKS = 32


@dataclass(frozen=True)
class Method:
    """An index: how many candidates are re-ranked for each neighbor, and its bytes per row."""

    candidates: int
    bytes_per_row: Any


def _pq_parts(dimension: int) -> int:
    """Return the number of sub-vectors, which divides the dimension: four entries each if possible, else more."""
    return max(parts for parts in range(1, max(dimension // 4, 1) + 1) if dimension % parts == 0)


METHODS: dict[str, Method] = {
    "hnsw": Method(2, lambda dimension: 4 * dimension + 8 * GRAPH_LINKS + 20),
    "pq": Method(16, lambda dimension: _pq_parts(dimension) / 2),
}


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


def index_bytes(method: str, rows: int, dimension: int) -> int:
    """Return the approximate memory of the index over one side; 0 for exact search."""
    return 0 if method not in METHODS else int(rows * METHODS[method].bytes_per_row(dimension))


def approximate_neighbors(
    source: UnitRows,
    target: UnitRows,
    k: int,
    method: str,
    *,
    workers: int | None = None,
    cache: Path | None = None,
    state_file: Path | None = None,
    progress: Progress = silent,
) -> tuple[Neighbors, Neighbors, float]:
    """Return the k nearest neighbors of each row of both sides that an index finds, and its recall.

    Each side is indexed and queried with the other one. Candidates are ranked by their exact cosines, as in
    :func:`otembed.mining.search.exact.exact_neighbors`. A pair found from one side counts for both. Rows for which the
    index returns too few candidates (index -1), and sides of fewer than 1,000 rows, are searched exactly.

    Parameters
    ----------
    source, target, k
        As for the exact search.
    method
        ``hnsw`` or ``pq``.
    workers
        Threads. A graph (``hnsw``) built by several threads differs from run to run, unless it comes from the
        cache; ``pq`` does not.
    cache
        Folder in which indexes are stored and reused.
    state_file
        File in which the result is stored and reused.

    Returns
    -------
    tuple
        Lists of both sides without free places (-1), and the recall: the share of the true neighbors of up to 1,000
        rows of each side that were found.

    Raises
    ------
    ConfigError
        ``k`` is below 1.
    DataError
        The sides have vectors of different dimensions.
    OutputError
        The cache cannot be written.
    """
    check_rows(source, target, k)
    workers = workers or available_workers()
    state = SearchState(len(source), len(target), k)
    if state_file is not None:
        state.load(state_file)
    if state.recall is not None:
        return state.forward, state.backward, state.recall
    with _threads(workers):
        for queries, base, found in ((source, target, state.forward), (target, source, state.backward)):
            if len(base) < MIN_ROWS:
                logger.info("%s has too few rows for an index and is searched exactly", base.vectors.name)
                found.merge(exact_neighbors(queries, base, k, executor=LocalExecutor(workers))[0])
                continue
            index = _index(base, method, cache, progress)
            _look_up(queries, base, index, found, METHODS[method].candidates, progress)
    kernels.merge_turned(state.backward.scores, state.backward.ids, state.forward.scores, state.forward.ids)
    kernels.merge_turned(state.forward.scores, state.forward.ids, state.backward.scores, state.backward.ids)
    for queries, base, found in ((source, target, state.forward), (target, source, state.backward)):
        _fill(queries, base, found, k, workers)
    recalls = [
        _recall(queries, base, found, k, workers)
        for queries, base, found in ((source, target, state.forward), (target, source, state.backward))
    ]
    state.recall = min(recalls)
    state.done[:] = True
    if state_file is not None:
        state.save(state_file)
    return state.forward, state.backward, state.recall


@contextmanager
def _threads(workers: int) -> Iterator[None]:
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(workers)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def _index(base: UnitRows, method: str, cache: Path | None, progress: Progress) -> Any:
    if cache is None:
        return _build(base, method, progress)
    key = repr((INDEX_SCHEMA, faiss.__version__, method, base.digest, base.centered))
    path = cache / f"{blake2b(key.encode(), digest_size=16).hexdigest()}.faiss"
    with cache_lock(cache, path.stem):
        for left in cache.glob(f".{path.name}.*.tmp"):
            left.unlink()
        # FAISS reads a damaged index without noticing, and finds other neighbors.
        if path.exists():
            if is_sound(path):
                return faiss.read_index(str(path))
            logger.warning("%s: the index is corrupt and is rebuilt", path)
        index = _build(base, method, progress)
        write_sealed(path, lambda file: faiss.write_index(index, str(file)), option=OPTION, kept=KEPT)
    return index


def _build(base: UnitRows, method: str, progress: Progress) -> Any:
    index = _empty(method, base.vectors.dimension)
    if not index.is_trained:
        # Evenly spaced rows, so that the sample is the same in every run and covers the whole file.
        chosen = np.unique(np.linspace(0, len(base) - 1, min(len(base), TRAIN_ROWS)).astype(np.int64))
        index.train(base.gather(chosen))
    for start in range(0, len(base), BLOCK):
        rows = base.read(start, start + BLOCK)
        index.add(rows)
        progress(f"indexing {base.vectors.name}", start + len(rows), len(base))
    return index


def _empty(method: str, dimension: int) -> Any:
    inner = faiss.METRIC_INNER_PRODUCT
    index: Any
    if method == "hnsw":
        index = faiss.IndexHNSWFlat(dimension, GRAPH_LINKS, inner)
        index.hnsw.efConstruction, index.hnsw.efSearch = 100, 128
        return index
    return faiss.IndexPQFastScan(dimension, _pq_parts(dimension), 4, inner)


def _look_up(
    queries: UnitRows, base: UnitRows, index: Any, found: Neighbors, factor: int, progress: Progress
) -> None:
    wanted = min(found.ids.shape[1] * factor, len(base))
    for start in range(0, len(queries), QUERIES):
        rows = queries.read(start, start + QUERIES)
        candidates: Ids = index.search(rows, wanted)[1].astype(np.int64)
        there = candidates >= 0
        scores = np.full(candidates.shape, -np.inf, np.float32)
        exact = np.empty(int(there.sum()), np.float32)
        owners = np.repeat(np.arange(len(rows)), there.sum(axis=1))
        row_kernels.paired_dots(rows[owners], base.gather(candidates[there]), exact)
        scores[there] = exact
        part = slice(start, start + len(rows))
        kernels.merge_lists(found.scores[part], found.ids[part], scores, candidates)
        progress("looking up", start + len(rows), len(queries))


def _fill(queries: UnitRows, base: UnitRows, found: Neighbors, k: int, workers: int) -> None:
    """Search the rows with incomplete lists exactly."""
    short = np.flatnonzero(found.ids[:, -1] < 0)
    if len(short):
        logger.info("%d rows of %s were searched exactly", len(short), queries.vectors.name)
        exact = exact_neighbors(queries.choose(short), base, k, executor=LocalExecutor(workers))[0]
        found.scores[short], found.ids[short] = exact.scores, exact.ids


def _recall(queries: UnitRows, base: UnitRows, found: Neighbors, k: int, workers: int) -> float:
    chosen = np.unique(np.linspace(0, len(queries) - 1, min(len(queries), RECALL_QUERIES)).astype(np.int64))
    exact = exact_neighbors(queries.choose(chosen), base, k, executor=LocalExecutor(workers))[0]
    # An equal score counts as a true neighbor: an index cannot rank ties.
    return float((found.scores[chosen] >= exact.scores[:, -1:]).mean())
