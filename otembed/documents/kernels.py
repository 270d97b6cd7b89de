"""Compiled loops of sentence alignment: link costs within a band, and the shortest path through it.

Axes: A lengths of a run of sentences, N and M sentences, D dimensions, S kinds of links. A band has, for each number i
of source sentences that are done, the numbers ``lo[i]`` to ``hi[i]`` of target sentences; ``starts[i]`` is the place of
its first cell in flat arrays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from otembed.embeddings.row_kernels import dot
from otembed.runtime.compiling import jit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Doubles = NDArray[np.float64]
    Ids = NDArray[np.int64]

# A cosine distance of float32 vectors that is smaller is zero.
ROUNDING = 1e-6


@jit(
    ahead="void(f4[:,:,::1], f4[:,:,::1], f8[:,::1], f8[:,::1], f8[::1], f8[::1], i8[::1], i8[::1], i8[::1], i8[:,::1],"
    "f8, f4[:,::1])"
)
def link_costs(
    x: Floats,
    y: Floats,
    x_far: Doubles,
    y_far: Doubles,
    x_ends: Doubles,
    y_ends: Doubles,
    lo: Ids,
    hi: Ids,
    starts: Ids,
    steps: Ids,
    length_weight: float,
    costs: Floats,
) -> None:
    """Compute the cost of every link that ends in a cell of the band and starts in one; others cost infinity.

    Parameters
    ----------
    x, y
        (A, N, D) and (A, M, D) unit vectors; row i of length a is the run of a + 1 sentences from sentence i on.
    x_far, y_far
        (A, N) and (A, M) mean cosine distances of the runs from the sentences of the other side; NaN for runs that
        cannot be linked.
    x_ends, y_ends
        (N + 1,) and (M + 1,) numbers of characters before each sentence, on a common scale.
    steps
        (S, 2) numbers of source and target sentences of each kind of link.
    length_weight
        Weight of the relative difference of both lengths.
    costs
        (cells, S) output: twice the cosine distance, divided by the sum of both mean distances, plus the difference.
    """
    for i in range(len(lo)):
        for j in range(lo[i], hi[i] + 1):
            cell = starts[i] + j - lo[i]
            for s in range(len(steps)):
                m, n = steps[s, 0], steps[s, 1]
                before, beside = i - m, j - n
                if before < 0 or beside < lo[before] or beside > hi[before]:
                    costs[cell, s] = np.inf
                    continue
                far = x_far[m - 1, before] + y_far[n - 1, beside]
                if np.isnan(far):
                    costs[cell, s] = np.inf
                    continue
                distance = 1.0 - dot(x[m - 1, before], y[n - 1, beside])
                # Rounding would decide between one link of equal texts and two.
                cost = 2.0 * distance / far if distance > ROUNDING and far > ROUNDING else 0.0
                x_length, y_length = x_ends[i] - x_ends[before], y_ends[j] - y_ends[beside]
                if x_length + y_length > 0.0:
                    cost += length_weight * abs(x_length - y_length) / (x_length + y_length)
                costs[cell, s] = cost


@jit(ahead="void(f4[:,::1], i8[::1], i8[::1], i8[::1], i8[:,::1], f8[::1], f8, f8[::1], i2[::1])")
def shortest(
    costs: Floats,
    lo: Ids,
    hi: Ids,
    starts: Ids,
    steps: Ids,
    weights: Doubles,
    deletion: float,
    total: Doubles,
    back: NDArray[np.int16],
) -> None:
    """Compute the cost of the shortest path from the first cell to every cell, and its last step.

    ``back`` (cells,) becomes the kind of the last link, S for a source sentence without a link, S + 1 for a target
    sentence without one, -1 in the first cell and in cells that no path reaches. Among equal costs, the first step wins.
    """
    kinds = len(steps)
    for i in range(len(lo)):
        for j in range(lo[i], hi[i] + 1):
            cell = starts[i] + j - lo[i]
            best, kind = np.inf, -1
            if i == 0 and j == 0:
                best = 0.0
            for s in range(kinds):
                if costs[cell, s] < np.inf:
                    before = i - steps[s, 0]
                    value = total[starts[before] + j - steps[s, 1] - lo[before]] + weights[s] * costs[cell, s]
                    if value < best:
                        best, kind = value, s
            if i > 0 and lo[i - 1] <= j <= hi[i - 1]:
                value = total[starts[i - 1] + j - lo[i - 1]] + deletion
                if value < best:
                    best, kind = value, kinds
            if j > lo[i]:
                value = total[cell - 1] + deletion
                if value < best:
                    best, kind = value, kinds + 1
            total[cell], back[cell] = best, kind


@jit(ahead="void(i8[:,::1], i8, i8[::1], i8[::1])")
def widen(path: Ids, width: int, lo: Ids, hi: Ids) -> None:
    """Extend a band so that it covers all cells at most ``width`` away from a path in either direction.

    ``path`` (P, 2) are cells of the band; ``lo`` and ``hi`` (N + 1,) start as an empty band, ``lo`` above ``hi``, and
    end within 0 and the last cell of the path.
    """
    last_row, last_column = len(lo) - 1, path[len(path) - 1, 1]
    for p in range(len(path)):
        left, right = max(path[p, 1] - width, 0), min(path[p, 1] + width, last_column)
        for i in range(max(path[p, 0] - width, 0), min(path[p, 0] + width, last_row) + 1):
            lo[i], hi[i] = min(lo[i], left), max(hi[i], right)
