"""Whether this processor multiplies int8 matrices exactly, and faster than float32 ones, found by a short probe."""

from __future__ import annotations

import logging
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import torch
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from otembed.runtime.arithmetic import LEAST_SPEEDUP, shortest

if TYPE_CHECKING:
    from numpy.typing import NDArray

logger = logging.getLogger(__name__)

# Where there are no instructions for it, a product of this size takes a few hundredths of a second.
ROWS, COLUMNS = 128, 512
CPU = torch.device("cpu")


def multiply_int8(x: NDArray[np.int8], y: NDArray[np.int8], out: NDArray[np.int32]) -> None:
    """Write the products of all rows of ``x`` (n, d) with all rows of ``y`` (m, d) to ``out`` (n, m).

    d must be a multiple of 4: torch 2.13 returns memory that nothing was written to for some products with d = 1.
    """
    torch._int_mm(torch.from_numpy(x), torch.from_numpy(y).T, out=torch.from_numpy(out))


@cache
def int8_is_faster(dimension: int) -> bool:
    """Return whether int8 products of rows of this dimension are exact here, and 1.5 times as fast as those of numpy.

    Instructions for pairs of products may saturate at the int16 range where there are none for sums of four. The
    probe therefore multiplies values of -127 and 127, in random order and in rows of one sign, and compares every sum
    with the float64 product. The times are the shortest of five each, on one thread.
    """
    draw = np.random.default_rng(0)
    x, y = (draw.choice(np.array([-127, 127], np.int8), (count, dimension)) for count in (ROWS, COLUMNS))
    for side in (x, y):
        side[::2] = side[::2, :1]
    found = np.empty((ROWS, COLUMNS), np.int32)
    try:
        bytewise = shortest(lambda: multiply_int8(x, y, found), CPU)
    except (AttributeError, RuntimeError, TypeError) as error:  # not in this torch, or not for this processor
        logger.debug("no int8 product: %s", error)
        return False
    if not np.array_equal(found, x.astype(np.float64) @ y.T.astype(np.float64)):
        logger.debug("the int8 product is not exact on this processor")
        return False
    left, right, out = x.astype(np.float32), y.astype(np.float32).T, np.empty((ROWS, COLUMNS), np.float32)
    with threadpool_limits(1, user_api="blas"):
        speedup = shortest(lambda: np.matmul(left, right, out=out), CPU) / bytewise
    logger.debug("int8 products take %.2f of the time of float32", 1 / speedup)
    return speedup >= LEAST_SPEEDUP
