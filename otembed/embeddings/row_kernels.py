"""Compiled loops over rows of vectors: unit length, centering, dot products in one fixed order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba.core import cgutils, types
from numba.extending import intrinsic

from otembed.runtime.compiling import jit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Doubles = NDArray[np.float64]

# A unit vector minus the mean that is shorter than this consists of rounding error and is treated as zero.
NO_DIRECTION = 1e-6
GOOD, NOT_FINITE, ZERO = 0, 1, 2


def _sum_in_eight(context: Any, x: Any, y: Any, end: Any) -> Any:
    """Add up the products of two contiguous float32 rows in eight float64 totals: total i of entries i, i + 8, ...

    ``end`` is a multiple of 8. Written in the compiler's language, as numba does not turn eight totals into a vector.
    """

    def generate(target: Any, builder: Any, signature: Any, args: Any) -> Any:
        singles, doubles = ir.VectorType(ir.FloatType(), 8), ir.VectorType(ir.DoubleType(), 8)
        rows = [
            target.make_array(kind)(target, builder, row)
            for kind, row in zip(signature.args[:2], args[:2], strict=True)
        ]
        zeros = ir.Constant(doubles, [0.0] * 8)
        totals = cgutils.alloca_once_value(builder, zeros)  # type: ignore[no-untyped-call]
        stop, whole = args[2], args[2].type
        with cgutils.for_range_slice(builder, whole(0), stop, whole(8), whole) as (i, _):
            factors = []
            for row in rows:
                entries = builder.load(builder.bitcast(builder.gep(row.data, [i]), singles.as_pointer()))
                entries.align = 4
                factors.append(builder.fpext(entries, doubles))
            builder.store(builder.fadd(builder.load(totals), builder.fmul(*factors)), totals)
        found = builder.load(totals)
        sums = [builder.extract_element(found, ir.Constant(ir.IntType(32), i)) for i in range(8)]
        return target.make_tuple(builder, signature.return_type, sums)

    eight = types.UniTuple(types.float64, 8)  # type: ignore[no-untyped-call]
    return eight(x, y, types.intp), generate


_eight_sums: Any = intrinsic(_sum_in_eight)


@jit()
def dot(x: Floats, y: Floats) -> float:
    """Return the dot product of two contiguous float32 rows, summed in float64 in a fixed order.

    A product of two float32 is exact in float64, so a fused multiply-add gives the same bits on any machine.
    """
    end = len(x) - len(x) % 8
    a, b, c, d, e, f, g, h = _eight_sums(x, y, end)
    for i in range(end, len(x)):
        a += np.float64(x[i]) * np.float64(y[i])
    return float(((a + e) + (b + f)) + ((c + g) + (d + h)))


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
