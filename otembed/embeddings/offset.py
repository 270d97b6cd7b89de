"""The mean vector of a collection, subtracted from the vectors that other programs index."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from otembed.embeddings.rows import UnitRows, scan
from otembed.embeddings.vectors import VECTOR_SUFFIX, open_vectors, write_npy_header
from otembed.errors import ConfigError, DataError
from otembed.results import whole_file
from otembed.results.format import counted

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from otembed.embeddings.vectors import Vectors

OWN = "own"


def check_offset(offset: str | None, written: Path | None) -> None:
    """Reject an offset that is neither ``own`` nor a ``.npy`` file, and a mean to write where none is computed."""
    if offset not in (None, OWN) and not str(offset).lower().endswith(VECTOR_SUFFIX):
        raise ConfigError(
            f"--offset is {offset!r}", f"Pass {OWN}, or a {VECTOR_SUFFIX} file written by --write-offset."
        )
    if written is not None and offset != OWN:
        raise ConfigError("--write-offset requires --offset own", "Add --offset own, or drop --write-offset.")
    if written is not None and written.suffix.lower() != VECTOR_SUFFIX:
        raise ConfigError(
            f"--write-offset {written} is not a {VECTOR_SUFFIX} file", f"Use the suffix {VECTOR_SUFFIX}."
        )


def own_offset(vectors: Vectors) -> NDArray[np.float64]:
    """Return the (d,) mean of the unit rows of a collection, each distinct line counted once.

    Raises
    ------
    DataError
        There is one line, which equals its own mean.
    """
    if len(vectors) < 2:
        raise DataError(f"{vectors.name}: the mean of one line is that line", "Pass an offset of more lines.")
    return scan(vectors)[0].mean


def read_offset(path: str | Path) -> NDArray[np.float64]:
    """Read a mean vector, a matrix (1, d); DataError if the file is not one finite row."""
    vectors = open_vectors(path)
    if len(vectors) != 1:
        raise DataError(
            f"{path}: {counted(len(vectors), 'row')}, expected one mean vector", "Write it with --write-offset."
        )
    row = vectors.read(0, 1)
    if not np.isfinite(row).all():
        raise DataError(f"{path}: the mean is not finite", "Write it again with --write-offset.")
    mean: NDArray[np.float64] = row[0].astype(np.float64)
    return mean


def save_offset(mean: NDArray[np.float64], path: Path) -> None:
    """Write a mean vector as a float32 matrix (1, d), atomically."""
    row = mean[None].astype(np.float32)
    with whole_file(path) as file:
        write_npy_header(file, row.shape, row.dtype)
        file.write(row.data)


def check_mean(mean: NDArray[np.float64], name: str, dimension: int) -> None:
    """Raise DataError if the mean has another dimension than the vectors of ``name``."""
    if mean.shape != (dimension,):
        raise DataError(
            f"the offset has {counted(mean.size, 'dimension')}, vectors of {name} have {dimension}",
            "Write the offset with the same model.",
        )


def shifted(vectors: Vectors, mean: NDArray[np.float64]) -> UnitRows:
    """Return the unit rows minus the mean, scaled to unit length again; a row that equals the mean becomes zero.

    Raises
    ------
    DataError
        As :func:`check_mean`.
    """
    check_mean(mean, vectors.name, vectors.dimension)
    return UnitRows(vectors, mean, digest="", centered=True)
