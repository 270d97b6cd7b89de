"""The tasks of an index search: build the index of a shard, and look up a block of queries in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from otembed.embeddings import row_kernels
from otembed.mining.search import kernels
from otembed.mining.search.blocks import FoundBlock
from otembed.mining.search.index import METHODS, Shard, build_index, index_file, load_index, one_thread
from otembed.mining.search.neighbors import Neighbors

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from otembed.embeddings.rows import UnitRows
    from otembed.embeddings.vectors import Ids
    from otembed.mining.search.state import Block
    from otembed.runtime.work import Advance

QUERIES = 256


class IndexTask(NamedTuple):
    """A shard of the side with this number."""

    side: int
    shard: Shard


@dataclass(frozen=True, eq=False)
class BuiltIndex:
    """A finished index; None if it is in its file."""

    task: IndexTask
    index: Any


@dataclass(frozen=True, eq=False)
class IndexWork:
    """The indexes of one or both sides; each is written to ``folder``, or returned if there is none.

    A task uses one thread, so that every engine builds the same index.
    """

    sides: tuple[UnitRows, ...]
    method: str
    folder: Path | None

    gpu = False
    threaded = True

    def open(self, threads: int | None, advance: Advance | None = None) -> Callable[[IndexTask], BuiltIndex]:
        """Return the function that builds one index."""
        return partial(self._build, advance)

    def units(self, answer: BuiltIndex) -> int:
        """Return the rows of an index."""
        return answer.task.shard.stop - answer.task.shard.start

    def _build(self, advance: Advance | None, task: IndexTask) -> BuiltIndex:
        base = self.sides[task.side]
        with one_thread():
            if self.folder is None:
                return BuiltIndex(task, build_index(base, task.shard, self.method, advance))
            load_index(
                base, task.shard, self.method, index_file(base, task.shard, self.method, self.folder), advance
            )
        return BuiltIndex(task, None)


@dataclass(frozen=True, eq=False)
class LookUpWork:
    """Blocks of queries against shards of the other side; the columns of each block are a shard.

    Parameters
    ----------
    queries, base, k, method
        As for the search.
    indexes
        Folder of the indexes, or the indexes themselves.
    folder
        Folder for the neighbor lists of the queries; without one they are returned.
    """

    queries: UnitRows
    base: UnitRows
    k: int
    method: str
    indexes: Path | Mapping[Shard, Any]
    folder: Path | None

    gpu = False
    threaded = True

    def open(self, threads: int | None, advance: Advance | None = None) -> Callable[[Block], FoundBlock]:
        """Return the function that looks up one block; it keeps the index that was used last."""
        return partial(self._look_up, _Held(self), advance)

    def units(self, answer: FoundBlock) -> int:
        """Return the queries of a block."""
        return answer.block.last_row - answer.block.first_row

    def load(self, shard: Shard) -> Any:
        """Return the index of a shard."""
        if isinstance(self.indexes, Mapping):
            return self.indexes[shard]
        return load_index(self.base, shard, self.method, index_file(self.base, shard, self.method, self.indexes))

    def _look_up(self, held: _Held, advance: Advance | None, block: Block) -> FoundBlock:
        shard = Shard(block.first_column, block.last_column)
        k = min(self.k, len(self.base))
        wanted = min(k * METHODS[self.method].candidates, shard.stop - shard.start)
        found = Neighbors.none(block.last_row - block.first_row, k)
        with one_thread():
            index = held.get(shard)
            for start in range(block.first_row, block.last_row, QUERIES):
                rows = self.queries.read(start, min(start + QUERIES, block.last_row))
                candidates: Ids = index.search(rows, wanted)[1].astype(np.int64)
                there = candidates >= 0
                candidates[there] += shard.start
                scores = np.full(candidates.shape, -np.inf, np.float32)
                exact = np.empty(int(there.sum()), np.float32)
                owners = np.repeat(np.arange(len(rows)), there.sum(axis=1))
                row_kernels.paired_dots(rows[owners], self.base.gather(candidates[there]), exact)
                scores[there] = exact
                part = slice(start - block.first_row, start - block.first_row + len(rows))
                kernels.merge_lists(found.scores[part], found.ids[part], scores, candidates)
                if advance is not None:
                    advance(len(rows))
        return FoundBlock.of(block, found, Neighbors.none(shard.stop - shard.start, 0), self.folder)


@dataclass(eq=False)
class _Held:
    """The index that was used last, shared by the threads of a worker; blocks come shard by shard."""

    work: LookUpWork
    shard: Shard | None = None
    index: Any = None
    lock: Lock = field(default_factory=Lock)

    def get(self, shard: Shard) -> Any:
        with self.lock:
            if shard != self.shard:
                self.shard = self.index = None
                self.index = self.work.load(shard)
                self.shard = shard
            return self.index
