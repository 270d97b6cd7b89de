"""Division of a search into pieces that fit the memory limit."""

from __future__ import annotations

from dataclasses import dataclass, replace

from otembed.errors import ConfigError
from otembed.mining.search.blocks import BLOCK_ROWS
from otembed.mining.search.exact import Tiling
from otembed.mining.search.index import METHODS, TRAIN_ROWS, cut_shards, index_bytes
from otembed.mining.search.index_work import QUERIES
from otembed.mining.search.neighbors import CANDIDATE, NEIGHBOR, list_places

SMALLEST = Tiling(rows=128, columns=128, stripe=512)
SMALLEST_SHARD = 1 << 15


@dataclass(frozen=True)
class SearchPlan:
    """Sizes of the pieces, workers, and the maximum bytes of search and pairing, without the loaded libraries.

    ``shard_rows`` is the maximum number of rows in one index, 0 for exact search.
    """

    tiling: Tiling
    workers: int
    memory: int
    shard_rows: int = 0


def search_memory(
    rows: int,
    columns: int,
    dimension: int,
    k: int,
    workers: int,
    tiling: Tiling,
    method: str = "exact",
    *,
    shard_rows: int = 0,
    remote: bool = False,
) -> int:
    """Return the maximum bytes of search and pairing."""
    places = list_places(rows, columns, k)
    lists = NEIGHBOR * places
    # The lists of a block: while it is searched, and as read back from its file.
    block = 2 * NEIGHBOR * (min(rows, BLOCK_ROWS) * min(k, columns) + min(columns, BLOCK_ROWS) * min(k, rows))
    pieces = workers * (tiling.memory(dimension) + block)
    if method in METHODS:
        # An index for each worker, its training sample, and the candidates of a block of queries.
        shards = [shard for side in (rows, columns) for shard in cut_shards(side, shard_rows)]
        largest = max(shard.stop - shard.start for shard in shards)
        # Threads share indexes, processes do not.
        held = workers if remote else min(workers, len(shards))
        sample = 4 * dimension * min(largest, TRAIN_ROWS)
        looked_up = 8 * dimension * QUERIES * min(k * METHODS[method].candidates, largest)
        pieces += held * index_bytes(method, largest, dimension) + workers * (sample + looked_up)
    candidates = CANDIDATE * places
    return max(lists + pieces, lists + candidates)


def plan_search(
    rows: int,
    columns: int,
    dimension: int,
    k: int,
    method: str = "exact",
    *,
    workers: int,
    memory_gb: float | None = None,
    remote: bool = False,
) -> SearchPlan:
    """Fit a search into a memory limit: smaller pieces first, then fewer workers.

    The size of the indexes is chosen for one worker, so it depends on the limit, but not on the workers or the engine.

    Raises
    ------
    ConfigError
        The neighbor lists and the candidates do not fit.
    """
    budget = None if memory_gb is None else int(memory_gb * 1e9)

    def needed(workers: int, tiling: Tiling) -> int:
        return search_memory(
            rows, columns, dimension, k, workers, tiling, method, shard_rows=shard_rows, remote=remote
        )

    shard_rows = METHODS[method].shard_rows if method in METHODS else 0
    while budget is not None and shard_rows > SMALLEST_SHARD and needed(1, SMALLEST) > budget:
        shard_rows //= 2
    while True:
        tiling = Tiling()
        while True:
            memory = needed(workers, tiling)
            if budget is None or memory <= budget:
                return SearchPlan(tiling, workers, memory, shard_rows)
            smaller = replace(
                tiling, **{name: max(value // 2, vars(SMALLEST)[name]) for name, value in vars(tiling).items()}
            )
            if smaller == tiling:
                break
            tiling = smaller
        if workers == 1:
            raise ConfigError(
                f"{rows} x {columns} rows with k = {k} ({method}) need {memory / 1e6:,.1f} MB, memory_gb is {memory_gb:g}",
                "Raise memory_gb, lower k, or mine the source in parts against the whole target.",
            )
        workers -= 1
