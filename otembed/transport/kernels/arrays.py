"""Compiled operations on plain arrays: gather and scatter real units, extremes, exponentials of a whole row."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from otembed.runtime.compiling import jit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.floating]
    Doubles = NDArray[np.float64]

# Division by zero gives infinity, as in NumPy. Fast: sums in any order, but NaN and infinity stay valid.
compiled = jit(error_model="numpy")
compiled_fast = jit(error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
_LOWEST = -660.0  # log of the smallest kernel entry that is kept, 1 being the largest: denormal numbers are slow
_PER_DOUBLING = 1.0 / math.log(2.0)
_LN2_HEAD, _LN2_TAIL = (
    6.93145751953125e-1,
    1.42860682030941723212e-6,
)  # ln 2; products of the first with k are exact
_ROUNDER = 1.5 * 2.0**52


@compiled
def real_units(masses: Floats) -> NDArray[np.int64]:
    """Return the indices of the masses above 0."""
    count = 0
    for i in range(len(masses)):
        count += masses[i] > 0
    places = np.empty(count, np.int64)
    at = 0
    for i in range(len(masses)):
        if masses[i] > 0:
            places[at] = i
            at += 1
    return places


@compiled
def picked(values: Floats, places: NDArray[np.int64]) -> Doubles:
    """Return the values at some indices in float64."""
    chosen = np.empty(len(places))
    for i in range(len(places)):
        chosen[i] = values[places[i]]
    return chosen


@compiled
def copy_cells(target: Doubles, source: Floats, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> None:
    """Fill ``target`` (n, m) with the cells of some rows and columns."""
    m = len(columns)
    together = columns[m - 1] == m - 1  # padding only at the end: copy rows contiguously
    for i in range(len(rows)):
        line = source[rows[i]]
        if together:
            for j in range(m):
                target[i, j] = line[j]
        else:
            for j in range(m):
                target[i, j] = line[columns[j]]


@compiled
def place(target: Floats, columns: NDArray[np.int64], values: Doubles) -> None:
    """Write values (m,) to some columns of a row."""
    m = len(columns)
    if columns[m - 1] == m - 1:
        for j in range(m):
            target[j] = values[j]
    else:
        for j in range(m):
            target[columns[j]] = values[j]


@jit(error_model="numpy", fastmath=True)
def extreme(matrix: Doubles, sign: float) -> float:
    """Return the largest finite entry with a sign of 1, the smallest one with a sign of -1."""
    best = sign * matrix[0, 0]
    for i in range(matrix.shape[0]):
        for j in range(matrix.shape[1]):
            best = max(best, sign * matrix[i, j])
    return float(sign * best)


@compiled
def furthest(values: Doubles) -> float:
    """Return the largest absolute value of a vector; NaN if an entry is NaN or infinite."""
    most = 0.0
    for i in range(len(values)):
        if not math.isfinite(values[i]):
            return math.nan
        most = max(most, abs(values[i]))
    return most


@compiled
def absorb(whole: Doubles, rest: Doubles, before: Doubles) -> None:
    """Add ``before`` to a potential in place and set ``rest``, the increments not yet absorbed, to 0."""
    for i in range(len(whole)):
        whole[i] += before[i]
    for i in range(len(whole)):
        rest[i] = 0.0


@compiled
def logs(values: Doubles) -> Doubles:
    """Return the logarithms of a vector."""
    found = np.empty(len(values))
    for i in range(len(values)):
        found[i] = math.log(values[i])
    return found


@compiled
def exps(values: Doubles) -> Doubles:
    """Return the exponentials of a vector."""
    found = np.empty(len(values))
    for i in range(len(values)):
        found[i] = math.exp(values[i])
    return found


# Contractions only: a sum with _ROUNDER must not be reordered.
@jit(error_model="numpy", fastmath={"contract"})
def exponentials(row: Doubles, top: float, powers: Doubles) -> None:
    """Replace a row by exp(row - top), 0 below ``_LOWEST``, several entries at a time.

    2^k exp(r) with integer k and |r| < .35, where the series of exp up to the 12th power is accurate to the last digits.
    The compiler has no vectorized exp.
    """
    bits = powers.view(np.int64)
    for j in range(len(row)):
        x = row[j] - top
        inside = x if not x < _LOWEST else _LOWEST
        whole = inside * _PER_DOUBLING + _ROUNDER  # its last bits hold k
        powers[j] = whole
        k = whole - _ROUNDER
        r = inside - k * _LN2_HEAD - k * _LN2_TAIL
        series = 1.0 / 479001600
        series = series * r + 1.0 / 39916800
        series = series * r + 1.0 / 3628800
        series = series * r + 1.0 / 362880
        series = series * r + 1.0 / 40320
        series = series * r + 1.0 / 5040
        series = series * r + 1.0 / 720
        series = series * r + 1.0 / 120
        series = series * r + 1.0 / 24
        series = series * r + 1.0 / 6
        series = series * r + 0.5
        series = series * r + 1.0
        series = series * r + 1.0
        row[j] = 0.0 if x < _LOWEST else series
    for j in range(len(row)):
        bits[j] = (bits[j] << 52) + (1023 << 52)
    for j in range(len(row)):
        row[j] *= powers[j]
