"""The distribution of scores, what each threshold keeps, and the pairs that are shown; pure numpy."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Doubles = NDArray[np.float64]

BINS, BAND_BINS = 50, 5
"""Bins of the histogram, about; a band is as wide as five of them."""
AROUND, SAMPLE, SEED = 12, 6, 0
"""Pairs on each side of the threshold, random pairs of each band, and the seed of the sample."""
TAIL = 0.001
"""Share of the scores on each side that may be far from all others; the first and the last bin then hold them."""


@dataclass(frozen=True)
class Band:
    """Scores from ``low`` to below ``high``, None without a limit: the number of pairs, and those that are shown."""

    low: float | None
    high: float | None
    count: int
    shown: tuple[int, ...]


@dataclass(frozen=True)
class ScoreView:
    """What a page shows of many scores; pairs are given by their index, best first.

    Parameters
    ----------
    edges, counts
        Histogram: bin i holds the scores from ``edges[i]`` to below ``edges[i + 1]``. The first and the last bin also hold
        all scores beyond them.
    stops
        (threshold, number of pairs at or above it), ascending: every edge, the lowest score, and the threshold in use.
    above, below
        The pairs nearest to the threshold.
    bands
        Bands with pairs, best first.
    """

    edges: tuple[float, ...]
    counts: tuple[int, ...]
    stops: tuple[tuple[float, int], ...]
    above: tuple[int, ...]
    below: tuple[int, ...]
    bands: tuple[Band, ...]


def score_view(scores: Doubles, threshold: float | None) -> ScoreView:
    """Return the view of (n,) scores in any order; without scores, an empty one.

    Examples
    --------
    >>> view = score_view(np.array([0.9, 0.5, 0.1]), 0.5)
    >>> view.stops[0], (0.5, 2) in view.stops, view.above, view.below
    ((0.1, 3), True, (0, 1), (2,))
    """
    if not len(scores):
        return ScoreView((), (), (), (), (), ())
    order = np.lexsort((np.arange(len(scores)), -scores))
    ascending = scores[order][::-1]
    step, first, last = _grid(ascending)
    digits = max(0, -math.floor(math.log10(step)))
    edges = [round(index * step, digits + 1) for index in range(first, last + 1)]
    kept = [_count_from(ascending, edge) for edge in edges]
    # The outer bins also hold the scores beyond them.
    counts = [a - b for a, b in itertools.pairwise([len(scores), *kept[1:-1], 0])]
    # The lowest score and the threshold are not edges of bins, but the slider also stops there.
    stops = {edge: count for edge, count in zip(edges, kept, strict=True) if count}
    stops[float(ascending[0])] = len(scores)
    if threshold is not None:
        stops[threshold] = _count_from(ascending, threshold)
    cut = len(scores) if threshold is None else _count_from(ascending, threshold)
    around = threshold is not None
    return ScoreView(
        tuple(edges),
        tuple(counts),
        tuple(sorted((edge, count) for edge, count in stops.items() if edge >= ascending[0] or edge == threshold)),
        tuple(order[max(cut - AROUND, 0) : cut].tolist()) if around else (),
        tuple(order[cut : cut + AROUND].tolist()) if around else (),
        _bands(order, ascending, edges, first),
    )


def _count_from(ascending: Doubles, score: float) -> int:
    return len(ascending) - int(np.searchsorted(ascending, score, "left"))


def _grid(ascending: Doubles) -> tuple[float, int, int]:
    """Return the width of a bin, 1, 2 or 5 times a power of ten, and the multiples of it that bound the histogram."""
    low, high = float(ascending[0]), float(ascending[-1])
    inner = [float(each) for each in np.quantile(ascending, [TAIL, 1 - TAIL])]
    span = inner[1] - inner[0]
    if span > 0:
        low, high = (
            end if abs(end - bound) <= span / 4 else bound for end, bound in zip((low, high), inner, strict=True)
        )
    wide = max(high - low, 1e-6 * max(abs(low), abs(high)), 1e-9) / BINS
    power = 10.0 ** math.floor(math.log10(wide))
    step = next(each * power for each in (1, 2, 5, 10) if each * power >= wide * (1 - 1e-9))
    return step, math.floor(low / step), math.floor(high / step) + 1


def _bands(order: NDArray[np.int64], ascending: Doubles, edges: list[float], first: int) -> tuple[Band, ...]:
    inner = [edge for place, edge in enumerate(edges[1:-1], 1) if (first + place) % BAND_BINS == 0]
    limits: list[float | None] = [None, *inner, None]
    found = []
    for number, (low, high) in enumerate(itertools.pairwise(limits)):
        begin = 0 if high is None else _count_from(ascending, high)
        end = len(ascending) if low is None else _count_from(ascending, low)
        if begin == end:
            continue
        random = np.random.default_rng([SEED, number])
        places = np.sort(begin + random.choice(end - begin, min(SAMPLE, end - begin), replace=False))
        found.append(Band(low, high, end - begin, tuple(order[places].tolist())))
    return tuple(found[::-1])
