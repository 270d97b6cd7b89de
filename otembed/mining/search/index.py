"""FAISS indexes over parts of a side: how they are built, how large they are, and their files in the cache."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import faiss
import numpy as np
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from otembed.embeddings.cache import KEPT, OPTION
from otembed.runtime.sealed import is_sound, write_sealed

if TYPE_CHECKING:
    from otembed.embeddings.rows import UnitRows
    from otembed.runtime.work import Advance

logger = logging.getLogger(__name__)

INDEX_SCHEMA = 2
TRAIN_ROWS = 65_536
ADDED_ROWS = 4096
GRAPH_LINKS = 32
GRAPH_BUILD, GRAPH_SEARCH = 100, 128
CODE_BITS = 4


def _pq_parts(dimension: int) -> int:
    """Return the number of sub-vectors, which divides the dimension: four entries each if possible, else more."""
    return max(parts for parts in range(1, max(dimension // 4, 1) + 1) if dimension % parts == 0)


@dataclass(frozen=True)
class Method:
    """A kind of index.

    Parameters
    ----------
    candidates
        Candidates that are re-ranked for each neighbor.
    shard_rows
        Maximum number of rows in one index: a graph is slow to build and large, codes are neither.
    bytes_per_row
        Bytes of a row in the index, by dimension.
    settings
        What the content of an index depends on, besides its rows.
    """

    candidates: int
    shard_rows: int
    bytes_per_row: Callable[[int], float]
    settings: tuple[int, ...]


METHODS: dict[str, Method] = {
    "hnsw": Method(
        2,
        1 << 18,
        lambda dimension: 4 * dimension + 8 * GRAPH_LINKS + 20,
        (GRAPH_LINKS, GRAPH_BUILD, GRAPH_SEARCH),
    ),
    "pq": Method(16, 1 << 20, lambda dimension: _pq_parts(dimension) / 2, (CODE_BITS, TRAIN_ROWS)),
}


class Shard(NamedTuple):
    """Rows ``start`` to ``stop`` (exclusive) of a side, which one index holds."""

    start: int
    stop: int


def cut_shards(rows: int, most: int) -> list[Shard]:
    """Return shards of about equal size, of at most ``most`` rows.

    >>> cut_shards(10, 4)
    [Shard(start=0, stop=3), Shard(start=3, stop=6), Shard(start=6, stop=10)]
    """
    count = -(-rows // most)
    edges = [rows * number // count for number in range(count + 1)]
    return [Shard(*each) for each in pairwise(edges)]


def index_bytes(method: str, rows: int, dimension: int) -> int:
    """Return the approximate bytes of indexes over so many rows; 0 for exact search."""
    return 0 if method not in METHODS else int(rows * METHODS[method].bytes_per_row(dimension))


@contextmanager
def one_thread() -> Iterator[None]:
    """Let FAISS use one thread in this one: a graph that several threads build differs from run to run."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        with threadpool_limits(1, "blas"):
            yield
    finally:
        faiss.omp_set_num_threads(before)


def index_file(base: UnitRows, shard: Shard, method: str, folder: Path) -> Path:
    """Return the file of an index; its name depends on the rows and on all settings."""
    key = (INDEX_SCHEMA, faiss.__version__, method, METHODS[method].settings, base.digest, base.centered, *shard)
    return folder / f"{blake2b(repr(key).encode(), digest_size=16).hexdigest()}.faiss"


def load_index(base: UnitRows, shard: Shard, method: str, path: Path, advance: Advance | None = None) -> Any:
    """Return the index from its file; one that is missing or corrupt is built and written."""
    # FAISS reads a damaged index without noticing, and finds other neighbors.
    if path.exists():
        if is_sound(path):
            return faiss.read_index(str(path))
        logger.warning("%s: the index is corrupt and is rebuilt", path)
    index = build_index(base, shard, method, advance)
    write_sealed(path, lambda file: faiss.write_index(index, str(file)), option=OPTION, kept=KEPT)
    return index


def build_index(base: UnitRows, shard: Shard, method: str, advance: Advance | None = None) -> Any:
    """Return an index over the rows of a shard; ``advance`` is called with the numbers of rows."""
    index = _empty(method, base.vectors.dimension)
    if not index.is_trained:
        # Evenly spaced rows, so that the sample is the same in every run and covers the whole shard.
        count = min(shard.stop - shard.start, TRAIN_ROWS)
        index.train(base.gather(np.unique(np.linspace(shard.start, shard.stop - 1, count).astype(np.int64))))
    for start in range(shard.start, shard.stop, ADDED_ROWS):
        rows = base.read(start, min(start + ADDED_ROWS, shard.stop))
        index.add(rows)
        if advance is not None:
            advance(len(rows))
    return index


def _empty(method: str, dimension: int) -> Any:
    inner = faiss.METRIC_INNER_PRODUCT
    index: Any
    if method == "hnsw":
        index = faiss.IndexHNSWFlat(dimension, GRAPH_LINKS, inner)
        index.hnsw.efConstruction, index.hnsw.efSearch = GRAPH_BUILD, GRAPH_SEARCH
        return index
    return faiss.IndexPQFastScan(dimension, _pq_parts(dimension), CODE_BITS, inner)
