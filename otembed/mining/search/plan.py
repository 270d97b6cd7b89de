"""Division of a search into pieces that fit the memory limit."""

from __future__ import annotations

from dataclasses import dataclass, replace

from otembed.errors import ConfigError
from otembed.mining.pairing.pairing import CANDIDATE
from otembed.mining.search.approximate import METHODS, QUERIES, TRAIN_ROWS, index_bytes
from otembed.mining.search.exact import BLOCK_ROWS, Tiling
from otembed.mining.search.neighbors import NEIGHBOR

SMALLEST = Tiling(rows=128, columns=128, stripe=512)


@dataclass(frozen=True)
class SearchPlan:
    """Sizes of the pieces, workers, and the maximum bytes of search and pairing, without the loaded libraries."""

    tiling: Tiling
    workers: int
    memory: int


def search_memory(
    rows: int, columns: int, dimension: int, k: int, workers: int, tiling: Tiling, method: str = "exact"
) -> int:
    """Return the maximum bytes of search and pairing."""
    lists = NEIGHBOR * k * (rows + columns)
    # The lists of a block: while it is searched, and as read back from its file.
    block = 2 * NEIGHBOR * k * (min(rows, BLOCK_ROWS) + min(columns, BLOCK_ROWS))
    pieces = workers * (tiling.memory(dimension) + block)
    if method in METHODS:
        # One index at a time, its training sample, and the candidates of a block of queries.
        sample = 4 * dimension * min(max(rows, columns), TRAIN_ROWS)
        looked_up = 8 * dimension * QUERIES * k * METHODS[method].candidates
        pieces += index_bytes(method, max(rows, columns), dimension) + sample + looked_up
    candidates = CANDIDATE * k * (rows + columns)
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
) -> SearchPlan:
    """Fit a search into a memory limit: smaller pieces first, then fewer workers.

    Raises
    ------
    ConfigError
        The neighbor lists and the candidates do not fit.
    """
    budget = None if memory_gb is None else int(memory_gb * 1e9)
    while True:
        tiling = Tiling()
        while True:
            needed = search_memory(rows, columns, dimension, k, workers, tiling, method)
            if budget is None or needed <= budget:
                return SearchPlan(tiling, workers, needed)
            smaller = replace(
                tiling, **{name: max(value // 2, vars(SMALLEST)[name]) for name, value in vars(tiling).items()}
            )
            if smaller == tiling:
                break
            tiling = smaller
        if workers == 1:
            raise ConfigError(
                f"{rows} x {columns} rows with k = {k} ({method}) need {needed / 1e6:,.1f} MB, memory_gb is {memory_gb:g}",
                "Raise memory_gb, lower k, or mine the source in parts against the whole target.",
            )
        workers -= 1
