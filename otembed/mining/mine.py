"""From two collections to pairs: lines, embeddings, neighbors in both directions, margin, pairs."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from otembed.config.mining import MiningConfig
from otembed.config.train import PairChecks
from otembed.embeddings.embed import make_cache_folder
from otembed.errors import ConfigError
from otembed.mining.calibration.dev_pairs import DevPlace, calibrate_run, check_calibration, open_dev_pairs
from otembed.mining.inputs import Place, VectorPlace, center_both, collect, embed_input, load_encoder, open_inputs
from otembed.mining.mined import Collection, MinedPairs, MiningReport, length_filter
from otembed.mining.pairing.pairing import pair_up
from otembed.mining.plan import plan_search
from otembed.mining.rescoring.rescore import open_rescorer
from otembed.mining.search.approximate import METHODS, approximate_neighbors, choose_method
from otembed.mining.search.exact import exact_neighbors
from otembed.mining.search.search_tasks import exact_neighbors_apart
from otembed.runtime.executors import open_executor, refuse_memory
from otembed.runtime.processors import available_workers
from otembed.runtime.progress import Progress, silent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sentence_transformers import SentenceTransformer

    from otembed.mining.search.neighbors import Neighbors
    from otembed.runtime.executors import Executor

logger = logging.getLogger(__name__)

STATE_SCHEMA = 3


def mine_bitext(
    source: Place,
    target: Place,
    model: SentenceTransformer | str | None = None,
    *,
    config: MiningConfig | None = None,
    source_vectors: VectorPlace | None = None,
    target_vectors: VectorPlace | None = None,
    dimension: int | None = None,
    dtype: str | None = None,
    cache: str | Path | None = None,
    device: str | None = None,
    calibrate: DevPlace | None = None,
    progress: Progress = silent,
    **settings: Any,
) -> MinedPairs:
    """Find translation pairs in two collections of lines.

    Parameters
    ----------
    source, target
        A file (see :func:`otembed.embeddings.lines.read_side`), texts, or vectors alone: a ``.npy`` file or a
        (lines, dimension) array.
    model
        A sentence-transformers encoder, or what :func:`otembed.load_model` takes; not needed where both sides
        have vectors.
    config
        Settings; single ones may be given by name instead, such as ``k=8``.
    source_vectors, target_vectors
        Ready vectors of a side's lines, one row a line (those of empty and repeated lines are passed over).
    dimension, dtype
        Shape of headerless vector files; see :func:`otembed.embeddings.vectors.open_vectors`.
    cache
        Folder in which embeddings and neighbors are kept, and from which a run that was cut goes on; by
        default ``mining`` in otembed's cache.
    device
        Where a model given by name is loaded: ``cpu``, ``cuda:0``, ...; by default the best there is.
    calibrate
        Development pairs that ``threshold="auto"`` is chosen by: from :func:`otembed.data.parse_pair_spec`, a list
        of pairs of texts, or two arrays of vectors, row by row. They never become part of the result.
    progress
        Called with a stage, what is done and all there is.

    Returns
    -------
    MinedPairs
        Pairs by score, best first; with their report.

    Raises
    ------
    DataError
        A file cannot be read, vectors and lines do not fit, or no threshold can be chosen: see
        :func:`otembed.mining.calibration.calibrate.calibrate`.
    ConfigError
        A setting is out of range, a model is missing, or words are asked for beside ready vectors.
    ModelError
        The model cannot be loaded, or words are asked for and it has no layers or no character offsets.
    NumericsError
        A vector holds NaN or infinity.

    Notes
    -----
    The result is the same for any number of shards, threads, tile sizes and restarts; the vectors themselves
    are the encoder's, whose last bits depend on batch size and device. Of ``rescore="ot"`` see
    :func:`otembed.mining.rescoring.rescore.rescore`.

    Examples
    --------
    >>> import numpy as np
    >>> eye = np.eye(3, dtype=np.float32)
    >>> pairs = mine_bitext(eye, eye[::-1].copy(), k=1, threshold=None)
    >>> [(pair.source_id, pair.target_id) for pair in pairs]
    [(1, 3), (2, 2), (3, 1)]
    """
    config = make_config(config, settings)
    check_calibration(config, calibrate)
    clock = _Clock()
    with clock("read"):
        inputs = open_inputs(
            source, target, source_vectors, target_vectors, config, dimension=dimension, dtype=dtype
        )
        development = None if calibrate is None else open_dev_pairs(calibrate, inputs, config)
    with open_executor(config) as executor:
        with clock("embed"):
            every = inputs if development is None else [*inputs, *development.inputs]
            encoder = load_encoder(model, every, device if executor is None else "cpu")
            rescorer = open_rescorer(inputs, encoder, config, cache=cache)
            vectors = [
                embed_input(
                    each,
                    encoder,
                    config,
                    cache=cache,
                    progress=progress,
                    executor=executor,
                    load_as=str(model) if isinstance(model, str | Path) else None,
                    device=device,
                )
                for each in every
            ]
        with clock("scan"):
            left, right, *seeds = (collect(*each) for each in zip(every, vectors, strict=True))
            left, right = center_both(left, right, config.center)
        with clock("search"):
            found = search(left, right, config, cache=cache, progress=progress, executor=executor)
    lists, cosines = (found.forward, found.backward), None
    if rescorer is not None:
        with clock("rescore"):
            rescored = rescorer.lists(*lists, center=left.side.centered, progress=progress)
            lists, cosines = (rescored.forward, rescored.backward), (found.forward.scores, found.backward.scores)
            del rescored
    with clock("pair"):
        ratio = config.max_length_ratio
        keep = None if ratio is None else length_filter(left, right, ratio, PairChecks().ratio_from_characters)
        threshold = None if calibrate is not None else config.lowest_score(centered=left.side.centered)
        pairs, candidates = pair_up(*lists, config, threshold=threshold, keep=keep, cosines=cosines)
    calibration = None
    if development is not None:
        with clock("calibrate"):
            calibration = calibrate_run(
                pairs, (left, right), lists, (seeds[0], seeds[1]), development.counts, config
            )
            threshold = calibration.threshold
            pairs = pairs.take(pairs.score >= threshold)
    report = MiningReport(
        model=None if encoder is None else name_of(model),
        source=left.counts,
        target=right.counts,
        dimension=left.side.vectors.dimension,
        centered=left.side.centered,
        search=found.method,
        k=config.k,
        margin=config.margin,
        match=config.match,
        threshold=threshold,
        candidates=candidates,
        pairs=len(pairs),
        seconds=clock.seconds,
        recall=found.recall,
        rescore=config.rescore,
        calibration=calibration,
    )
    return MinedPairs(pairs, left, right, report)


@dataclass(frozen=True, eq=False)
class Found:
    """Neighbors of both sides, the method that found them, and its recall; None for the exact one."""

    forward: Neighbors
    backward: Neighbors
    method: str
    recall: float | None


def search(
    source: Collection,
    target: Collection,
    config: MiningConfig,
    *,
    cache: str | Path | None,
    progress: Progress = silent,
    executor: Executor | None = None,
) -> Found:
    """Return the neighbors of both sides, going on from what the cache holds of the same search.

    Arrays in memory are the caller's to keep: nothing about them is written to disk, and no executor searches them.
    An index is made and asked in this process alone.
    """
    rows, columns, dimension = len(source), len(target), source.side.vectors.dimension
    method = choose_method(config.search, rows, columns)
    workers = config.workers or available_workers()
    plan = plan_search(rows, columns, dimension, config.k, method, workers=workers, memory_gb=config.memory_gb)
    parts = [part for each in (source, target) for part in each.side.vectors.parts]
    state_file = index_folder = None
    if any(part.array is None for part in parts):
        key = (STATE_SCHEMA, source.side.digest, target.side.digest, source.side.centered, config.k, method)
        name = blake2b(repr(key).encode(), digest_size=16).hexdigest()
        state_file = make_cache_folder(cache, "searches") / f"{name}.npz"
        index_folder = make_cache_folder(cache, "indexes") if method in METHODS else None
    sides = source.side, target.side
    if executor is not None and method != "exact":
        logger.info("an index (%s) is made and asked in this process, not by the engine %s", method, config.engine)
    elif executor is not None:
        if state_file is None:
            raise refuse_memory(f"{source.side.vectors.name} and {target.side.vectors.name}")
        both = exact_neighbors_apart(
            *sides, config.k, executor, state_file=state_file, tiling=plan.tiling, progress=progress
        )
        return Found(*both, method, None)
    if method == "exact":
        both = exact_neighbors(
            *sides, config.k, tiling=plan.tiling, workers=plan.workers, state_file=state_file, progress=progress
        )
        return Found(*both, method, None)
    forward, backward, recall = approximate_neighbors(
        *sides, config.k, method, workers=workers, cache=index_folder, state_file=state_file, progress=progress
    )
    if recall < config.min_recall:
        logger.warning(
            "recall %.3f is below %.3f: pairs are missed and margins are wrong; search exactly, or by another method",
            recall,
            config.min_recall,
        )
    return Found(forward, backward, method, recall)


def name_of(model: Any) -> str | None:
    """Return the name of a model for reports."""
    return model if model is None else str(model) if isinstance(model, str | Path) else type(model).__name__


class _Clock:
    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        started = perf_counter()
        yield
        self.seconds[stage] = round(perf_counter() - started, 3)


def make_config(config: MiningConfig | None, settings: dict[str, Any]) -> MiningConfig:
    """Return the settings, given as a whole or one by one."""
    if config is None:
        return MiningConfig(**settings)
    if settings:
        raise ConfigError(
            f"both a config and single settings are given: {', '.join(settings)}", "Give one or the other."
        )
    return config
