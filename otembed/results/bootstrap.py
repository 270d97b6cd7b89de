"""The paired bootstrap: figures of several models under the same resamples of the same examples."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from otembed.errors import DataError, NumericsError
from otembed.results.outcomes import digest_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from otembed.results.outcomes import Outcomes

    Numbers = NDArray[np.float64]

MOST_CELLS = 4_000_000
MOST_ROUNDS = 50
ROUNDING = 1e-12
"""Smaller differences are rounding errors of sums."""


def resampled_figures(outcomes: Sequence[Outcomes], *, resamples: int = 10_000, seed: int = 0) -> Numbers:
    r"""Return the figures of all models under the same resamples of the examples.

    A resample draws the same number of examples with replacement. With :math:`c_i` the number of times that
    example i is drawn, the figure is :math:`\sum_i c_i v_i / \sum_i c_i w_i`, with the same c for every model.
    Examples with equal values and weights for all models are drawn together, as a multinomial over the distinct
    kinds: the accuracy of two models has four kinds for any number of examples.

    Parameters
    ----------
    outcomes
        One entry per model, of the same task, metric and examples.
    resamples
        Number of resamples.
    seed
        The same seed gives the same numbers, regardless of which other tasks are compared.

    Returns
    -------
    (models, resamples) float64.

    Raises
    ------
    DataError
        Too few examples have a weight, so that most resamples have none.
    NumericsError
        The values are so large that their sums overflow.

    References
    ----------
    B. Efron, R. Tibshirani, "An Introduction to the Bootstrap", 1993; P. Koehn, "Statistical Significance Tests for
    Machine Translation Evaluation", EMNLP 2004 (resampling test sets in pairs).
    """
    one = outcomes[0]
    values = np.array([each.values for each in outcomes], np.float64)
    weights = np.array([each.weights or (1.0,) * len(each.values) for each in outcomes], np.float64)
    kinds, times = np.unique(np.concatenate([values, weights]).T, axis=0, return_counts=True)
    examples, models = int(times.sum()), len(outcomes)
    random = np.random.default_rng([seed, int(digest_of(one.key), 16)])
    found = np.empty((resamples, models))
    block = max(1, MOST_CELLS // len(kinds))
    for start in range(0, resamples, block):
        rows = np.arange(start, min(start + block, resamples))
        for _ in range(MOST_ROUNDS):
            drawn = random.multinomial(examples, times / examples, size=len(rows)).astype(np.float64)
            sums, totals = drawn @ kinds[:, :models], drawn @ kinds[:, models:]
            defined = (totals > 0).all(axis=1)
            found[rows[defined]] = sums[defined] / totals[defined]
            # The figure of a resample without weight is undefined; draw again.
            rows = rows[~defined]
            if not len(rows):
                break
        else:
            raise DataError(
                f"{' '.join(one.key)}: too few of {examples} examples have a weight to resample them",
                "Evaluate on more examples.",
            )
    if not np.isfinite(found).all():
        raise NumericsError(
            f"{' '.join(one.key)}: a resampled figure is not finite", "Check the values of its outcomes."
        )
    return found.T


def differences(second: Numbers, first: Numbers) -> Numbers:
    """Return second minus first, with rounding errors set to 0."""
    found: Numbers = second - first
    return np.where(np.abs(found) < ROUNDING, 0.0, found)


def interval(figures: Numbers, confidence: float) -> tuple[float, float]:
    """Return the percentile interval of resampled figures.

    >>> interval(np.arange(101.0), 0.5)
    (25.0, 75.0)
    """
    tail = (1 - confidence) / 2
    low, high = np.quantile(figures, [tail, 1 - tail])
    return float(low), float(high)


def two_sided_p(resampled: Numbers) -> float:
    """Return twice the smaller share of resampled differences on either side of 0; 0 counts on both sides.

    One is added to both counts, so that p is never 0: its minimum depends on the number of resamples.

    >>> two_sided_p(np.array([1.0] * 99))
    0.02
    """
    tails = min(int((resampled <= 0).sum()), int((resampled >= 0).sum()))
    return min(1.0, 2 * (tails + 1) / (len(resampled) + 1))


def holm(values: Sequence[float]) -> list[float]:
    """Return p-values adjusted for their number by Holm's method.

    Comparing the adjusted values with a level keeps the probability of any false positive below that level.

    References
    ----------
    S. Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 1979.

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    adjusted = [0.0] * len(values)
    highest = 0.0
    for rank, index in enumerate(sorted(range(len(values)), key=values.__getitem__)):
        highest = max(highest, min(1.0, (len(values) - rank) * values[index]))
        adjusted[index] = highest
    return adjusted


def differing(first: Outcomes, second: Outcomes) -> int:
    """Return the number of examples with different values or weights."""
    pairs = zip(first.values, second.values, strict=True)
    if not first.weights and not second.weights:
        return sum(a != b for a, b in pairs)
    full = [each.weights or (1.0,) * len(each.values) for each in (first, second)]
    return sum(a != b or v != w for (a, b), v, w in zip(pairs, *full, strict=True))
