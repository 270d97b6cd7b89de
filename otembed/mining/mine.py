"""From two collections to pairs: lines, embeddings, neighbors in both directions, margin, pairs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from otembed.config.keywords import checked_settings
from otembed.config.mining import MiningConfig
from otembed.config.train import PairChecks
from otembed.mining.calibration.dev_pairs import DevPlace, calibrate_run, check_calibration, open_dev_pairs
from otembed.mining.mined import MinedPairs, MiningReport
from otembed.mining.page.write import check_page, write_page
from otembed.mining.pairing.lengths import length_filter
from otembed.mining.pairing.pairing import pair_up
from otembed.mining.rescoring.rescore import open_rescorer
from otembed.mining.search.search import search
from otembed.mining.side import (
    NamedEncoder,
    Place,
    VectorPlace,
    center_both,
    check_run,
    load_encoder,
    name_to_load,
    open_sides,
)
from otembed.runtime.clock import StageClock
from otembed.runtime.executors import open_executor
from otembed.runtime.progress import Progress, silent

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


def mine_bitext(
    source: Place,
    target: Place,
    model: SentenceTransformer | NamedEncoder | str | None = None,
    *,
    config: MiningConfig | None = None,
    source_vectors: VectorPlace | None = None,
    target_vectors: VectorPlace | None = None,
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
        A file (see :func:`otembed.embeddings.lines.read_side`), texts, or vectors without text: a ``.npy`` file or a
        (lines, dimension) array.
    model
        A sentence-transformers encoder, or any argument of :func:`otembed.load_model`; not needed if both sides have
        vectors.
    config
        Settings; alternatively, pass individual settings as keywords, such as ``k=8``.
    source_vectors, target_vectors
        Precomputed vectors of a side's lines, one row per line; rows of empty and repeated lines are skipped. The
        format of headerless files is set by ``vector_dimension`` and ``vector_dtype``.
    cache
        Folder in which embeddings and neighbors are stored, and from which an interrupted run resumes; by default
        ``mining`` in the cache of otembed.
    device
        Device for a model given by name: ``cpu``, ``cuda:0``, ...; by default the best available device.
    calibrate
        Development pairs from which ``threshold="auto"`` chooses the threshold: from
        :func:`otembed.data.parse_pair_spec`, a list of pairs of texts, or two arrays of vectors, row by row. They are
        never part of the result.
    progress
        Called with the stage, the finished units and the total.

    Returns
    -------
    MinedPairs
        Pairs by score, best first, and the report.

    Raises
    ------
    DataError
        A file cannot be read, vectors and lines do not match, or no threshold can be chosen; see
        :func:`otembed.mining.calibration.calibrate.calibrate`.
    ConfigError
        A setting is out of range or has no effect, a model is missing, or rescoring is combined with precomputed vectors.
    ModelError
        The model cannot be loaded, or rescoring needs layers or character offsets that it does not have.
    NumericsError
        A vector holds NaN or infinity.

    Notes
    -----
    For the same vectors, the result does not depend on the engine, shards, threads, tile sizes or restarts. The last
    bits of the encoder's vectors depend on batch size and device. For ``rescore="ot"`` see
    :func:`otembed.mining.rescoring.rescore.rescore`.

    Examples
    --------
    >>> import numpy as np
    >>> eye = np.eye(3, dtype=np.float32)
    >>> pairs = mine_bitext(eye, eye[::-1].copy(), k=1, threshold=None)
    >>> [(pair.source_id, pair.target_id) for pair in pairs]
    [(1, 3), (2, 2), (3, 1)]
    """
    config = checked_settings(MiningConfig, config, settings)
    check_calibration(config, calibrate)
    if config.html is not None:
        check_page(config.html)
    clock = StageClock()
    with clock("read"):
        sides = open_sides(source, target, source_vectors, target_vectors, config)
        development = None if calibrate is None else open_dev_pairs(calibrate, sides, config)
    with open_executor(config) as executor:
        with clock("embed"):
            every = sides if development is None else (*sides, *development.sides)
            encoder = load_encoder(model, every, "cpu" if executor.remote else device)
            rescorer = open_rescorer(sides, encoder, config, cache=cache)
            check_run(every, encoder, config)
            embedded = [
                side.embedded(
                    encoder,
                    config,
                    cache=cache,
                    executor=executor,
                    load_as=name_to_load(model),
                    device=device,
                    progress=progress,
                )
                for side in every
            ]
        with clock("scan"):
            left, right, *planted = (side.scanned() for side in embedded)
            left, right = center_both(left, right, config.center)
            centered = left.rows.centered
        with clock("search"):
            found = search(left.rows, right.rows, config, cache=cache, executor=executor, progress=progress)
    lists, cosines = (found.forward, found.backward), None
    if rescorer is not None:
        with clock("rescore"):
            rescored = rescorer.lists(*lists, center=centered, progress=progress)
            lists, cosines = (rescored.forward, rescored.backward), (found.forward.scores, found.backward.scores)
            del rescored
    with clock("pair"):
        ratio = config.max_length_ratio
        keep = None if ratio is None else length_filter(left, right, ratio, PairChecks().ratio_from_characters)
        threshold = None if calibrate is not None else config.lowest_score(centered=centered)
        # A page shows pairs below the threshold, too. The best candidate comes first, so a threshold changes no pair above it.
        first = None if config.html is not None else threshold
        pairs, candidates = pair_up(*lists, config, threshold=first, keep=keep, cosines=cosines)
    calibration, every_pair = None, pairs
    if development is not None:
        with clock("calibrate"):
            calibration = calibrate_run(
                pairs, (left, right), lists, (planted[0], planted[1]), development.counts, config
            )
            threshold = calibration.threshold
    if threshold is not None:
        pairs = pairs.take(pairs.score >= threshold)
    report = MiningReport(
        model=None if encoder is None else name_of(model),
        source=left.counts,
        target=right.counts,
        dimension=left.rows.vectors.dimension,
        centered=centered,
        search=found.method,
        k=config.k,
        margin=config.margin,
        threshold=threshold,
        candidates=candidates,
        pairs=len(pairs),
        seconds=clock.seconds,
        recall=found.recall,
        rescore=config.rescore,
        calibration=calibration,
    )
    mined = MinedPairs(pairs, left, right, report)
    if config.html is not None:
        write_page(config.html, replace(mined, pairs=every_pair), encoder, config)
    return mined


def name_of(model: Any) -> str | None:
    """Return the name of a model for reports."""
    return None if model is None else name_to_load(model) or type(model).__name__
