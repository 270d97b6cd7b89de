"""From neighbors to pairs: candidates of both directions, filters, and one-to-one selection."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from otembed.mining.pairing import kernels
from otembed.mining.pairing.margin import margin_scores, mean_similarity

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from otembed.config.mining import MiningConfig
    from otembed.mining.search.neighbors import Neighbors

    Ids = NDArray[np.int64]
    Scores = NDArray[np.float32]
    Keep = Callable[["Candidates"], NDArray[np.bool_]]


@dataclass(frozen=True, eq=False)
class Candidates:
    """Pairs of rows with their scores: arrays of equal length."""

    source: Ids
    target: Ids
    cosine: NDArray[np.float32]
    score: NDArray[np.float64]

    def __len__(self) -> int:
        """Return the number of candidates."""
        return len(self.source)

    def take(self, index: NDArray[np.integer | np.bool_]) -> Candidates:
        """Return a subset, by index or by mask."""
        return Candidates(self.source[index], self.target[index], self.cosine[index], self.score[index])

    def ordered(self) -> Candidates:
        """Return the pairs by score, best first; ties by source, then by target."""
        return self.take(np.lexsort((self.target, self.source, -self.score)))


def pair_up(
    forward: Neighbors,
    backward: Neighbors,
    config: MiningConfig,
    *,
    threshold: float | None = None,
    keep: Keep | None = None,
    cosines: tuple[Scores, Scores] | None = None,
) -> tuple[Candidates, int]:
    """Choose pairs among the neighbors of both directions: the best candidate first, each line once.

    Filters are applied first: a rejected candidate does not block another one.

    Parameters
    ----------
    forward, backward
        The lists of a search, or the same lists with another similarity as scores, from which margins are then
        computed.
    config
        ``margin`` and ``min_cosine``.
    threshold
        Minimum score; None: no minimum.
    keep
        Another filter, which maps candidates to a mask.
    cosines
        (n, k) and (m, k) cosines of the lists, if their scores are a different similarity.

    Returns
    -------
    tuple
        Pairs by score, ties by source, then target; and the number of distinct candidates of both directions.
    """
    means = mean_similarity(forward), mean_similarity(backward)
    wanted = _filter(config.min_cosine, threshold, keep)
    there = _candidates(forward, means, config.margin, cosines and cosines[0])
    count = len(there)
    there = there.take(wanted(there))
    back = _turned(_candidates(backward, means[::-1], config.margin, cosines and cosines[1]))
    count += int((~_in_lists(back, forward)).sum())
    back = back.take(wanted(back))
    chosen = _joined(there, back.take(~_in_lists(back, forward)))
    # Freed before the sort, which takes as much again.
    del there, back
    chosen = chosen.ordered()
    free = np.zeros(len(chosen), np.bool_)
    kernels.greedy(chosen.source, chosen.target, len(forward.ids), len(backward.ids), free)
    return chosen.take(free), count


def _candidates(
    own: Neighbors, means: tuple[NDArray[np.float64], NDArray[np.float64]], margin: str, cosines: Scores | None
) -> Candidates:
    rows, k = own.ids.shape
    source, target = np.repeat(np.arange(rows), k), own.ids.ravel()
    similarity = own.scores.ravel()
    score = margin_scores(similarity, means[0][source], means[1][target], margin)
    return Candidates(source, target, similarity if cosines is None else cosines.ravel(), score)


def _turned(found: Candidates) -> Candidates:
    return Candidates(found.target, found.source, found.cosine, found.score)


def _joined(first: Candidates, second: Candidates) -> Candidates:
    return Candidates(*(np.concatenate([getattr(each, name) for each in (first, second)]) for name in vars(first)))


def _in_lists(found: Candidates, forward: Neighbors) -> NDArray[np.bool_]:
    """Return which candidates are also in the lists of the source."""
    mask = np.empty(len(found), np.bool_)
    kernels.listed(forward.ids, found.source, found.target, mask)
    return mask


def _filter(min_cosine: float | None, threshold: float | None, keep: Keep | None) -> Keep:
    def wanted(found: Candidates) -> NDArray[np.bool_]:
        mask = np.ones(len(found), bool)
        if threshold is not None:
            mask &= found.score >= threshold
        if min_cosine is not None:
            mask &= found.cosine >= min_cosine
        if keep is not None:
            mask &= keep(found)
        return mask

    return wanted
