"""The dot product of rows: its order of summation, bit by bit."""

import numpy as np
import pytest

from otembed.embeddings.row_kernels import dot


@pytest.mark.parametrize("dimension", [1, 7, 8, 9, 16, 61, 384])
def test_dot_has_the_bits_of_eight_totals_in_order(dimension):
    draw = np.random.default_rng(dimension)
    x, y = (
        (draw.standard_normal(dimension) * 10.0 ** draw.uniform(-30, 15, dimension)).astype(np.float32)
        for _ in range(2)
    )
    totals = [0.0] * 8
    whole = dimension - dimension % 8
    for i in range(dimension):
        # The entries after the last eight go to the first total.
        totals[i % 8 if i < whole else 0] += float(x[i]) * float(y[i])
    a, b, c, d, e, f, g, h = totals
    assert dot(x, y) == ((a + e) + (b + f)) + ((c + g) + (d + h))
    # Rows of a matrix whose rows do not start at a multiple of a vector register.
    rows = np.stack([x, y, y])
    assert dot(rows[1], rows[2]) == dot(y, y)
