"""Embeddings of a file as one matrix on disk, one row for each line, for other programs and later runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from otembed.embeddings.vectors import DTYPES, HEADERLESS, VECTOR_SUFFIX, write_npy_header
from otembed.errors import ConfigError
from otembed.results import whole_file

if TYPE_CHECKING:
    from otembed.embeddings.lines import Lines
    from otembed.embeddings.rows import UnitRows
    from otembed.embeddings.vectors import Vectors

ROWS = 4096
SUFFIXES = (VECTOR_SUFFIX, *HEADERLESS)


def check_vector_output(path: Path, precision: str) -> None:
    """Reject suffixes other than ``.npy``, ``.f32`` and ``.f16``, and suffixes that contradict the precision."""
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise ConfigError(f"{path}: unknown suffix {suffix or '(none)'!r}", f"Supported: {', '.join(SUFFIXES)}.")
    if HEADERLESS.get(suffix, precision) != precision:
        raise ConfigError(f"{path}: {suffix} is not {precision}", f"Pass --precision {HEADERLESS[suffix]}.")


def write_vectors(
    lines: Lines, vectors: Vectors | UnitRows, path: str | Path, *, precision: str = "float32"
) -> Path:
    """Write one row for each line of a file, atomically.

    Parameters
    ----------
    lines, vectors
        The distinct usable lines and their vectors, or unit rows of these. A repeated line gets the row of its first occurrence, a line
        without usable text a row of zeros.
    path
        ``.npy``, or ``.f32`` or ``.f16`` for LASER's layout without a header.
    precision
        ``float32`` or ``float16``.

    Raises
    ------
    ConfigError
        As :func:`check_vector_output`.
    """
    path = Path(path)
    check_vector_output(path, precision)
    rows = lines.rows_by_number()
    dtype = DTYPES[precision]
    dimension = vectors.dimension
    with whole_file(path) as file:
        if path.suffix.lower() == VECTOR_SUFFIX:
            write_npy_header(file, (len(rows), dimension), dtype)
        for start in range(0, len(rows), ROWS):
            chosen = rows[start : start + ROWS]
            block = np.zeros((len(chosen), dimension), np.float32)
            block[chosen >= 0] = vectors.gather(chosen[chosen >= 0])
            file.write(block.astype(dtype).data)
    return path
