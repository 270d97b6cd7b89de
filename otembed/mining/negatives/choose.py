"""Which candidates are hard negatives: not translations, not too near, not too far.

Axes: n sources, k candidates, w negatives.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from otembed.config.negatives import NegativesConfig
    from otembed.embeddings.vectors import Floats, Ids

    Mask = NDArray[np.bool_]

ROWS = 16_384
# Reasons in the order in which they are tested.
REASONS = ("translation", "absolute_margin", "relative_margin", "max_score", "min_score")


@dataclass(frozen=True, eq=False)
class Candidates:
    """The nearest candidates of each source, best first.

    Parameters
    ----------
    ids, scores
        (n, k) int64 candidates, -1 for none, and float32 cosines to the source.
    translations
        (n, k) bool, True for a translation or a copy.
    """

    ids: Ids
    scores: Floats
    translations: Mask


@dataclass(frozen=True, eq=False)
class Chosen:
    """The negatives of each source.

    Parameters
    ----------
    ids, scores
        (n, w) int64 candidates, best first, -1 where there are too few, and float32 cosines.
    considered
        Candidates within the range, translations included.
    skipped
        How many of them were ruled out, by the first reason.
    """

    ids: Ids
    scores: Floats
    considered: int
    skipped: dict[str, int]


def choose_negatives(candidates: Candidates, positives: Floats, config: NegativesConfig) -> Chosen:
    r"""Return the negatives of each source.

    With :math:`s_+` the lowest score of the translations of a source, a candidate of score :math:`s` is ruled out if
    :math:`s + m_a > s_+` (``absolute_margin``), :math:`s > s_+ - m_r |s_+|` (``relative_margin``),
    :math:`s` is above ``max_score`` or below ``min_score``. Of the first ``range_max`` candidates that are not translations,
    the nearest that are left after ``range_min`` are negatives, or a random choice of them.

    Parameters
    ----------
    candidates
        All sources' candidates.
    positives
        (n,) float32 :math:`s_+`.
    config
        The settings.

    References
    ----------
    Moreira et al., NV-Retriever: Improving text embedding models with effective hard-negative mining, arXiv 2407.15831.
    """
    count = len(positives)
    ids = np.full((count, config.num_negatives), -1, np.int64)
    scores = np.full((count, config.num_negatives), np.nan, np.float32)
    draw = np.random.default_rng(config.seed)
    considered, skipped = 0, dict.fromkeys(REASONS, 0)
    for start in range(0, count, ROWS):
        part = slice(start, start + ROWS)
        found, similar = candidates.ids[part], candidates.scores[part]
        left = _within(found >= 0, candidates.translations[part], config.candidates)
        considered += int(left.sum())
        for reason, out in _faults(similar, candidates.translations[part], positives[part], config):
            skipped[reason] += int((left & out).sum())
            left &= ~out
        left &= np.cumsum(left, axis=1) > config.range_min
        # Columns of the negatives, ascending and so best first; the columns of rows with too few are cut below.
        order = draw.random(left.shape) if config.sampling_strategy == "random" else np.arange(left.shape[1])
        columns = np.sort(
            np.argsort(np.where(left, order, np.inf), axis=1, kind="stable")[:, : config.num_negatives]
        )
        there = np.take_along_axis(left, columns, 1)
        here = slice(0, columns.shape[1])
        ids[part, here] = np.where(there, np.take_along_axis(found, columns, 1), -1)
        scores[part, here] = np.where(there, np.take_along_axis(similar, columns, 1), np.nan)
    return Chosen(ids, scores, considered, {reason: number for reason, number in skipped.items() if number})


def _within(there: Mask, translations: Mask, most: int) -> Mask:
    """Return the candidates up to number ``most`` of those that are not translations, translations among them included."""
    return there & (np.cumsum(there & ~translations, axis=1) - (there & ~translations) < most)


def _faults(
    scores: Floats, translations: Mask, positives: Floats, config: NegativesConfig
) -> list[tuple[str, Mask]]:
    similar, own = scores.astype(np.float64), positives.astype(np.float64)[:, None]
    found = [("translation", translations)]
    if config.absolute_margin is not None:
        found.append(("absolute_margin", similar + config.absolute_margin > own))
    if config.relative_margin is not None:
        found.append(("relative_margin", similar > own - config.relative_margin * np.abs(own)))
    if config.max_score is not None:
        found.append(("max_score", similar > config.max_score))
    if config.min_score is not None:
        found.append(("min_score", similar < config.min_score))
    return found
