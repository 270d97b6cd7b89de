"""The work that a run would do, for ``--dry-run``."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from otembed.embeddings.cache import cache_home
from otembed.embeddings.embed import embedding_key, shard_folder
from otembed.embeddings.encode import resolve_prompt
from otembed.embeddings.routes import language_task
from otembed.embeddings.vectors import DTYPES
from otembed.mining.rescoring.rescore import open_rescorer
from otembed.mining.search.approximate import MIN_ROWS, choose_method
from otembed.mining.search.index import cut_shards, index_bytes, index_file
from otembed.mining.search.neighbors import NEIGHBOR, list_places
from otembed.mining.search.plan import plan_search
from otembed.mining.search.search import INDEXES, SEARCHES, search_file
from otembed.mining.search.state import SearchState
from otembed.mining.side import center_both, check_run, load_encoder
from otembed.results import Result
from otembed.runtime.processors import available_workers

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sentence_transformers import SentenceTransformer

    from otembed.config.mining import MiningConfig
    from otembed.mining.rescoring.rescore import Rescorer
    from otembed.mining.side import Side


@dataclass(frozen=True)
class MiningPlan(Result):
    """The report of ``otembed mine --dry-run``.

    ``lines_to_embed`` are the lines that are not in the cache, ``disk_bytes`` is the growth of the cache by vectors, words,
    indexes and lists that are not in it, and
    ``memory_bytes`` the maximum memory of search and pairing, without the loaded libraries and the model.
    ``indexes`` counts the indexes over parts of both sides, 0 for exact search. With rescoring, ``words`` counts the
    words of all lines, ``words_to_encode`` the lines whose words are not in the cache, and ``transport_problems`` is the
    maximum number of pairs that are compared.
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
    indexes: int = 0
    rescore: str = "none"
    words: int = 0
    words_to_encode: int = 0
    transport_problems: int = 0


def plan_mining(
    sides: Sequence[Side],
    model: SentenceTransformer | str | Path | None,
    config: MiningConfig,
    *,
    planted: Sequence[Side] = (),
    cache: str | Path | None = None,
    device: str | None = None,
) -> MiningPlan:
    """Return the work of a run: lines to embed, disk, tiles, memory.

    Nothing is written. With rescoring, only the first line of each side is encoded. Vectors are read if both sides have
    all of them: the name of a search in the cache depends on their bytes.
    ``planted`` are the development pairs of a calibration, which are also embedded.

    Raises
    ------
    ConfigError, DataError, ModelError
        As the run itself before it starts.
    """
    every = [*sides, *planted]
    encoder = load_encoder(model, every, device)
    check_run(every, encoder, config)
    dimension, missing, disk = 0, 0, 0
    described: list[dict[str, Any]] = []
    sizes: list[int] = []
    known: list[Side] = []
    planned: set[str] = set()
    for each in every:
        read = len(each.vectors) if each.vectors is not None else 0
        if each.vectors is not None:
            dimension = each.vectors.dimension
            known.append(each)
        if each.lines is not None:
            read = each.lines.counts.read
        kept = read if each.lines is None else len(each.lines)
        if each.vectors is None and each.lines is not None and encoder is not None:
            prompt = resolve_prompt(encoder, config.prompt, config.prompt_name)
            key = embedding_key(
                each.lines,
                encoder,
                prompt,
                config.truncate_dim,
                config.precision,
                config.arithmetic,
                task=language_task(encoder, each.language, each.name),
            )
            dimension = key.dimension
            folder = shard_folder(key, each.lines, cache)
            left = kept - folder.finished
            if not left:
                known.append(replace(each, vectors=folder.vectors(each.name)))
            # Both sides may be one text, which is embedded once.
            if key.digest not in planned:
                planned.add(key.digest)
                missing += left
                disk += left * dimension * DTYPES[config.precision].itemsize
        dropped = {} if each.lines is None else dict(each.lines.counts.dropped)
        sizes.append(kept)
        described.append({"name": each.name, "read": read, "kept": kept, "dropped": dropped})
    rescorer = open_rescorer(sides, encoder, config, cache=cache)
    stores = () if rescorer is None else rescorer.stores
    lacking = {store.lines.digest(): store.missing() for store in stores}.values()
    rows, columns = sizes[:2]
    workers = config.workers or available_workers()
    method = choose_method(config.search, rows, columns)
    plan = plan_search(
        rows,
        columns,
        dimension,
        config.k,
        method,
        workers=workers,
        memory_gb=config.memory_gb,
        remote=config.engine != "local",
    )
    lists = NEIGHBOR * list_places(rows, columns, config.k)
    indexed = [side for side in (rows, columns) if method != "exact" and side >= MIN_ROWS]
    disk += sum(size for _, size in lacking)
    # Without a search in the cache there is nothing to look for.
    if len(known) == len(every) and (cache_home(cache) / SEARCHES).is_dir():
        both = center_both(known[0].scanned(), known[1].scanned(), config.center)
        disk += _growth(both, rescorer, config, method, plan.shard_rows, cache)
    else:
        disk += sum(index_bytes(method, side, dimension) for side in indexed)
        disk += lists if rescorer is None else 2 * lists
    tiling = plan.tiling
    return MiningPlan(
        source=described[0],
        target=described[1],
        dimension=dimension,
        lines_to_embed=missing,
        disk_bytes=disk,
        search=method,
        tiles=tiling.tiles(rows, columns) if method == "exact" else 0,
        workers=plan.workers,
        memory_bytes=max(plan.memory, 0 if rescorer is None else rescorer.memory(config.k)),
        tile_rows=tiling.rows,
        tile_columns=tiling.columns,
        stripe=tiling.stripe,
        indexes=sum(len(cut_shards(side, plan.shard_rows)) for side in indexed),
        rescore=config.rescore,
        words=sum(store.words for store in stores),
        words_to_encode=sum(lines for lines, _ in lacking),
        transport_problems=0 if rescorer is None else lists // NEIGHBOR,
    )


def _growth(
    sides: tuple[Side, Side],
    rescorer: Rescorer | None,
    config: MiningConfig,
    method: str,
    shard_rows: int,
    cache: str | Path | None,
) -> int:
    """Return the bytes of the lists and indexes of a search, and of its transport values, that are not in the cache."""
    left, right = (side.rows for side in sides)
    state = SearchState(len(left), len(right), config.k)
    lists = NEIGHBOR * (state.forward.ids.size + state.backward.ids.size)
    found = search_file(left, right, config.k, method, shard_rows, cache)
    if found is None:
        return 0
    if not found.exists():
        folder = cache_home(cache) / INDEXES
        shards = [
            (rows, shard)
            for rows in (left, right)
            if method != "exact" and len(rows) >= MIN_ROWS
            for shard in cut_shards(len(rows), shard_rows)
        ]
        missing = (
            index_bytes(method, shard.stop - shard.start, rows.vectors.dimension)
            for rows, shard in shards
            if not index_file(rows, shard, method, folder).exists()
        )
        return sum(missing) + (lists if rescorer is None else 2 * lists)
    if rescorer is None:
        return 0
    state.load(found)
    return 0 if rescorer.is_stored(state.forward, state.backward, center=left.centered) else lists
