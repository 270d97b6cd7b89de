"""The neighbors of both sides, by the method and the executor that the settings choose."""

from __future__ import annotations

import logging
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from otembed.embeddings.cache import cache_home, cache_lock, make_cache_folder
from otembed.errors import OutputError
from otembed.mining.search.approximate import approximate_neighbors, choose_method
from otembed.mining.search.exact import exact_neighbors
from otembed.mining.search.index import METHODS
from otembed.mining.search.plan import plan_search
from otembed.runtime.executors import LocalExecutor
from otembed.runtime.processors import available_workers
from otembed.runtime.progress import Progress, silent

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from otembed.config.mining import MiningConfig
    from otembed.embeddings.rows import UnitRows
    from otembed.mining.search.neighbors import Neighbors
    from otembed.runtime.work import Executor

logger = logging.getLogger(__name__)

STATE_SCHEMA = 4
# Folders of the cache.
SEARCHES, INDEXES = "searches", "indexes"


@contextmanager
def _alone(state_file: Path | None) -> Iterator[None]:
    """Wait for another process that runs the same search, which removes its files when it is done; then its result is read."""
    with ExitStack() as stack:
        if state_file is not None:
            with suppress(OutputError):  # a finished search can be read from a cache that cannot be written
                stack.enter_context(cache_lock(state_file.parent, state_file.stem))
        yield


@dataclass(frozen=True, eq=False)
class Found:
    """Neighbors of both sides, the method that found them, and its recall; None for the exact method."""

    forward: Neighbors
    backward: Neighbors
    method: str
    recall: float | None


def search_file(
    source: UnitRows, target: UnitRows, k: int, method: str, shard_rows: int, cache: str | Path | None
) -> Path | None:
    """Return the file of a search in the cache; None if both sides are arrays in memory, and nothing is stored."""
    if all(part.array is not None for each in (source, target) for part in each.vectors.parts):
        return None
    key: tuple[Any, ...] = (STATE_SCHEMA, source.digest, target.digest, source.centered, k, method)
    if method in METHODS:
        key += (shard_rows, METHODS[method].candidates, METHODS[method].settings)
    return cache_home(cache) / SEARCHES / f"{blake2b(repr(key).encode(), digest_size=16).hexdigest()}.npz"


def search(
    source: UnitRows,
    target: UnitRows,
    config: MiningConfig,
    *,
    cache: str | Path | None,
    executor: Executor | None = None,
    progress: Progress = silent,
) -> Found:
    """Return the neighbors of both sides; resume the same search from the cache.

    If both sides are arrays in memory, nothing is written to disk.
    """
    rows, columns = len(source), len(target)
    method = choose_method(config.search, rows, columns)
    workers = config.workers or available_workers()
    remote = executor if executor is not None and executor.remote else None
    plan = plan_search(
        rows,
        columns,
        source.vectors.dimension,
        config.k,
        method,
        workers=workers,
        memory_gb=config.memory_gb,
        remote=remote is not None,
    )
    state_file, index_folder = search_file(source, target, config.k, method, plan.shard_rows, cache), None
    if state_file is not None:
        make_cache_folder(cache, SEARCHES)
        index_folder = None if method == "exact" else make_cache_folder(cache, INDEXES)
    chosen = remote or LocalExecutor(plan.workers)
    with _alone(state_file):
        if method == "exact":
            forward, backward = exact_neighbors(
                source,
                target,
                config.k,
                executor=chosen,
                tiling=plan.tiling,
                state_file=state_file,
                progress=progress,
            )
            return Found(forward, backward, method, None)
        forward, backward, recall = approximate_neighbors(
            source,
            target,
            config.k,
            method,
            executor=chosen,
            shard_rows=plan.shard_rows,
            cache=index_folder,
            state_file=state_file,
            progress=progress,
        )
    if recall < config.min_recall:
        logger.warning(
            "recall %.3f is below %.3f: pairs may be missed and margins are inaccurate; set search: exact, or another index",
            recall,
            config.min_recall,
        )
    return Found(forward, backward, method, recall)
