"""Mined pairs as a mixture of lines with and without a translation: an estimate of their numbers, and its error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Doubles = NDArray[np.float64]

# The model is fitted at this many quantiles of the mined pairs, and of the planted pairs.
QUANTILES = 16
# Share of the mean variance added to every variance, because the covariance is estimated from few pairs.
RIDGE = 0.1


@dataclass(frozen=True, eq=False)
class Planted:
    """Scores (d,) at which the lines of d planted pairs are mined; minus infinity: they are not mined.

    Parameters
    ----------
    pair
        Both lines are planted and mined as a pair.
    source_wrong, target_wrong
        Both lines are planted, and this one is paired with another line.
    source_orphan, target_orphan
        Only this line is planted.
    """

    pair: Doubles
    source_wrong: Doubles
    target_wrong: Doubles
    source_orphan: Doubles
    target_orphan: Doubles

    def __len__(self) -> int:
        """Return the number of planted pairs."""
        return len(self.pair)


class Mixture:
    r"""The counts of mined pairs as a mixture of planted pairs and planted orphans.

    With the shares of planted lines at or above a score t, R(t) paired correctly, E(t) incorrectly and O(t) orphans
    paired, n sources, T of which have a translation, are expected to yield

    .. math:: C(t) = T (R(t) + E(t)) + (n - T) O(t)

    pairs; the same holds for m targets. T is the generalized least squares solution of both equations at 32 scores.

    Parameters
    ----------
    scores
        (c,) scores of all mined pairs, without a threshold.
    planted
        The scores of the planted lines.
    sources, targets
        Lines of both sides.

    Attributes
    ----------
    translations, translations_error
        T, and its standard error.
    misfit
        Maximum difference between counted and expected pairs, as a share of the lines of a side.
    """

    def __init__(self, scores: Doubles, planted: Planted, sources: int, targets: int) -> None:
        self.planted, self.pairs = planted, len(planted)
        levels = (np.arange(QUANTILES) + 0.5) / QUANTILES
        paired = planted.pair[np.isfinite(planted.pair)]
        marks = np.concatenate([np.quantile(each, levels) for each in (scores, paired) if len(each)])
        marks = np.unique(marks)

        def above(values: Doubles) -> Doubles:
            return (values[:, None] >= marks).astype(np.float64)

        # (d, 2 marks): each planted pair's part in both equations.
        matched = np.hstack(
            [above(np.maximum(planted.pair, each)) for each in (planted.source_wrong, planted.target_wrong)]
        )
        orphans = np.hstack([above(planted.source_orphan), above(planted.target_orphan)])
        lines = np.repeat([float(sources), float(targets)], len(marks))
        counted = np.tile(count_from(scores, marks).astype(np.float64), 2)
        rise = matched.mean(axis=0) - orphans.mean(axis=0)
        excess = counted - lines * orphans.mean(axis=0)
        total, most = min(sources, targets) / 2, min(sources, targets)
        for _ in range(20):
            weights = _weights(total * matched + (lines - total) * orphans, rise)
            gain = weights @ rise
            before, total = total, float(np.clip(weights @ excess / gain, 0, most))
            if abs(total - before) < 1e-3:
                break
        self.translations = total
        # The influence of each planted pair on the estimate, as in the delta method.
        parts = total * matched + (lines - total) * orphans
        self.moves = -((parts - parts.mean(axis=0)) @ weights) / gain
        # A score that no planted orphan reaches may be reached by one in d orphans of the collections.
        self.unseen = float(((lines - total) * (1 - orphans.mean(axis=0))) @ weights / gain)
        planted_error = self._error(self.moves, self.unseen)
        self.translations_error = float(
            np.hypot(planted_error, self._own_error(matched, orphans, lines, weights / gain))
        )
        self.misfit = float((np.abs(excess - total * rise) / lines).max())

    def _error(self, moves: Doubles, unseen: float = 0.0) -> float:
        return float(np.hypot(np.linalg.norm(moves - moves.mean()), unseen) / self.pairs)

    def _own_error(self, matched: Doubles, orphans: Doubles, lines: Doubles, weights: Doubles) -> float:
        """Return the part of the error of T that comes from the sampling of the collections."""
        marks = len(lines) // 2
        both = weights.reshape(2, marks).sum(axis=0)
        least = slice(0, marks) if lines[0] <= lines[-1] else slice(marks, None)
        paired, alone = matched[:, least] @ both, orphans[:, least] @ both
        return float(
            np.sqrt(self.translations * paired.var() + (lines[least][0] - self.translations) * alone.var())
        )

    def errors(self, threshold: float, found: int, recall: float) -> tuple[float, float, float]:
        """Return the standard errors of precision, recall and F1 at a threshold.

        The errors have two sources: the sample of planted pairs, and the sample of translations in the collections. The
        share of the latter above the threshold varies as in T independent draws.
        """
        total = self.translations
        up = (self.planted.pair >= threshold).astype(np.float64)
        up -= up.mean()
        both = total + found
        drawn = np.sqrt(recall * (1 - recall) / total)
        slope = 2 * recall * found / both**2
        planted = (
            self._error((total * up + recall * self.moves) / found, recall * self.unseen / found),
            self._error(up),
            self._error(2 * total / both * up + slope * self.moves, slope * self.unseen),
        )
        slopes = total / found, 1.0, 2 * total / both
        precision, shares, f1 = (
            float(np.hypot(each, by * drawn)) for each, by in zip(planted, slopes, strict=True)
        )
        return precision, shares, f1


def _weights(parts: Doubles, rise: Doubles) -> Doubles:
    """Return the inverse covariance of the means of ``parts`` times ``rise``."""
    centered = parts - parts.mean(axis=0)
    covariance = centered.T @ centered / len(parts) ** 2
    covariance += np.eye(len(covariance)) * max(RIDGE * np.trace(covariance) / len(covariance), 1e-12)
    weights: Doubles = np.linalg.solve(covariance, rise)
    return weights


def count_from(scores: Doubles, marks: Doubles) -> NDArray[np.int64]:
    """Return how many scores are at or above each mark."""
    counts: NDArray[np.int64] = len(scores) - np.searchsorted(np.sort(scores), marks, side="left")
    return counts
