from __future__ import annotations

import numpy as np
import pytest

from otembed.embeddings.arrays import as_vectors, centered_vectors, unit_vectors
from otembed.errors import DataError, NumericsError


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int64])
def test_unit_vectors_have_unit_length_for_any_dtype(dtype: type) -> None:
    values = np.random.default_rng(0).integers(1, 9, (5, 3)).astype(dtype)
    units = unit_vectors(values)
    assert units.dtype == np.float32
    assert units.flags.c_contiguous
    np.testing.assert_allclose(np.linalg.norm(units, axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("scale", [1e-300, 1e-30, 1e30, 1e300])
def test_unit_vectors_of_tiny_and_huge_lengths(scale: float) -> None:
    np.testing.assert_allclose(unit_vectors(np.array([[3.0, 4.0]]) * scale), [[0.6, 0.8]], atol=1e-6)


@pytest.mark.parametrize(
    "values",
    [[1.0, 2.0], [[]], np.empty((0, 4)), np.zeros((1, 2, 3)), [["a", "b"]], [[1j, 2j]], 3.0, [[None, 1.0]]],
    ids=["flat", "no column", "no row", "cube", "text", "complex", "scalar", "object"],
)
def test_non_matrix_input_is_rejected(values: object) -> None:
    with pytest.raises(DataError, match="matrix"):
        as_vectors(values)


def test_ragged_rows_are_rejected() -> None:
    with pytest.raises(DataError, match="matrix"):
        as_vectors([[1.0], [1.0, 2.0]])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_non_finite_rows_are_counted_and_the_first_reported(bad: float) -> None:
    values = np.ones((5, 3))
    values[2, 1] = values[4, 0] = bad
    with pytest.raises(NumericsError, match="2 of 5 rows, the first is row 2"):
        as_vectors(values)


def test_zero_rows_are_counted_and_the_first_reported() -> None:
    with pytest.raises(NumericsError, match=r"en: .* 1 of 2 rows, the first is row 1"):
        unit_vectors([[1.0, 0.0], [0.0, 0.0]], "en")


def test_centered_vectors_have_mean_zero() -> None:
    values = np.random.default_rng(0).normal(5, 1, (50, 4)).astype(np.float32)
    np.testing.assert_allclose(centered_vectors(values).mean(axis=0), 0, atol=1e-6)


@pytest.mark.parametrize("rows", [1, 3])
def test_centering_equal_rows_is_rejected(rows: int) -> None:
    with pytest.raises(NumericsError, match=f" {rows} equal rows"):
        centered_vectors(np.ones((rows, 2)))
