"""One side of a search: its vectors as unit rows, less their mean if they are centered, read block by block."""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np

from otembed.embeddings.lines import first_equal
from otembed.errors import DataError, NumericsError
from otembed.mining.search import kernels

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from otembed.embeddings.vectors import Floats, Ids, Vectors

DIGEST_BYTES = 16
SCAN_ROWS = 4096


@dataclass(frozen=True, eq=False)
class Side:
    """Unit vectors of one side.

    Parameters
    ----------
    vectors
        The rows that are searched.
    mean
        (d,) float64 mean of all unit rows of the side, added one after the other.
    digest
        Hash of the rows: what was found for these rows holds as long as it is the same.
    centered
        Whether rows are read less their mean, at unit length again.
    """

    vectors: Vectors
    mean: NDArray[np.float64]
    digest: str
    centered: bool = False

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.vectors)

    def read(self, start: int, stop: int) -> Floats:
        """Return the rows from ``start`` to before ``stop``, ready to be multiplied."""
        return self._ready(self.vectors.read(start, stop))

    def gather(self, rows: Ids) -> Floats:
        """Return rows in any order, ready to be multiplied."""
        return self._ready(self.vectors.gather(rows))

    def choose(self, rows: Ids) -> Side:
        """Return some rows, given in ascending order, as they are among all of the side."""
        return replace(self, vectors=self.vectors.choose(rows))

    def _ready(self, rows: Floats) -> Floats:
        kernels.scale_to_unit(rows, np.empty(len(rows), np.uint8))
        if self.centered:
            kernels.center(rows, self.mean)
        return rows


@dataclass(frozen=True)
class ScanCounts:
    """Rows left out of a side: zero rows, which stand for lines without text, and repeated ones."""

    zero: int = 0
    repeated: int = 0


def scan(vectors: Vectors, *, drop_repeated: bool = False) -> tuple[Side, ScanCounts]:
    """Read all vectors once: refuse what cannot be searched, sum and hash the rest.

    Parameters
    ----------
    vectors
        The rows. Zero rows are left out: :func:`otembed.embeddings.export.write_vectors` writes them for lines
        without text.
    drop_repeated
        Leave out rows that equal an earlier one, for vectors that come without their lines.

    Raises
    ------
    NumericsError
        A row holds NaN or infinity.
    DataError
        No row is left.
    """
    states = np.empty(len(vectors), np.uint8)
    digests = bytearray()
    for start in range(0, len(vectors), SCAN_ROWS):
        rows = vectors.read(start, start + SCAN_ROWS)
        if drop_repeated:
            for row in rows:
                digests += blake2b(row, digest_size=DIGEST_BYTES).digest()
        state = states[start : start + len(rows)]
        kernels.scale_to_unit(rows, state)
        bad = state == kernels.NOT_FINITE
        if bad.any():
            raise NumericsError(
                f"{vectors.name}: NaN, infinity or too large a number in row "
                f"{vectors.row_number(start + int(bad.argmax()))} (counted from 1)",
                "Embed that line again, or leave it out on both files.",
            )
    kept = states == kernels.GOOD
    zero, repeated = int((~kept).sum()), 0
    if drop_repeated:
        first = first_equal(np.frombuffer(digests, np.uint64).reshape(-1, 2)) == np.arange(len(states))
        repeated = int((kept & ~first).sum())
        kept &= first
    if not kept.any():
        raise DataError(f"{vectors.name}: every row is zero", "Give vectors with a direction.")
    chosen = vectors if kept.all() else vectors.choose(np.flatnonzero(kept))
    total, digest = np.zeros(vectors.dimension), blake2b(digest_size=DIGEST_BYTES)
    for start in range(0, len(chosen), SCAN_ROWS):
        rows = chosen.read(start, start + SCAN_ROWS)
        digest.update(rows.data)
        kernels.scale_to_unit(rows, states[: len(rows)])
        kernels.add_rows(rows, total)
    return Side(chosen, total / len(chosen), digest.hexdigest()), ScanCounts(zero, repeated)
