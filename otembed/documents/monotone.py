"""Monotone alignment of two documents: a shortest path, from coarse to fine, in linear time and memory."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from otembed.documents.kernels import ROUNDING, link_costs, shortest, widen

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
# With fewer sentences, the mean of a document is dominated by each sentence itself.
CENTER_FROM = 10
ONE_TO_ONE = np.array([[1, 1]])
# Additional weight of links with several sentences on both sides. With 0, two pairs of sentences are joined because
# averages are closer than their parts; with 1, Vecalign's weights, real links of two and two are split.
SEVERAL = 0.2


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


@dataclass(frozen=True, eq=False)
class Sides:
    """Two documents as an alignment sees them; from :func:`prepare`.

    Parameters
    ----------
    x, y
        (A, N, D) and (A, M, D) unit vectors of runs: row i of length a is the run of a + 1 sentences from i on.
    x_far, y_far
        (A, N) and (A, M) mean distances from the other document; NaN where a run ends outside the document.
    x_lengths, y_lengths
        (N,) and (M,) lengths of the sentences, with the same sum, or zeros.
    deletion
        Cost of a sentence without a link.
    length_weight
        Weight of the relative difference of lengths in the cost of a link.
    """

    x: Floats
    y: Floats
    x_far: Doubles
    y_far: Doubles
    x_lengths: Doubles
    y_lengths: Doubles
    deletion: float
    length_weight: float

    @property
    def shape(self) -> tuple[int, int]:
        """Number of sentences of both documents."""
        return self.x.shape[1], self.y.shape[1]

    def cut(self, rows: Ids, columns: Ids) -> Sides:
        """Return the documents with these sentences only, ascending; runs of sentences that were apart have no link."""
        return replace(
            self,
            x=np.ascontiguousarray(self.x[:, rows]),
            y=np.ascontiguousarray(self.y[:, columns]),
            x_far=_kept(self.x_far, rows),
            y_far=_kept(self.y_far, columns),
            x_lengths=self.x_lengths[rows],
            y_lengths=self.y_lengths[columns],
        )


def kinds_of_links(max_sentences: int) -> Ids:
    """Return (S, 2) numbers of source and target sentences of all links of at most ``max_sentences`` sentences.

    >>> kinds_of_links(3).tolist()
    [[1, 1], [1, 2], [2, 1]]
    """
    sizes = range(1, max_sentences)
    found = sorted((m + n, m, n) for m, n in product(sizes, sizes) if m + n <= max_sentences)
    return np.array([kind[1:] for kind in found], np.int64)


def prepare(
    x: Floats,
    y: Floats,
    x_lengths: Doubles | None = None,
    y_lengths: Doubles | None = None,
    *,
    deletion_quantile: float,
    length_weight: float = 0.0,
    center: bool | None = None,
    seed: int = 0,
) -> Sides:
    """Return the documents with all that costs depend on.

    Parameters
    ----------
    x, y
        (A, N, D) and (A, M, D) float32 unit vectors of runs, N and M at least 1; rows of runs beyond the end are not read.
    x_lengths, y_lengths
        (N,) and (M,) characters of the sentences; those of the target are scaled to the same sum. None: no lengths.
    deletion_quantile, length_weight
        As in :class:`otembed.config.DocumentsConfig`.
    center
        Subtract the mean of the sentences of each document from all runs; None: if both have at least 10 sentences.
    seed
        Of the random pairs for the cost of a deletion.
    """
    if center is None:
        center = min(x.shape[1], y.shape[1]) >= CENTER_FROM
    if center:
        x, y = (unit(side - side[0].mean(0, dtype=np.float64).astype(np.float32)) for side in (x, y))
    if x_lengths is None or y_lengths is None:
        x_lengths, y_lengths = np.zeros(x.shape[1]), np.zeros(y.shape[1])
    elif y_lengths.sum() > 0:
        y_lengths = y_lengths * (x_lengths.sum() / y_lengths.sum())
    sides = Sides(
        np.ascontiguousarray(x),
        np.ascontiguousarray(y),
        mean_distances(x, y),
        mean_distances(y, x),
        x_lengths.astype(np.float64),
        y_lengths.astype(np.float64),
        0.0,
        length_weight,
    )
    return replace(sides, deletion=deletion_cost(sides, deletion_quantile, seed))


def align_monotone(sides: Sides, *, max_sentences: int, band: int) -> list[Step]:
    r"""Return the best monotone alignment of two documents, in order.

    A link of the runs x and y with m and n sentences costs

    .. math:: (m + n - 1 + 0.2 (m - 1)(n - 1)) \left(\frac{2 (1 - \cos(x, y))}{d(x) + d(y)} + w \frac{|l_x - l_y|}{l_x + l_y}\right)

    where d is the mean of 1 - cos to the sentences of the other document and l the length in characters. A sentence
    without a link costs a quantile of the costs of random sentences. This is the program of Vecalign [1]_, whose links
    weigh m n = (m + n - 1) + (m - 1)(n - 1), with centered vectors and lengths.

    Parameters
    ----------
    sides
        From :func:`prepare`, with runs of ``max_sentences`` - 1 sentences.
    max_sentences, band
        As in :class:`otembed.config.DocumentsConfig`.

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
    rows, columns = sides.shape
    if rows == 0 or columns == 0:
        return unlinked(rows, columns)
    levels = [sides]
    while (levels[-1].shape[0] + 1) * (levels[-1].shape[1] + 1) > FULL_CELLS:
        levels.append(halved(levels[-1]))
    path: Ids | None = None
    for level in levels[:0:-1]:
        solved = _solve(level, ONE_TO_ONE, path, band)
        path = np.array([(0, 0), *((step.source[1], step.target[1]) for step in solved)], np.int64)
    return _solve(sides, kinds_of_links(max_sentences), path, band)


def unlinked(rows: int, columns: int) -> list[Step]:
    """Return the alignment without links."""
    left = [Step((i, i + 1), (0, 0), 0.0) for i in range(rows)]
    return left + [Step((rows, rows), (j, j + 1), 0.0) for j in range(columns)]


def halved(sides: Sides) -> Sides:
    """Return the documents in which each two consecutive sentences are one, with the same cost of a deletion."""
    x, y = (_pairs(side[0]) for side in (sides.x, sides.y))
    x, y = unit(x)[None], unit(y)[None]
    return replace(
        sides,
        x=x,
        y=y,
        x_far=mean_distances(x, y),
        y_far=mean_distances(y, x),
        x_lengths=_pairs(sides.x_lengths[:, None])[:, 0].astype(np.float64),
        y_lengths=_pairs(sides.y_lengths[:, None])[:, 0].astype(np.float64),
    )


def _pairs(rows: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return the sums of consecutive pairs of rows; a last row without a partner stays."""
    summed = rows[: len(rows) // 2 * 2].reshape(-1, 2, rows.shape[1]).sum(1)
    return np.concatenate([summed, rows[-1:]]) if len(rows) % 2 else summed


def unit(rows: NDArray[np.floating]) -> Floats:
    """Return rows divided by their norms; rows that are zero but for rounding become zero."""
    norms = np.linalg.norm(rows, axis=-1, keepdims=True)
    scaled: Floats = np.ascontiguousarray(
        np.divide(rows, norms, out=np.zeros_like(rows), where=norms > ROUNDING), dtype=np.float32
    )
    return scaled


def _kept(far: Doubles, rows: Ids) -> Doubles:
    """Return the distances of some sentences, NaN for runs that are not consecutive in ``rows`` or leave it."""
    kept = far[:, rows]
    for length in range(1, len(far)):
        whole = np.zeros(len(rows), np.bool_)
        count = max(len(rows) - length, 0)
        whole[:count] = rows[length:] - rows[:count] == length
        kept[length, ~whole] = np.nan
    return kept


def _solve(sides: Sides, steps: Ids, path: Ids | None, band: int) -> list[Step]:
    lo, hi = _band(sides.shape, path, band)
    starts = np.concatenate([[0], np.cumsum(hi - lo + 1)])
    x_ends, y_ends = (np.concatenate([[0.0], np.cumsum(each)]) for each in (sides.x_lengths, sides.y_lengths))
    costs = np.empty((int(starts[-1]), len(steps)), np.float32)
    x, y, x_far, y_far = sides.x, sides.y, sides.x_far, sides.y_far
    link_costs(x, y, x_far, y_far, x_ends, y_ends, lo, hi, starts[:-1], steps, sides.length_weight, costs)
    weights = steps.sum(axis=1) - 1.0 + SEVERAL * (steps - 1).prod(axis=1)
    total, back = np.empty(len(costs)), np.empty(len(costs), np.int16)
    shortest(costs, lo, hi, starts[:-1], steps, weights, sides.deletion, total, back)
    return _traced(costs, lo, starts, steps, back, sides.shape)


def _band(shape: tuple[int, int], path: Ids | None, band: int) -> tuple[Ids, Ids]:
    """Return the band around the path of the coarser level, or all cells without one."""
    rows, columns = shape
    if path is None:
        return np.zeros(rows + 1, np.int64), np.full(rows + 1, columns, np.int64)
    lo, hi = np.full(rows + 1, columns, np.int64), np.full(rows + 1, -1, np.int64)
    # A step of the coarser level spans two sentences, so its inner cells are one away from its ends.
    widen(np.minimum(2 * path, shape), band + 1, lo, hi)
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


def deletion_cost(sides: Sides, quantile: float, seed: int) -> float:
    """Return a quantile of the costs of random pairs of sentences."""
    rows, columns = sides.shape
    if rows * columns <= SAMPLES:
        i, j = (each.ravel() for each in np.indices((rows, columns)))
    else:
        draw = np.random.default_rng(seed)
        i, j = draw.integers(0, rows, SAMPLES), draw.integers(0, columns, SAMPLES)
    return float(np.quantile(pair_costs(sides, i, j), quantile))


def pair_costs(sides: Sides, i: Ids, j: Ids) -> Doubles:
    """Return the costs of links between single sentences (p,)."""
    distances = 1.0 - np.einsum("pd,pd->p", sides.x[0, i], sides.y[0, j], dtype=np.float64)
    far = sides.x_far[0, i] + sides.y_far[0, j]
    costs = np.divide(2.0 * distances, far, out=np.zeros_like(far), where=(distances > ROUNDING) & (far > ROUNDING))
    x_lengths, y_lengths = sides.x_lengths[i], sides.y_lengths[j]
    total = x_lengths + y_lengths
    apart = np.divide(np.abs(x_lengths - y_lengths), total, out=np.zeros_like(total), where=total > 0)
    found: Doubles = costs + sides.length_weight * apart
    return found


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
