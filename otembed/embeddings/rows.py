"""Vectors for a search: unit rows, optionally centered, read block by block."""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np

from otembed.embeddings import row_kernels
from otembed.embeddings.lines import first_equal
from otembed.errors import DataError, NumericsError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from otembed.embeddings.vectors import Floats, Ids, Vectors

DIGEST_BYTES = 16
SCAN_ROWS = 4096
PAIRS_AT_ONCE = 4096


@dataclass(frozen=True, eq=False)
class UnitRows:
    """Rows of unit length.

    Parameters
    ----------
    vectors
        The rows in their files.
    mean
        (d,) float64 mean of all unit rows, summed row by row.
    digest
        Hash of the rows, used as a key for cached search results.
    centered
        Whether ``mean`` is subtracted from the rows, which are then scaled to unit length again.
    """

    vectors: Vectors
    mean: NDArray[np.float64]
    digest: str
    centered: bool = False

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.vectors)

    @property
    def dimension(self) -> int:
        """Number of columns."""
        return self.vectors.dimension

    def read(self, start: int, stop: int) -> Floats:
        """Return the rows from ``start`` to before ``stop``, ready to be multiplied."""
        return self._ready(self.vectors.read(start, stop))

    def gather(self, rows: Ids) -> Floats:
        """Return rows in any order, ready to be multiplied."""
        return self._ready(self.vectors.gather(rows))

    def choose(self, rows: Ids) -> UnitRows:
        """Return a subset of the rows, given in ascending order; the mean does not change."""
        return replace(self, vectors=self.vectors.choose(rows))

    def _ready(self, rows: Floats) -> Floats:
        row_kernels.scale_to_unit(rows, np.empty(len(rows), np.uint8))
        if self.centered:
            row_kernels.center(rows, self.mean)
        return rows


@dataclass(frozen=True)
class ScanCounts:
    """Rows left out: zero rows, which represent lines without text, and repeated rows."""

    zero: int = 0
    repeated: int = 0


def scan(vectors: Vectors, *, drop_repeated: bool = False) -> tuple[UnitRows, ScanCounts]:
    """Read all vectors once: reject invalid rows, sum and hash the others.

    Parameters
    ----------
    vectors
        The rows. Zero rows are left out: :func:`otembed.embeddings.export.write_vectors` writes them for lines
        without text.
    drop_repeated
        Leave out rows that equal an earlier one, for vectors without lines.

    Raises
    ------
    NumericsError
        A row holds NaN or infinity.
    DataError
        Every row is zero.
    """
    states = np.empty(len(vectors), np.uint8)
    digests = bytearray()
    for start in range(0, len(vectors), SCAN_ROWS):
        rows = vectors.read(start, start + SCAN_ROWS)
        if drop_repeated:
            for row in rows:
                digests += blake2b(row, digest_size=DIGEST_BYTES).digest()
        state = states[start : start + len(rows)]
        row_kernels.scale_to_unit(rows, state)
        bad = state == row_kernels.NOT_FINITE
        if bad.any():
            raise NumericsError(
                f"{vectors.name}: NaN, infinity or a number beyond the float32 range in row "
                f"{vectors.row_number(start + int(bad.argmax()))} (counted from 1)",
                "Embed that line again, or remove it from the lines and the vectors.",
            )
    kept = states == row_kernels.GOOD
    zero, repeated = int((~kept).sum()), 0
    if drop_repeated:
        first = first_equal(np.frombuffer(digests, np.uint64).reshape(-1, 2)) == np.arange(len(states))
        repeated = int((kept & ~first).sum())
        kept &= first
    if not kept.any():
        raise DataError(f"{vectors.name}: every row is zero", "Pass vectors with at least one non-zero row.")
    chosen = vectors if kept.all() else vectors.choose(np.flatnonzero(kept))
    total, digest = np.zeros(vectors.dimension), blake2b(digest_size=DIGEST_BYTES)
    for start in range(0, len(chosen), SCAN_ROWS):
        rows = chosen.read(start, start + SCAN_ROWS)
        digest.update(rows.data)
        row_kernels.scale_to_unit(rows, states[: len(rows)])
        row_kernels.add_rows(rows, total)
    return UnitRows(chosen, total / len(chosen), digest.hexdigest()), ScanCounts(zero, repeated)


def paired_cosines(source: UnitRows, target: UnitRows, rows: Ids, columns: Ids) -> Floats:
    """Return the cosines (p,) of pairs of rows, summed in the order of the search."""
    cosines = np.empty(len(rows), np.float32)
    for start in range(0, len(rows), PAIRS_AT_ONCE):
        part = slice(start, start + PAIRS_AT_ONCE)
        row_kernels.paired_dots(source.gather(rows[part]), target.gather(columns[part]), cosines[part])
    return cosines
