"""Compiled loops of the search: neighbor lists, and the screening of a similarity tile.

numba does not see changes in functions of other files: after an edit of ``row_kernels.dot``, delete the caches in
``__pycache__``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from otembed.embeddings.row_kernels import dot
from otembed.runtime.compiling import jit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Ids = NDArray[np.int64]

# Cells of a tile that are checked together; nearly all such blocks hold no candidate.
BLOCK = 64
# Below every cell of a tile, and an int32.
LOWEST = -2147483000.0
LARGEST_CODE = 127


@jit()
def insert(scores: Floats, ids: Ids, score: np.float32, key: int) -> None:
    """Insert ``key`` into a list sorted by score, best first, and by id among equal scores.

    Inserting a key that is already in the list with the same score has no effect, so lists can be merged in any order
    and repeatedly. The id -1 marks an empty slot at the end; its score is a lower bound, often minus infinity.
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


@jit(ahead="void(f4[:,::1], i8[:,::1], f4[:,::1], i8[:,::1])")
def merge_lists(scores: Floats, ids: Ids, more_scores: Floats, more_ids: Ids) -> None:
    """Merge the lists ``more`` into ``scores`` and ``ids``, row by row; -1 marks an empty slot."""
    for r in range(len(scores)):
        for c in range(more_ids.shape[1]):
            if more_ids[r, c] >= 0:
                insert(scores[r], ids[r], more_scores[r, c], more_ids[r, c])


@jit()
def merge_turned(scores: Floats, ids: Ids, more_scores: Floats, more_ids: Ids) -> None:
    """Merge the lists of the other side, transposed: a row is a candidate of each of its neighbors."""
    for r in range(len(more_ids)):
        for c in range(more_ids.shape[1]):
            if more_ids[r, c] >= 0:
                insert(scores[more_ids[r, c]], ids[more_ids[r, c]], more_scores[r, c], r)


@jit()
def lowest(score: np.float32, slack: float, scale: float) -> float:
    """Return the lowest value of a cell whose exact product may reach ``score``, minus infinity included."""
    value = np.float64(score - slack) * scale
    return value if value > LOWEST else LOWEST


@jit()
def mix(row: Floats, signs: Floats, runs: Ids, out: Floats) -> None:
    """Write sums and differences of the signed entries to ``out``: an orthogonal transform times ``2^(levels / 2)``.

    Each run of ``runs`` is a level: it replaces every two neighboring runs of entries by their sum and their difference.
    """
    width = len(row)
    for i in range(width):
        out[i] = row[i] * signs[i]
    out[width:] = 0.0
    for run in runs:
        for start in range(0, len(out), 2 * run):
            left, right = out[start : start + run], out[start + run : start + 2 * run]
            for i in range(run):
                a, b = left[i], right[i]
                left[i], right[i] = a + b, a - b


@jit(ahead="UniTuple(f8, 2)(f4[:,::1], f4[::1], i8[::1], i1[:,::1])", fastmath={"reassoc", "nsz", "contract"})
def encode(rows: Floats, signs: Floats, runs: Ids, codes: NDArray[np.int8]) -> tuple[float, float]:
    """Write the mixed rows, divided by a step and rounded, to ``codes``.

    Returns
    -------
    tuple of float
        The step, and the largest distance of a mixed row from the step times its codes. The order of the sum of squares
        is free: it changes the distance by rounding errors only.
    """
    mixed = np.empty(codes.shape[1], np.float32)
    largest = np.float32(0.0)
    for r in range(len(rows)):
        mix(rows[r], signs, runs, mixed)
        for i in range(len(mixed)):
            largest = max(largest, abs(mixed[i]))
    step = np.float64(largest) / LARGEST_CODE if largest > 0 else 1.0
    inverse, most = 1.0 / step, 0.0
    for r in range(len(rows)):
        mix(rows[r], signs, runs, mixed)
        square = 0.0
        for i in range(len(mixed)):
            code = np.rint(np.float64(mixed[i]) * inverse)
            codes[r, i] = np.int8(code)
            off = np.float64(mixed[i]) - code * step
            square += off * off
        most = max(most, square)
    return step, np.sqrt(most)


@jit(
    ahead=tuple(
        f"i8({cell}[:,::1], f4[:,::1], f4[:,::1], f8, f8, f4[:,::1], i8[:,::1], f4[:,::1], i8[:,::1], i8, i8)"
        for cell in ("f4", "i4")
    )
)
def screen(
    tile: NDArray[np.float32] | NDArray[np.int32],
    x: Floats,
    y: Floats,
    slack: float,
    unit: float,
    row_scores: Floats,
    row_ids: Ids,
    column_scores: Floats,
    column_ids: Ids,
    first_row: int,
    first_column: int,
) -> int:
    """Update the neighbor lists of a tile's rows and columns in one pass over its cells.

    ``unit * tile`` (a, b) holds x @ y.T to within ``slack``; ``tile`` is float32 or int32. The exact product of a cell
    is computed where the tile's value reaches the last score of either list minus the slack. No neighbor is missed,
    regardless of how the matrix product was computed, and the lists contain exact scores only.

    Returns
    -------
    int
        The number of exact products.
    """
    last_row, last_column = row_scores.shape[1] - 1, column_scores.shape[1] - 1
    scale = 1.0 / unit
    # Lowest values of cells that are not ruled out, in the type of the cells: compared without conversion.
    floors, row_floor = np.empty(len(y), tile.dtype), np.empty(1, tile.dtype)
    for c in range(len(y)):
        floors[c] = lowest(column_scores[c, last_column], slack, scale)
    whole = len(y) - len(y) % BLOCK
    computed = 0
    for r in range(len(x)):
        cells = tile[r]
        row_floor[0] = lowest(row_scores[r, last_row], slack, scale)
        floor = row_floor[0]
        for start in range(0, len(y), BLOCK):
            width = BLOCK
            if start < whole:
                # Slices of fixed length, which the compiler turns into vector instructions.
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
                    computed += 1
                    score = np.float32(dot(x[r], y[c]))
                    if in_row:
                        insert(row_scores[r], row_ids[r], score, first_column + c)
                        row_floor[0] = lowest(row_scores[r, last_row], slack, scale)
                        floor = row_floor[0]
                    if in_column:
                        insert(column_scores[c], column_ids[c], score, first_row + r)
                        floors[c] = lowest(column_scores[c, last_column], slack, scale)
    return computed
