"""Monotone alignment of two documents: a shortest path, from coarse to fine, in linear time and memory."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from otembed.documents.kernels import link_costs, shortest, widen

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Doubles = NDArray[np.float64]
    Ids = NDArray[np.int64]

# Documents are halved until all cells of the program can be computed.
FULL_CELLS = 2**17
# Random pairs of sentences whose costs give the cost of a deletion.
SAMPLES = 20_000
# With fewer sentences on the other side, the best match weighs too much in a mean distance, and is left out of it.
FEW = 50
ONE_TO_ONE = np.array([[1, 1]])


@dataclass(frozen=True)
class Step:
    """Consecutive sentences of both sides that are linked: ``source`` and ``target`` are (start, stop).

    One of them is empty for a sentence without a link. ``cost`` is relative to random sentences, which cost about 1.
    """

    source: tuple[int, int]
    target: tuple[int, int]
    cost: float

    @property
    def is_link(self) -> bool:
        """Whether both sides have sentences."""
        return self.source[0] < self.source[1] and self.target[0] < self.target[1]


def kinds_of_links(max_sentences: int) -> Ids:
    """Return (S, 2) numbers of source and target sentences of all links of at most ``max_sentences`` sentences.

    >>> kinds_of_links(3).tolist()
    [[1, 1], [1, 2], [2, 1]]
    """
    sizes = range(1, max_sentences)
    found = sorted((m + n, m, n) for m, n in product(sizes, sizes) if m + n <= max_sentences)
    return np.array([kind[1:] for kind in found], np.int64)


def align_monotone(
    x: Floats, y: Floats, *, max_sentences: int, deletion_quantile: float, band: int, seed: int = 0
) -> list[Step]:
    r"""Return the best monotone alignment of two documents, in order.

    A link of the runs x and y with m and n sentences costs

    .. math:: m n \frac{2 (1 - \cos(x, y))}{d(x) + d(y)}

    where d is the mean of 1 - cos to the sentences of the other document. A sentence without a link costs a quantile of
    the costs of random sentences [1]_.

    Parameters
    ----------
    x, y
        (A, N, D) and (A, M, D) float32 unit vectors, A at least ``max_sentences`` - 1: row i of length a is the run of
        a + 1 sentences from sentence i on. Rows of runs beyond the end are not read.
    max_sentences, deletion_quantile, band
        As in :class:`otembed.config.DocumentsConfig`.
    seed
        Of the random pairs.

    Returns
    -------
    list of Step
        Every sentence is in exactly one step. The result is the shortest path within the band; the band follows the
        best path of documents in which pairs of sentences are averaged, recursively.

    Notes
    -----
    Time and memory are linear in N + M: the band has about 4 ``band`` cells for each sentence.

    References
    ----------
    .. [1] B. Thompson, P. Koehn, "Vecalign: Improved Sentence Alignment in Linear Time and Space", EMNLP 2019.
    """
    rows, columns = x.shape[1], y.shape[1]
    if rows == 0 or columns == 0:
        return [Step((i, i + 1), (0, 0), 0.0) for i in range(rows)] + [
            Step((0, 0), (j, j + 1), 0.0) for j in range(columns)
        ]
    levels = [(x[:1], y[:1])]
    while (levels[-1][0].shape[1] + 1) * (levels[-1][1].shape[1] + 1) > FULL_CELLS:
        levels.append((_halved(levels[-1][0]), _halved(levels[-1][1])))
    path: Ids | None = None
    for coarse_x, coarse_y in levels[:0:-1]:
        solved = _solve(coarse_x, coarse_y, ONE_TO_ONE, path, band, deletion_quantile, seed)
        path = _cells(solved)
    steps = kinds_of_links(max_sentences)
    lengths = max_sentences - 1
    return _solve(x[:lengths], y[:lengths], steps, path, band, deletion_quantile, seed)


def _halved(x: Floats) -> Floats:
    """Return the unit means of consecutive pairs of single sentences."""
    single = x[0]
    pairs = single[: len(single) // 2 * 2].reshape(-1, 2, single.shape[1]).sum(1)
    if len(single) % 2:
        pairs = np.concatenate([pairs, single[-1:]])
    return unit(pairs)[None]


def unit(rows: Floats) -> Floats:
    """Return rows divided by their norms; opposite vectors, whose sum is zero, stay zero."""
    norms = np.linalg.norm(rows, axis=-1, keepdims=True)
    scaled: Floats = np.ascontiguousarray(rows / np.where(norms > 0, norms, 1), dtype=np.float32)
    return scaled


def _solve(x: Floats, y: Floats, steps: Ids, path: Ids | None, band: int, quantile: float, seed: int) -> list[Step]:
    rows, columns = x.shape[1], y.shape[1]
    lo, hi = _band(rows, columns, path, band)
    starts = np.concatenate([[0], np.cumsum(hi - lo + 1)])
    far = mean_distances(x, y), mean_distances(y, x)
    costs = np.empty((int(starts[-1]), len(steps)), np.float32)
    link_costs(np.ascontiguousarray(x), np.ascontiguousarray(y), *far, lo, hi, starts[:-1], steps, costs)
    weights = steps.prod(axis=1).astype(np.float64)
    total, back = np.empty(len(costs)), np.empty(len(costs), np.int16)
    deletion = deletion_cost(x[0], y[0], far[0][0], far[1][0], quantile, seed)
    shortest(costs, lo, hi, starts[:-1], steps, weights, deletion, total, back)
    return _traced(costs, lo, starts, steps, back, (rows, columns))


def _band(rows: int, columns: int, path: Ids | None, band: int) -> tuple[Ids, Ids]:
    """Return the band around the path of the coarser level, or all cells without one."""
    if path is None:
        return np.zeros(rows + 1, np.int64), np.full(rows + 1, columns, np.int64)
    fine = np.minimum(2 * path, [rows, columns])
    lo, hi = np.full(rows + 1, columns, np.int64), np.full(rows + 1, -1, np.int64)
    # A step of the coarser level spans two sentences, so its inner cells are one away from its ends.
    widen(fine, band + 1, lo, hi)
    return lo, hi


def mean_distances(x: Floats, y: Floats) -> Doubles:
    """Return the mean of 1 - cos of all runs (A, N) to the single sentences of the other side (A, M, D).

    If the other side has fewer than 50 sentences, but more than one, the closest of them is left out: it may be the
    translation. With a single one, the distance is 1, the one of unrelated directions.
    """
    others = y[0].astype(np.float64)
    if len(others) == 1:
        return np.ones(x.shape[:2])
    means = np.empty(x.shape[:2])
    for length, runs in enumerate(x):
        if len(others) >= FEW:
            means[length] = runs.astype(np.float64) @ others.mean(0)
        else:
            cosines = runs.astype(np.float64) @ others.T
            means[length] = (cosines.sum(1) - cosines.max(1)) / (len(others) - 1)
    return np.maximum(1.0 - means, 0.0)


def deletion_cost(x: Floats, y: Floats, x_far: Doubles, y_far: Doubles, quantile: float, seed: int) -> float:
    """Return a quantile of the costs of random pairs of sentences."""
    draw = np.random.default_rng(seed)
    if len(x) * len(y) <= SAMPLES:
        i, j = (each.ravel() for each in np.indices((len(x), len(y))))
    else:
        i, j = draw.integers(0, len(x), SAMPLES), draw.integers(0, len(y), SAMPLES)
    distances = np.maximum(1.0 - np.einsum("pd,pd->p", x[i], y[j], dtype=np.float64), 0.0)
    far = x_far[i] + y_far[j]
    costs = np.divide(2.0 * distances, far, out=np.zeros_like(far), where=far > 0)
    return float(np.quantile(costs, quantile))


def _traced(
    costs: Floats, lo: Ids, starts: Ids, steps: Ids, back: NDArray[np.int16], end: tuple[int, int]
) -> list[Step]:
    """Follow the last steps from the end to the start."""
    i, j = end
    found = []
    while i or j:
        cell = starts[i] + j - lo[i]
        kind = int(back[cell])
        if kind < len(steps):
            m, n = (int(each) for each in steps[kind])
            found.append(Step((i - m, i), (j - n, j), float(costs[cell, kind])))
            i, j = i - m, j - n
        elif kind == len(steps):
            found.append(Step((i - 1, i), (j, j), 0.0))
            i -= 1
        else:
            found.append(Step((i, i), (j - 1, j), 0.0))
            j -= 1
    return found[::-1]


def _cells(steps: list[Step]) -> Ids:
    """Return the cells (P, 2) that a path visits, the first and the last included."""
    return np.array([(0, 0), *((step.source[1], step.target[1]) for step in steps)], np.int64)
