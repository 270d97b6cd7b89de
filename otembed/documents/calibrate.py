"""The threshold of matching from known pairs of documents, planted in the finished run one at a time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from otembed.config.mining import MiningConfig
from otembed.data import PairCounts
from otembed.documents.clouds import clouds_of, transport_similarity
from otembed.documents.read import DocumentPair, read_pairs
from otembed.documents.split import splitters_of
from otembed.embeddings.rows import UnitRows, paired_cosines, scan
from otembed.embeddings.vectors import array_vectors
from otembed.errors import ConfigError, DataError
from otembed.mining.calibration.calibrate import Calibration, calibrate
from otembed.mining.calibration.dev_pairs import choose_pairs, warn_of_misfit
from otembed.mining.calibration.planting import Met, meet, mined_sides, planted_scores
from otembed.mining.search.neighbors import Neighbors

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from otembed.config.documents import MatchConfig
    from otembed.documents.clouds import Clouds
    from otembed.documents.read import Document
    from otembed.mining.calibration.mixture import Planted
    from otembed.mining.pairing.pairing import Candidates

    Floats = NDArray[np.float32]
    Ids = NDArray[np.int64]
    Lists = tuple[Neighbors, Neighbors]

PAIRS_HINT = "Set threshold to auto, and pass a list of known pairs (--calibrate PAIRS)."


@dataclass(frozen=True)
class KnownPairs:
    """Pairs of documents to plant: both sides, pair by pair, and their counts."""

    sides: tuple[list[Document], list[Document]]
    counts: PairCounts


def check_calibration(config: MatchConfig, known: object) -> None:
    """Reject known pairs without the threshold ``auto``, and ``auto`` without known pairs."""
    if (known is None) == (config.threshold == "auto"):
        raise ConfigError(
            "threshold is auto, but there are no known pairs of documents"
            if known is None
            else f"known pairs of documents are given, but threshold is {config.threshold}",
            PAIRS_HINT,
        )


def open_known_pairs(
    place: str | Path | Iterable[DocumentPair], collections: Sequence[Sequence[Document]], config: MatchConfig
) -> KnownPairs:
    """Read known pairs and keep those that can be planted.

    Left out and counted: pairs with a document without sentences (``empty``), documents that occur twice on their side
    (``repeated``) or are in the collections (``in_collection``), and pairs beyond 2,000, evenly spread (``not_needed``).

    Parameters
    ----------
    place
        A list of pairs, see :func:`otembed.documents.read.read_pairs`, or the pairs.
    collections
        Both sides of the run.
    config
        ``split_source`` and ``split_target``.

    Raises
    ------
    DataError
        The list cannot be read, or fewer than 50 pairs are left.
    """
    pairs = read_pairs(place, splitters_of(config)) if isinstance(place, str | Path) else place
    counts, kept = PairCounts(), []
    for number, pair in enumerate(pairs, start=1):
        if pair.source.sentences and pair.target.sentences:
            counts.keep()
            kept.append(pair)
        else:
            counts.drop("empty", number)
    sides = [pair.source.sentences for pair in kept], [pair.target.sentences for pair in kept]
    held = [{document.sentences for document in side} for side in collections]
    chosen = choose_pairs(sides, held, counts)
    return KnownPairs(([kept[each].source for each in chosen], [kept[each].target for each in chosen]), counts)


def calibrate_matches(
    pairs: Candidates,
    sides: tuple[Clouds, Clouds],
    nearest: Lists,
    compared: Lists,
    known: KnownPairs,
    vectors: tuple[Floats, Floats],
    config: MatchConfig,
) -> Calibration:
    """Choose the threshold of a run of matching, and estimate its precision and recall.

    Parameters
    ----------
    pairs
        One-to-one pairs without a threshold.
    sides
        Both sides of the run.
    nearest, compared
        Their candidates in both directions, with cosines of the mean vectors and with the similarity.
    known, vectors
        The pairs to plant, and the unit vectors (n, d) of the sentences of both of their sides.
    config
        The settings of the run.

    Raises
    ------
    DataError
        No threshold can be chosen; see :func:`otembed.mining.calibration.calibrate.calibrate`.
    """
    planted = planted_documents(pairs, sides, nearest, compared, known, vectors, config)
    result = calibrate(
        pairs.score,
        planted,
        len(sides[0]),
        len(sides[1]),
        min_precision=config.min_precision,
        left_out=dict(known.counts.dropped),
    )
    warn_of_misfit(result)
    return result


def planted_documents(
    pairs: Candidates,
    sides: tuple[Clouds, Clouds],
    nearest: Lists,
    compared: Lists,
    known: KnownPairs,
    vectors: tuple[Floats, Floats],
    config: MatchConfig,
) -> Planted:
    """Return the scores at which each known pair, and each of its documents alone, would be matched.

    Parameters are those of :func:`calibrate_matches`, the method is that of
    :func:`otembed.mining.calibration.planting.plant`.
    """
    joined = tuple(
        clouds_of(documents, rows, center=False, mean=side.mean)
        for documents, rows, side in zip(known.sides, vectors, sides, strict=True)
    )
    rows = [pooled_rows(each, "documents") for each in sides]
    own = [pooled_rows(each, "known pairs") for each in joined]
    met = tuple(
        _compared(
            meet(own[each], rows[1 - each], nearest[1 - each], config.k),
            joined[each],
            sides[1 - each],
            config,
            each,
        )
        for each in (0, 1)
    )
    order = np.arange(len(joined[0]))
    mates = (
        transport_similarity(
            joined[0], joined[1], order, order, epsilon=config.epsilon, relaxation=config.relaxation
        ),
        paired_cosines(own[0], own[1], order, order),
    )
    return planted_scores(
        mined_sides(pairs, compared),
        (nearest[0].scores[:, -1], nearest[1].scores[:, -1]),
        (met[0], met[1]),
        mates,
        MiningConfig(k=config.k, margin=config.margin),
    )


def pooled_rows(clouds: Clouds, name: str) -> UnitRows:
    """Return the mean vectors of documents, ready for a search; DataError if one is zero."""
    vectors = clouds.pooled()
    zero = np.flatnonzero(~vectors.any(axis=1))
    if len(zero):
        raise DataError(
            f"{name}: {len(zero)} of {len(vectors)} documents have the mean vector zero, the first is number {zero[0] + 1}",
            "Set center to false, or remove these documents.",
        )
    return scan(array_vectors(vectors, name), drop_repeated=False)[0]


def _compared(met: Met, own: Clouds, there: Clouds, config: MatchConfig, side: int) -> Met:
    """Return what planted documents meet with the transport similarity; ``side`` is 1 for planted targets."""
    planted = np.concatenate([np.repeat(np.arange(len(own)), met.lists.ids.shape[1]), met.entering[0]])
    others = np.concatenate([met.lists.ids.ravel(), met.entering[1]])
    pairs, place = np.unique(np.stack([planted, others], 1), axis=0, return_inverse=True)
    turned = (there, own, pairs[:, 1], pairs[:, 0]) if side else (own, there, pairs[:, 0], pairs[:, 1])
    values = transport_similarity(*turned, epsilon=config.epsilon, relaxation=config.relaxation)[place.ravel()]
    size = met.lists.ids.size
    return Met(
        Neighbors(values[:size].reshape(met.lists.ids.shape), met.lists.ids),
        met.ranks,
        (met.entering[0], met.entering[1], values[size:]),
    )
