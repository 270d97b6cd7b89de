"""Compiled loops of the search: unit rows, dot products in one fixed order, screening of a similarity tile."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Doubles = NDArray[np.float64]
    Ids = NDArray[np.int64]

# Cells of a tile that are looked at together; nearly all such blocks hold nothing worth a second look.
BLOCK = 64
# What is left of a unit vector after its mean was taken away: below this it is rounding, not a direction.
NO_DIRECTION = 1e-6
GOOD, NOT_FINITE, ZERO = 0, 1, 2


@njit(cache=True, nogil=True)
def dot(x: Floats, y: Floats) -> float:
    """Return the dot product of two float32 rows, summed in float64 in an order that depends on nothing.

    A product of two float32 is exact in float64, so a fused multiply-add gives the same bits on any machine.
    """
    end = len(x) - len(x) % 8
    a = b = c = d = e = f = g = h = 0.0
    for i in range(0, end, 8):
        a += np.float64(x[i]) * np.float64(y[i])
        b += np.float64(x[i + 1]) * np.float64(y[i + 1])
        c += np.float64(x[i + 2]) * np.float64(y[i + 2])
        d += np.float64(x[i + 3]) * np.float64(y[i + 3])
        e += np.float64(x[i + 4]) * np.float64(y[i + 4])
        f += np.float64(x[i + 5]) * np.float64(y[i + 5])
        g += np.float64(x[i + 6]) * np.float64(y[i + 6])
        h += np.float64(x[i + 7]) * np.float64(y[i + 7])
    for i in range(end, len(x)):
        a += np.float64(x[i]) * np.float64(y[i])
    return ((a + e) + (b + f)) + ((c + g) + (d + h))


@njit(cache=True, nogil=True)
def scale_to_unit(rows: Floats, state: NDArray[np.uint8]) -> None:
    """Divide every row by its norm, in place; ``state`` says GOOD, NOT_FINITE or ZERO of each."""
    for r in range(len(rows)):
        row = rows[r]
        square = dot(row, row)
        if not np.isfinite(square):
            state[r] = NOT_FINITE
            continue
        if square == 0.0:
            state[r] = ZERO
            continue
        state[r] = GOOD
        norm = np.sqrt(square)
        for i in range(len(row)):
            row[i] = np.float32(np.float64(row[i]) / norm)


@njit(cache=True, nogil=True)
def center(rows: Floats, mean: Doubles) -> None:
    """Take ``mean`` from unit rows and scale them to unit length again, in place.

    A row that equals the mean keeps no direction and becomes zero.
    """
    for r in range(len(rows)):
        row = rows[r]
        for i in range(len(row)):
            row[i] = np.float32(np.float64(row[i]) - mean[i])
        square = dot(row, row)
        if square < NO_DIRECTION * NO_DIRECTION:
            row[:] = 0.0
            continue
        factor = 1.0 / np.sqrt(square)
        for i in range(len(row)):
            row[i] = np.float32(np.float64(row[i]) * factor)


@njit(cache=True, nogil=True)
def add_rows(rows: Floats, total: Doubles) -> None:
    """Add every row to ``total``, one after the other: the sum does not know where a shard ends."""
    for r in range(len(rows)):
        for i in range(len(total)):
            total[i] += rows[r, i]


@njit(cache=True, nogil=True)
def insert(scores: Floats, ids: Ids, score: np.float32, key: int) -> None:
    """Put ``key`` where it belongs in a list kept by score, best first, and by id among equal scores.

    A key that is in the list already, which has the same score, changes nothing: so lists may be merged in any
    order and more than once. The id -1 marks a free place at the end, its score is minus infinity.
    """
    place = len(scores)
    while place > 0 and (
        scores[place - 1] < score or (scores[place - 1] == score and (ids[place - 1] < 0 or key < ids[place - 1]))
    ):
        place -= 1
    if place == len(scores) or (place > 0 and ids[place - 1] == key):
        return
    for i in range(len(scores) - 1, place, -1):
        scores[i], ids[i] = scores[i - 1], ids[i - 1]
    scores[place], ids[place] = score, key


@njit(cache=True, nogil=True)
def merge_lists(scores: Floats, ids: Ids, more_scores: Floats, more_ids: Ids) -> None:
    """Merge the lists ``more`` into ``scores`` and ``ids``, row by row; -1 is no neighbor."""
    for r in range(len(scores)):
        for c in range(more_ids.shape[1]):
            if more_ids[r, c] >= 0:
                insert(scores[r], ids[r], more_scores[r, c], more_ids[r, c])


@njit(cache=True, nogil=True)
def merge_turned(scores: Floats, ids: Ids, more_scores: Floats, more_ids: Ids) -> None:
    """Merge the lists of the other side into ``scores`` and ``ids``: a neighbor of mine has me as a candidate."""
    for r in range(len(more_ids)):
        for c in range(more_ids.shape[1]):
            if more_ids[r, c] >= 0:
                insert(scores[more_ids[r, c]], ids[more_ids[r, c]], more_scores[r, c], r)


@njit(cache=True, nogil=True)
def screen(
    tile: Floats,
    x: Floats,
    y: Floats,
    slack: float,
    row_scores: Floats,
    row_ids: Ids,
    column_scores: Floats,
    column_ids: Ids,
    first_row: int,
    first_column: int,
) -> None:
    """Bring the lists of a tile's rows and columns up to date in one walk over its cells.

    ``tile`` (a, b) holds x @ y.T to within ``slack``. A cell is worth its exact product where the tile's value
    reaches the last score of either list less the slack, so no neighbor can be missed however the matrix
    product was computed, and the lists hold exact scores alone.
    """
    last_row, last_column = row_scores.shape[1] - 1, column_scores.shape[1] - 1
    gap = np.float32(slack)
    floors = np.empty(len(y), np.float32)
    for c in range(len(y)):
        floors[c] = column_scores[c, last_column] - gap
    whole = len(y) - len(y) % BLOCK
    for r in range(len(x)):
        cells = tile[r]
        floor = np.float32(row_scores[r, last_row] - gap)
        for start in range(0, len(y), BLOCK):
            width = BLOCK
            if start < whole:
                # Slices of fixed length, so that the compiler sees one vector instruction after the other.
                part, bounds = cells[start : start + BLOCK], floors[start : start + BLOCK]
                hits = np.int32(0)
                for c in range(BLOCK):
                    hits += np.int32(part[c] >= min(floor, bounds[c]))
                if hits == 0:
                    continue
            else:
                width = len(y) - whole
            for c in range(start, start + width):
                in_row, in_column = cells[c] >= floor, cells[c] >= floors[c]
                if in_row or in_column:
                    score = np.float32(dot(x[r], y[c]))
                    if in_row:
                        insert(row_scores[r], row_ids[r], score, first_column + c)
                        floor = np.float32(row_scores[r, last_row] - gap)
                    if in_column:
                        insert(column_scores[c], column_ids[c], score, first_row + r)
                        floors[c] = column_scores[c, last_column] - gap


@njit(cache=True, nogil=True)
def paired_dots(x: Floats, y: Floats, out: Floats) -> None:
    """Write the exact product of every row of ``x`` with the same row of ``y`` to ``out``."""
    for p in range(len(x)):
        out[p] = np.float32(dot(x[p], y[p]))


@njit(cache=True, nogil=True)
def greedy(source: Ids, target: Ids, sources: int, targets: int, chosen: NDArray[np.bool_]) -> None:
    """Mark each pair, in the order given, whose source and target are both still free."""
    used_source, used_target = np.zeros(sources, np.bool_), np.zeros(targets, np.bool_)
    for p in range(len(source)):
        if not used_source[source[p]] and not used_target[target[p]]:
            used_source[source[p]] = used_target[target[p]] = True
            chosen[p] = True


@njit(cache=True, nogil=True)
def listed(ids: Ids, rows: Ids, wanted: Ids, out: NDArray[np.bool_]) -> None:
    """Say for each pair whether ``wanted`` stands in the list of ``rows``."""
    for p in range(len(rows)):
        out[p] = False
        for c in range(ids.shape[1]):
            if ids[rows[p], c] == wanted[p]:
                out[p] = True
