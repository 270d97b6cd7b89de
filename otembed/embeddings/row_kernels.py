"""Compiled loops over rows of vectors: unit length, centering, dot products in one fixed order."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from otembed.runtime.compiling import jit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Doubles = NDArray[np.float64]

# A unit vector minus the mean that is shorter than this consists of rounding error and is treated as zero.
NO_DIRECTION = 1e-6
GOOD, NOT_FINITE, ZERO = 0, 1, 2


@jit()
def dot(x: Floats, y: Floats) -> float:
    """Return the dot product of two float32 rows, summed in float64 in a fixed order.

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


@jit(ahead="void(f4[:,::1], u1[::1])")
def scale_to_unit(rows: Floats, state: NDArray[np.uint8]) -> None:
    """Divide every row by its norm, in place; ``state`` becomes GOOD, NOT_FINITE or ZERO for each row."""
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


@jit(ahead="void(f4[:,::1], f8[::1])")
def center(rows: Floats, mean: Doubles) -> None:
    """Subtract ``mean`` from unit rows and scale them to unit length again, in place.

    A row that equals the mean becomes zero.
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


@jit(ahead="void(f4[:,::1], f8[::1])")
def add_rows(rows: Floats, total: Doubles) -> None:
    """Add the rows to ``total`` one by one, so that the sum does not depend on shard boundaries."""
    for r in range(len(rows)):
        for i in range(len(total)):
            total[i] += rows[r, i]


@jit(ahead="void(f4[:,::1], f4[:,::1], f4[::1])")
def paired_dots(x: Floats, y: Floats, out: Floats) -> None:
    """Write the exact product of every row of ``x`` with the same row of ``y`` to ``out``."""
    for p in range(len(x)):
        out[p] = np.float32(dot(x[p], y[p]))
