"""The fast products that rule cells out: in float32, or in int8 where the processor multiplies bytes faster."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from otembed.errors import ConfigError
from otembed.mining.search import kernels

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from otembed.embeddings.vectors import Floats, Ids

SCREENS = ("float32", "int8")
# A sum of this many products of codes fits an int32.
MOST_DIMENSIONS = 100_000
# The codes of a row are a multiple of this many; multiply_int8 needs a multiple of 4.
PADDING = 16
# Shorter runs do not fill a vector register.
SHORTEST_RUN = 8
# Smaller searches take less time than the probe, or than the import of torch.
LEAST_CELLS, LEAST_CELLS_TO_LOAD_TORCH = 1 << 26, 1 << 30
# With more exact products than this share of the cells, they cost more than the faster screening saves (50 ns each).
MOST_EXACT = 1 / 16


def slack_of(dimension: int) -> float:
    r"""Return how far a float32 matrix product of unit rows can be from the exact products.

    The error of a sum of d products is at most :math:`d\,2^{-24} |x| |y|` for any order of summation [1]_. The rest is
    a margin for rows that rounding has left slightly longer than 1 and for the rounding of scores and limits.

    References
    ----------
    .. [1] N. Higham, "Accuracy and Stability of Numerical Algorithms", 2nd edition, section 3.1, SIAM 2002.
    """
    return (dimension + 4) * 2.0**-24 * 1.001


def choose_screen(rows: int, columns: int, dimension: int) -> str:
    """Return ``"int8"`` if this process multiplies bytes exactly and faster than float32, and the search is large."""
    cells = rows * columns
    loaded = "torch" in sys.modules
    if dimension > MOST_DIMENSIONS or cells < (LEAST_CELLS if loaded else LEAST_CELLS_TO_LOAD_TORCH):
        return "float32"
    from otembed.runtime.int8 import int8_is_faster

    return "int8" if int8_is_faster(dimension + -dimension % PADDING) else "float32"


def most_exact(rows: int, columns: int, k: int) -> float:
    """Return how many exact products of a tile are worth their time; any product lets some pass while lists fill."""
    return MOST_EXACT * rows * columns + 2 * k * (rows + columns)


def check_screen(screen: str | None, dimension: int) -> None:
    """Reject an unknown screen, or one that cannot be used for this dimension."""
    if screen is not None and screen not in SCREENS:
        raise ConfigError(f"screen is {screen!r}", f"Choose one of: {', '.join(SCREENS)}.")
    if screen == "int8" and dimension > MOST_DIMENSIONS:
        raise ConfigError(
            f"screen is 'int8' for vectors of dimension {dimension}", f"Use float32 above {MOST_DIMENSIONS:,}."
        )


@cache
def mixing(dimension: int) -> tuple[Floats, Ids]:
    """Return the signs (d',) and the runs of :func:`otembed.mining.search.kernels.mix` for a dimension."""
    width = dimension + -dimension % PADDING
    signs = np.random.default_rng(0).choice(np.array([-1, 1], np.float32), width)
    runs = [width // 2]
    while runs[-1] % 2 == 0 and runs[-1] // 2 >= SHORTEST_RUN:
        runs.append(runs[-1] // 2)
    return signs, np.array(runs)


@dataclass(frozen=True, eq=False)
class Operand:
    r"""Unit rows to multiply, with integers for the int8 product.

    Parameters
    ----------
    rows
        (n, d) float32.
    codes
        (n, d') int8, :math:`H x \approx s\,q` for each row; H is orthogonal, the same for all operands. None: float32
        only.
    step
        The factor s, the same for all rows.
    error
        A bound on :math:`|H x - s\,q|` for all rows.
    """

    rows: Floats
    codes: NDArray[np.int8] | None = None
    step: float = 1.0
    error: float = 0.0

    @classmethod
    def of(cls, rows: Floats, *, coded: bool) -> Operand:
        """Return the operand, with codes if they are wanted.

        A few large entries would make the step large and the codes of all others coarse. So H, random signs and a few
        levels of the fast Walsh-Hadamard transform, first spreads each entry over many. Each of its l levels adds at
        most :math:`2^{-24}` of the norm in rounding.
        """
        if not coded:
            return cls(rows)
        signs, runs = mixing(rows.shape[1])
        codes = np.empty((len(rows), len(signs)), np.int8)
        step, error = kernels.encode(rows, signs, runs, codes)
        shrink = 2.0 ** (-len(runs) / 2)
        return cls(rows, codes, step * shrink, error * shrink + 1.01 * len(runs) * 2.0**-24)

    def part(self, start: int, stop: int) -> Operand:
        """Return the rows from ``start`` to before ``stop``, without copying."""
        codes = None if self.codes is None else self.codes[start:stop]
        return Operand(self.rows[start:stop], codes, self.step, self.error)


@dataclass(frozen=True, eq=False)
class Product:
    """A tile of products: ``unit * cells`` is within ``slack`` of the scores."""

    cells: NDArray[np.float32] | NDArray[np.int32]
    unit: float
    slack: float


def multiply(x: Operand, y: Operand, scratch: Floats) -> Product:
    r"""Multiply all rows of ``x`` with all of ``y``, in int8 if both have codes.

    Notes
    -----
    Int8 products are summed in int32 without error. With :math:`H x = s q + e` and :math:`H y = t p + f`,

    .. math:: \langle x, y \rangle - s t \langle q, p \rangle = \langle e, H y \rangle + \langle H x, f \rangle
        - \langle e, f \rangle,

    which is at most :math:`|e| + |f| + |e| |f|` for unit rows (Cauchy-Schwarz). The norms of e and f are computed in
    float64 when the rows are rounded. The factor and the terms added to the slack cover rows that are slightly longer
    than 1 (by less than :math:`2^{-22}`), the rounding of scores to float32, and two units for limits as integers.
    """
    size = len(x.rows), len(y.rows)
    cells = scratch[: size[0] * size[1]].reshape(size)
    if x.codes is None or y.codes is None:
        np.matmul(x.rows, y.rows.T, out=cells)
        return Product(cells, 1.0, slack_of(x.rows.shape[1]))
    from otembed.runtime.int8 import multiply_int8

    counts = cells.view(np.int32)
    multiply_int8(x.codes, y.codes, counts)
    unit = x.step * y.step
    slack = (x.error + y.error + x.error * y.error) * (1 + 2.0**-20) + 2.0**-22 + 2 * unit
    return Product(counts, unit, slack)
