"""The threshold of links, chosen from the wrong links of planted stretches; pure numpy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from otembed.errors import DataError
from otembed.mining.calibration.calibrate import WithCurve, best_row, curve_of, threshold_grid
from otembed.mining.calibration.mixture import count_from

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Doubles = NDArray[np.float64]

# With fewer stretches, or wrong links of them, shares depend too much on a few sentences.
FEWEST_STRETCHES, FEWEST_WRONG = 20, 20
# Links with a score up to this quantile of the wrong links count as wrong.
LOW = 0.5
# Draws for the standard errors.
DRAWS = 200


@dataclass(frozen=True)
class LinkCalibration(WithCurve):
    """The chosen threshold, and the expected precision, recall and F1 of the links at or above it.

    ``planted`` counts the stretches, ``planted_wrong`` their wrong links, ``found`` the links at or above the threshold.
    A link is right if a sentence of one side is translated, at least in part, by one of the other. ``recall`` is the
    share of the right links of the run that are kept, ``wrong`` the expected number of wrong links without a threshold.
    Each ``*_error`` is a standard error. ``curve`` has (threshold, precision, recall) of up to 25 thresholds.
    """

    planted: int
    planted_wrong: int
    threshold: float
    min_precision: float | None
    found: int
    wrong: float
    wrong_error: float
    precision: float
    precision_error: float
    recall: float
    recall_error: float
    f1: float
    f1_error: float
    curve: tuple[tuple[float, float, float], ...] = ()


def calibrate_links(
    scores: Doubles, planted: Sequence[Sequence[float]], *, min_precision: float | None = None
) -> LinkCalibration:
    r"""Choose a threshold for links, and estimate its precision, recall and F1.

    Right links rarely score lower than most wrong ones. With C(t) links of the run and the share W(t) of the planted wrong
    links at or above a score t, and the median m of the latter, the expected number of wrong links is

    .. math:: E(t) = \frac{C(-\infty) - C(m)}{1 - W(m)} W(t)

    so that the precision is 1 - E(t) / C(t). It is too low if right links score below m. This is the estimate from
    decoys that is common in proteomics [1]_; one is added to the planted wrong links above t, because none may be seen.

    Parameters
    ----------
    scores
        (c,) scores of all links, without a threshold.
    planted
        Scores of the wrong links of each stretch, from :func:`otembed.documents.planting.plant`.
    min_precision
        Choose the lowest threshold with this expected precision, instead of the best expected F1.

    Raises
    ------
    DataError
        There are fewer than 20 stretches or 20 wrong links of them, or no threshold has that precision.

    References
    ----------
    .. [1] J. E. Elias, S. P. Gygi, "Target-decoy search strategy for increased confidence in large-scale protein
       identifications by mass spectrometry", Nature Methods 2007.
    """
    wrong = [np.array(each, np.float64) for each in planted]
    every = np.concatenate([np.zeros(0), *wrong])
    if len(planted) < FEWEST_STRETCHES:
        raise DataError(
            f"threshold auto requires {FEWEST_STRETCHES} stretches of text, but the documents have {len(planted)}: one for 30 "
            "sentences, at least one for each pair of documents with 10 sentences on both sides",
            "Set threshold to a number.",
        )
    if len(every) < FEWEST_WRONG or not len(scores):
        raise DataError(
            f"threshold auto requires links and {FEWEST_WRONG} wrong links of sentences without a translation, but there are "
            f"{len(scores)} and {len(every)}",
            "Set threshold to a number, or to null: sentences without a translation seldom get a link.",
        )
    grid = threshold_grid(scores, every)
    found = count_from(scores, grid)
    grid, found = grid[found > 0], found[found > 0]
    total = _wrong_links(scores, every)
    precision, recall, f1 = _figures(total, len(scores), found, total * _share_from(every, grid))
    best = best_row(grid, precision, f1, min_precision)
    errors = _errors(scores, wrong, float(grid[best]))
    return LinkCalibration(
        planted=len(planted),
        planted_wrong=len(every),
        threshold=float(grid[best]),
        min_precision=min_precision,
        found=int(found[best]),
        wrong=total,
        wrong_error=errors[0],
        precision=float(precision[best]),
        precision_error=errors[1],
        recall=float(recall[best]),
        recall_error=errors[2],
        f1=float(f1[best]),
        f1_error=errors[3],
        curve=curve_of(grid, precision, recall),
    )


def _wrong_links(scores: Doubles, wrong: Doubles, below: float | None = None) -> float:
    """Return the expected number of wrong links; ``below`` replaces the number of low scores."""
    low = np.quantile(wrong, LOW, method="lower")
    count = float((scores <= low).sum()) if below is None else below
    return min(count / float((wrong <= low).mean()), float(len(scores)))


def _share_from(wrong: Doubles, marks: Doubles) -> Doubles:
    """Return the share of wrong links at or above each mark, one more than were seen."""
    shares: Doubles = (count_from(wrong, marks) + 1) / (len(wrong) + 1)
    return shares


def _figures(
    total: float, links: int, found: NDArray[np.int64], wrong: Doubles
) -> tuple[Doubles, Doubles, Doubles]:
    """Return the precision, recall and F1 of thresholds with these numbers of links and of wrong ones."""
    right = np.clip(found - wrong, 0, found)
    precision, recall = right / found, np.minimum(right / max(links - total, 1e-9), 1.0)
    return precision, recall, 2 * precision * recall / np.maximum(precision + recall, 1e-9)


def _errors(scores: Doubles, wrong: list[Doubles], threshold: float) -> Doubles:
    """Return the standard errors of the number of wrong links, precision, recall and F1, from draws of the stretches.

    The numbers of low scores and of wrong links at or above the threshold vary as Poisson variables.
    """
    draw = np.random.default_rng(0)
    low = np.quantile(np.concatenate(wrong), LOW, method="lower")
    mark = np.array([threshold])
    found = count_from(scores, mark)
    rows = []
    for below in draw.poisson(float((scores <= low).sum()), DRAWS):
        drawn = np.concatenate([wrong[place] for place in draw.integers(len(wrong), size=len(wrong))])
        if len(drawn):
            total = _wrong_links(scores, drawn, float(below))
            kept = draw.poisson(total * _share_from(drawn, mark)).astype(np.float64)
            rows.append([total, *(float(each[0]) for each in _figures(total, len(scores), found, kept))])
    errors: Doubles = np.std(rows, axis=0)
    return errors
