"""The fast products that rule cells out: in float32, or in int8 where the processor multiplies bytes faster."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from otembed.errors import ConfigError
from otembed.mining.search import kernels

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from otembed.embeddings.vectors import Floats

SCREENS = ("float32", "int8")
# Codes are -127 to 127; a sum of products of this many fits an int32.
LARGEST_CODE, MOST_DIMENSIONS = 127, 100_000
# torch 2.13 returns memory that nothing was written to for some products over a single dimension.
PADDING = 16
# Smaller searches take less time than the probe, or than the import of torch.
LEAST_CELLS, LEAST_CELLS_TO_LOAD_TORCH = 1 << 26, 1 << 30
# In a tile with more exact products than this, they cost more than the faster screening saves.
MOST_EXACT = 1 / 16


def slack_of(dimension: int) -> float:
    """Return how far a float32 matrix product of unit rows can be from the exact products.

    The error of a sum of d products is at most :math:`d\\,2^{-24} |x| |y|` for any order of summation [1]_. The rest is
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
    from otembed.runtime.arithmetic import int8_is_faster

    return "int8" if int8_is_faster(dimension + -dimension % PADDING) else "float32"


def check_screen(screen: str | None, dimension: int) -> None:
    """Reject an unknown screen, or one that cannot be used for this dimension."""
    if screen is not None and screen not in SCREENS:
        raise ConfigError(f"screen is {screen!r}", f"Choose one of: {', '.join(SCREENS)}.")
    if screen == "int8" and dimension > MOST_DIMENSIONS:
        raise ConfigError(
            f"screen is 'int8' for vectors of dimension {dimension}", f"Use float32 above {MOST_DIMENSIONS:,}."
        )


@dataclass(frozen=True, eq=False)
class Operand:
    r"""Unit rows to multiply, with integers for the int8 product.

    Parameters
    ----------
    rows
        (n, d) float32.
    codes
        (n, d') int8, :math:`x \approx s\,q` for each row; the columns beyond d are 0. None: float32 only.
    step
        The factor s, the same for all rows.
    error
        The largest :math:`|x - s\,q|`.
    """

    rows: Floats
    codes: NDArray[np.int8] | None = None
    step: float = 1.0
    error: float = 0.0

    @classmethod
    def of(cls, rows: Floats, *, coded: bool) -> Operand:
        """Return the operand, with codes if they are wanted."""
        if not coded:
            return cls(rows)
        largest = float(max(rows.max(), -rows.min()))
        step = largest / LARGEST_CODE if largest > 0 else 1.0
        codes = np.empty((len(rows), rows.shape[1] + -rows.shape[1] % PADDING), np.int8)
        return cls(rows, codes, step, kernels.quantize(rows, codes, step))

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
    Int8 products are summed in int32 without error. With :math:`x = s q + e` and :math:`y = t p + f`,

    .. math:: \langle x, y \rangle - s t \langle q, p \rangle = \langle e, y \rangle + \langle x, f \rangle
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
    import torch

    counts = cells.view(np.int32)
    torch._int_mm(torch.from_numpy(x.codes), torch.from_numpy(y.codes).T, out=torch.from_numpy(counts))
    unit = x.step * y.step
    slack = (x.error + y.error + x.error * y.error) * (1 + 2.0**-20) + 2.0**-22 + 2 * unit
    return Product(counts, unit, slack)
