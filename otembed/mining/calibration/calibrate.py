"""Choosing the threshold of a run from the scores of planted pairs and planted orphans; pure numpy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from otembed.errors import ConfigError, DataError, NumericsError
from otembed.mining.calibration.mixture import Mixture, Planted, count_from
from otembed.results import Result
from otembed.results.format import counted

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Doubles = NDArray[np.float64]

# Measured in benchmarks/calibration.py: with fewer pairs the threshold depends too much on the sample.
FEWEST_PAIRS = 50
# Decimals of thresholds: few enough to try every threshold.
DECIMALS = 5
# Critical values of the two-sample Kolmogorov-Smirnov statistic at 1 %, and of the one-sample statistic at 5 %.
SEPARATION_BOUND, MISFIT_BOUND = 1.63, 1.36
# Above this share of the lines of a side, the model does not describe the collection.
WORST_MISFIT = 0.2
# A share is unknown if fewer planted pairs are above it.
FEWEST_ABOVE = 5
# Thresholds of the curve in a report.
CURVE = 25


@dataclass(frozen=True)
class WithCurve(Result):
    """Base of results whose field ``curve`` holds (threshold, precision, recall)."""

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> Self:
        """Build the result; lists of JSON become tuples."""
        return super().from_dict({**document, "curve": tuple(tuple(each) for each in document.get("curve", ()))})


@dataclass(frozen=True)
class Calibration(WithCurve):
    """The chosen threshold, and the expected precision, recall and F1 of the pairs at or above it.

    Each ``*_error`` is a standard error. ``translations`` is the expected number of lines with a translation on the
    other side, and ``recall`` is a share of it; ``found`` counts the pairs. ``separation`` is the largest difference
    between the shares of planted pairs and of planted orphans above a score. ``misfit`` is the largest difference
    between the counted and the expected number of pairs above a score, as a share of the lines of a side; above
    ``misfit_bound`` the planted pairs differ from the collections. ``left_out`` counts the development pairs that were
    not planted, by reason. ``curve`` has (threshold, precision, recall) of up to 25 thresholds, evenly spaced among those
    with enough planted pairs above them.
    """

    planted: int
    threshold: float
    min_precision: float | None
    found: int
    precision: float
    precision_error: float
    recall: float
    recall_error: float
    f1: float
    f1_error: float
    translations: float
    translations_error: float
    separation: float
    misfit: float
    misfit_bound: float
    left_out: dict[str, int]
    curve: tuple[tuple[float, float, float], ...] = ()


@dataclass(frozen=True)
class CalibratedReport(Result):
    """Base of the report of a run whose field ``calibration`` is a result of the class ``calibrated``, or None."""

    calibrated: ClassVar[type[Result]] = Calibration

    def to_dict(self) -> dict[str, Any]:
        """Return plain Python values, with the calibration as a nested document."""
        inner: Result | None = vars(self)["calibration"]
        return {**super().to_dict(), "calibration": inner and inner.to_dict()}

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> Self:
        """Build the report and its calibration."""
        inner = document.get("calibration")
        return super().from_dict({**document, "calibration": inner and cls.calibrated.from_dict(inner)})


def calibrate(
    scores: Doubles,
    planted: Planted,
    sources: int,
    targets: int,
    *,
    min_precision: float | None = None,
    left_out: dict[str, int] | None = None,
) -> Calibration:
    r"""Choose a threshold for one-to-one pairs, and estimate its precision, recall and F1.

    Of n sources and m targets, T have a translation on the other side. With the shares of planted lines at or
    above a score t, R(t) paired correctly, E(t) incorrectly and O(t) orphans paired, the number of mined pairs is
    expected to be

    .. math:: C(t) = T (R(t) + E(t)) + (n - T) O(t)

    for sources, and the same with m for targets. T is the generalized least squares solution of both at 32 scores;
    the covariance is estimated from the planted pairs. Then

    .. math:: P(t) = T R(t) / C(t), \quad F_1(t) = 2 T R(t) / (T + C(t)), \quad C(t) \text{ as counted.}

    Parameters
    ----------
    scores
        (c,) scores of all mined pairs, without a threshold.
    planted
        From :func:`otembed.mining.calibration.planting.plant`.
    sources, targets
        Lines of both sides.
    min_precision
        Choose the lowest threshold with this expected precision, instead of the best expected F1.
    left_out
        Counts for the result.

    Raises
    ------
    DataError
        There are fewer than 50 pairs, planted pairs do not score higher than orphans, no translations are expected, or
        no threshold has that precision.
    ConfigError
        ``min_precision`` is not in (0, 1].
    NumericsError
        A score is NaN.

    Notes
    -----
    R is interpolated between planted scores, because steps at these scores would attract the best threshold.
    ``docs/mining-threshold.md`` lists the assumptions and what happens if they fail.
    """
    _check(scores, planted, min_precision)
    count = len(planted)
    bound = float(SEPARATION_BOUND * np.sqrt(2 / count))
    apart = separation(planted)
    if apart <= bound:
        raise DataError(
            f"planted pairs do not score higher than orphans: of {count} pairs, at most {max(apart, 0) * count:.0f} more than "
            f"orphans are above any threshold, and a difference of {bound * count:.0f} can occur by chance",
            "Use an encoder trained on these languages, and check that the development pairs are translations.",
        )
    fit = Mixture(scores, planted, sources, targets)
    total = fit.translations
    if total < max(1, 2 * fit.translations_error):
        raise DataError(
            f"the expected number of translations is {total:,.0f} with a standard error of "
            f"{fit.translations_error:,.0f}, which is not significantly above zero",
            "Pass more development pairs of the same kind of text, or set threshold to a number.",
        )
    if fit.misfit > WORST_MISFIT:
        raise DataError(
            f"the development pairs differ from the collections: the misfit is {fit.misfit:.2f}, the maximum is "
            f"{WORST_MISFIT:g}",
            "Pass development pairs of the same kind of text, or set threshold to a number.",
        )
    grid = threshold_grid(scores, planted.pair)
    found = count_from(scores, grid)
    recall = _share_from(planted.pair, grid)
    sure = (recall * count >= FEWEST_ABOVE) & (found > 0)
    grid, found, recall = grid[sure], found[sure], recall[sure]
    right = np.minimum(total * recall, found)
    precision, f1 = right / found, 2 * right / (total + found)
    best = best_row(grid, precision, f1, min_precision)
    errors = fit.errors(float(grid[best]), int(found[best]), float(recall[best]))
    return Calibration(
        planted=count,
        threshold=float(grid[best]),
        min_precision=min_precision,
        found=int(found[best]),
        precision=float(precision[best]),
        precision_error=errors[0],
        recall=float(recall[best]),
        recall_error=errors[1],
        f1=float(f1[best]),
        f1_error=errors[2],
        translations=total,
        translations_error=fit.translations_error,
        separation=apart,
        misfit=fit.misfit,
        misfit_bound=float(MISFIT_BOUND / np.sqrt(count)),
        left_out=dict(left_out or {}),
        curve=curve_of(grid, precision, recall),
    )


def best_row(grid: Doubles, precision: Doubles, f1: Doubles, min_precision: float | None) -> int:
    """Return the index of the threshold with the best expected F1, or of the lowest with an expected precision.

    Raises
    ------
    DataError
        No threshold has that precision.
    """
    if min_precision is None:
        return int(f1.argmax())
    enough = np.flatnonzero(precision >= min_precision)
    if not len(enough):
        raise DataError(
            f"no threshold has an expected precision of {min_precision:g}; the highest is "
            f"{precision.max():.3f} at {grid[precision.argmax()]:.{DECIMALS}f}",
            "Lower min_precision, or use a better encoder.",
        )
    return int(enough[0])


def curve_of(grid: Doubles, precision: Doubles, recall: Doubles) -> tuple[tuple[float, float, float], ...]:
    """Return (threshold, precision, recall) at the thresholds nearest to evenly spaced ones, each once."""
    wanted = np.linspace(grid[0], grid[-1], CURVE)
    rows = np.unique(np.searchsorted(grid, wanted).clip(0, len(grid) - 1)).tolist()
    return tuple((float(grid[row]), float(precision[row]), float(recall[row])) for row in rows)


def _check(scores: Doubles, planted: Planted, min_precision: float | None) -> None:
    if min_precision is not None and not 0 < min_precision <= 1:
        raise ConfigError(f"min_precision is {min_precision}", "Use a number above 0 and up to 1.")
    for name, values in {"scores": scores, **vars(planted)}.items():
        if np.isnan(values).any():
            raise NumericsError(f"{name}: {int(np.isnan(values).sum())} of {len(values)} are NaN")
    require_pairs(len(planted))
    if not len(scores):
        raise DataError(
            "no pair was found, so no threshold can be chosen", "Relax min_cosine and max_length_ratio."
        )


def separation(planted: Planted) -> float:
    """Return the maximum difference between the shares of planted pairs and of planted orphans above a score."""
    paired = planted.pair[np.isfinite(planted.pair)]
    if not len(paired):
        return 0.0
    alone = [count_from(each, paired) for each in (planted.source_orphan, planted.target_orphan)]
    return float((count_from(planted.pair, paired) - np.mean(alone, axis=0)).max() / len(planted))


def require_pairs(count: int, reasons: str = "") -> None:
    """Reject too few pairs."""
    if count < FEWEST_PAIRS:
        raise DataError(
            f"{counted(count, 'development pair')} can be planted{reasons}, but at least {FEWEST_PAIRS} are required",
            "Use more pairs that are not in the collections; 200 give a good estimate.",
        )


def threshold_grid(scores: Doubles, planted: Doubles) -> Doubles:
    """Return the thresholds to try, ascending."""
    both = np.concatenate([scores, planted[np.isfinite(planted)]])
    grid: Doubles = np.unique(np.floor(both * 10**DECIMALS)) / 10**DECIMALS
    return grid


def _share_from(scores: Doubles, marks: Doubles) -> Doubles:
    """Return the share of scores at or above each mark, interpolated between the scores."""
    known = np.sort(scores[np.isfinite(scores)])
    if not len(known):
        return np.zeros(len(marks))
    shares = (len(known) - np.arange(len(known)) - 0.5) / len(scores)
    return np.interp(marks, known, shares, left=len(known) / len(scores), right=0.0)
