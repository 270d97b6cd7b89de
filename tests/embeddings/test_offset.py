"""An offset subtracted from the vectors of a collection."""

from __future__ import annotations

import io
import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import pytest

from otembed.embeddings.offset import check_offset, own_offset, read_offset, save_offset, shifted
from otembed.embeddings.vectors import array_vectors
from otembed.errors import ConfigError, DataError

if TYPE_CHECKING:
    from pathlib import Path

ROWS = np.array([[3.0, 0.0], [0.0, 5.0]], np.float32)


def test_offset_is_the_mean_of_unit_rows_and_what_remains_has_unit_length() -> None:
    """By hand: the unit rows (1, 0) and (0, 1) have the mean (.5, .5), and leave (.5, -.5) and (-.5, .5)."""
    vectors = array_vectors(ROWS, "rows")
    mean = own_offset(vectors)
    np.testing.assert_allclose(mean, [0.5, 0.5])
    half = 0.5**0.5
    np.testing.assert_allclose(shifted(vectors, mean).read(0, 2), [[half, -half], [-half, half]], rtol=1e-6)


def test_offset_is_read_back(tmp_path: Path) -> None:
    save_offset(np.array([0.25, -0.5]), tmp_path / "mean.npy")
    np.testing.assert_array_equal(read_offset(tmp_path / "mean.npy"), [0.25, -0.5])


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no named pipes")
def test_offset_goes_through_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "mean.npy")
    with ThreadPoolExecutor(1) as pool:
        read = pool.submit((tmp_path / "mean.npy").read_bytes)
        save_offset(np.array([0.25, -0.5]), tmp_path / "mean.npy")
        np.testing.assert_array_equal(np.load(io.BytesIO(read.result())), [[0.25, -0.5]])


@pytest.mark.parametrize(
    ("rows", "message"), [([[1.0, 2.0], [3.0, 4.0]], "2 rows"), ([[np.nan, 1.0]], "not finite")]
)
def test_files_that_are_no_mean_are_rejected(rows: list[list[float]], message: str, tmp_path: Path) -> None:
    np.save(tmp_path / "mean.npy", np.array(rows, np.float32))
    with pytest.raises(DataError, match=message):
        read_offset(tmp_path / "mean.npy")


def test_one_line_and_another_dimension_are_rejected() -> None:
    with pytest.raises(DataError, match="one line"):
        own_offset(array_vectors(ROWS[:1], "rows"))
    with pytest.raises(DataError, match="3 dimensions"):
        shifted(array_vectors(ROWS, "rows"), np.zeros(3))


def test_options_are_checked(tmp_path: Path) -> None:
    check_offset(None, None)
    check_offset("own", tmp_path / "mean.npy")
    for offset, written, message in (
        ("mean", None, "own"),
        ("mean.npy", tmp_path / "x.npy", "--offset own"),
        ("own", tmp_path / "x.txt", "suffix"),
    ):
        with pytest.raises(ConfigError, match=message):
            check_offset(offset, written)
