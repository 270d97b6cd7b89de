"""How a search is cut to fit the memory it may use."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from otembed.config.mining import MiningConfig
from otembed.embeddings.embed import embedding_key, shard_folder
from otembed.embeddings.encode import resolve_prompt
from otembed.embeddings.vectors import DTYPES
from otembed.errors import ConfigError
from otembed.mining.inputs import load_encoder
from otembed.mining.pairing.pairing import CANDIDATE
from otembed.mining.rescoring.rescore import open_rescorer
from otembed.mining.search.approximate import METHODS, QUERIES, TRAIN_ROWS, choose_method, index_bytes
from otembed.mining.search.exact import Tiling
from otembed.mining.search.neighbors import NEIGHBOR
from otembed.results import Result
from otembed.runtime.processors import available_workers

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sentence_transformers import SentenceTransformer

    from otembed.mining.inputs import Input

SMALLEST = Tiling(rows=128, columns=128, stripe=512)


@dataclass(frozen=True)
class SearchPlan:
    """Pieces, workers and the bytes that search and pairing take at most, beside the loaded libraries."""

    tiling: Tiling
    workers: int
    memory: int


@dataclass(frozen=True)
class MiningPlan(Result):
    """What ``otembed mine --dry-run`` finds; ``lines_to_embed`` are those not in the cache.

    ``disk_bytes`` is what the cache will grow by, ``memory_bytes`` what search and pairing take at most beside
    the loaded libraries and the model. Where words are compared, ``words`` are those of all lines, ``words_to_encode``
    the lines whose words are not in the cache, and ``transport_problems`` the most pairs that are compared.
    """

    source: dict[str, Any]
    target: dict[str, Any]
    dimension: int
    lines_to_embed: int
    disk_bytes: int
    search: str
    tiles: int
    workers: int
    memory_bytes: int
    tile_rows: int
    tile_columns: int
    stripe: int
    rescore: str = "none"
    words: int = 0
    words_to_encode: int = 0
    transport_problems: int = 0


def search_memory(
    rows: int, columns: int, dimension: int, k: int, workers: int, tiling: Tiling, method: str = "exact"
) -> int:
    """Return the bytes that search and pairing take at most."""
    lists = NEIGHBOR * k * (rows + columns + workers * rows)
    pieces = workers * tiling.memory(dimension)
    if method in METHODS:
        # One index at a time, the sample it is trained on, and the candidates of a block of queries.
        sample = 4 * dimension * min(max(rows, columns), TRAIN_ROWS)
        looked_up = 8 * dimension * QUERIES * k * METHODS[method].candidates
        pieces += index_bytes(method, max(rows, columns), dimension) + sample + looked_up
    candidates = CANDIDATE * k * (rows + columns)
    return max(lists + pieces, NEIGHBOR * k * (rows + columns) + candidates)


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
    """Cut a search to a budget: smaller pieces first, then fewer workers.

    Raises
    ------
    ConfigError
        The neighbor lists and the candidates alone do not fit.
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
                "Raise it, lower k, or mine parts of the source against the whole target.",
            )
        workers -= 1


def plan_mining(
    inputs: list[Input],
    model: SentenceTransformer | str | Path | None,
    config: MiningConfig,
    *,
    planted: Sequence[Input] = (),
    cache: str | Path | None = None,
    device: str | None = None,
) -> MiningPlan:
    """Say what a run would do: lines to embed, disk, tiles, memory.

    Nothing is written, and nothing encoded but the first line of a side whose words are to be compared. ``planted`` are the development pairs of a calibration, which are embedded as well.

    Raises
    ------
    ConfigError, DataError, ModelError
        What the run itself would refuse before it begins.
    """
    every = [*inputs, *planted]
    encoder = load_encoder(model, every, device)
    dimension, missing, disk = 0, 0, 0
    sides: list[dict[str, Any]] = []
    sizes: list[int] = []
    for each in every:
        read = len(each.vectors) if each.vectors is not None else 0
        if each.vectors is not None:
            dimension = each.vectors.dimension
        if each.lines is not None:
            read = each.lines.counts.read
        kept = read if each.lines is None else len(each.lines)
        if each.vectors is None and each.lines is not None and encoder is not None:
            prompt = resolve_prompt(encoder, config.prompt, config.prompt_name)
            key = embedding_key(each.lines, encoder, prompt, config.truncate_dim, config.precision)
            dimension = key.dimension
            left = kept - shard_folder(key, each.lines, cache).finished
            missing += left
            disk += left * dimension * DTYPES[config.precision].itemsize
        dropped = {} if each.lines is None else dict(each.lines.counts.dropped)
        sizes.append(kept)
        sides.append({"name": each.name, "read": read, "kept": kept, "dropped": dropped})
    rescorer = open_rescorer(inputs, encoder, config, cache=cache)
    stores = () if rescorer is None else rescorer.stores
    lacking = [store.missing() for store in stores]
    rows, columns = sizes[:2]
    workers = config.workers or available_workers()
    method = choose_method(config.search, rows, columns)
    plan = plan_search(rows, columns, dimension, config.k, method, workers=workers, memory_gb=config.memory_gb)
    lists = NEIGHBOR * (rows * min(config.k, columns) + columns * min(config.k, rows))
    indexes = index_bytes(method, rows, dimension) + index_bytes(method, columns, dimension)
    disk += sum(size for _, size in lacking) + (0 if rescorer is None else lists)
    tiling = plan.tiling
    stripes, rest = divmod(columns, tiling.stripe)
    across = stripes * -(-tiling.stripe // tiling.columns) + -(-rest // tiling.columns)
    return MiningPlan(
        source=sides[0],
        target=sides[1],
        dimension=dimension,
        lines_to_embed=missing,
        disk_bytes=disk + lists + indexes,
        search=method,
        tiles=-(-rows // tiling.rows) * across if method == "exact" else 0,
        workers=plan.workers,
        memory_bytes=max(plan.memory, 0 if rescorer is None else rescorer.memory(config.k)),
        tile_rows=tiling.rows,
        tile_columns=tiling.columns,
        stripe=tiling.stripe,
        rescore=config.rescore,
        words=sum(store.words for store in stores),
        words_to_encode=sum(lines for lines, _ in lacking),
        transport_problems=0 if rescorer is None else lists // NEIGHBOR,
    )
