"""Word similarity of pairs of lines, in batches that depend only on the pairs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from otembed.words.similarity import EMPTY_SCORE, ot_similarity_pairwise

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from otembed.mining.rescoring.words import WordSide

    Floats = NDArray[np.float32]
    Ids = NDArray[np.int64]

# Number of neighbor lists compared together. Batches determine the last bits of a value, so this and the next three
# constants are not settings: the same lines always give the same bytes.
BLOCK = 1024
# Maximum number of cost cells and of words in a batch, padding included; a single pair may exceed them.
CELLS = 2**17
WORDS = 2**14
# Lines with numbers of words in one bin of this width are sorted by the number of words of the other side.
BIN = 4
# Upper bounds of the copies of a batch's cells and vectors; measured memory was half of this.
CELL_COPIES, VECTOR_COPIES = 12, 5


def word_similarity(source: WordSide, target: WordSide, rows: Ids, columns: Ids, epsilon: float) -> Floats:
    r"""Return :math:`1 - \mathrm{OT}_\varepsilon` of pairs of lines (p,); NaN if the encoder saw no word of a line.

    Parameters
    ----------
    source, target
        Words of both sides.
    rows, columns
        (p,) source and target lines.
    epsilon
        As for :func:`otembed.words.ot_similarity_pairwise`.
    """
    values = np.empty(len(rows), np.float32)
    for batch in batches(source.lengths(rows), target.lengths(columns)):
        x, x_mask = source.clouds(rows[batch])
        y, y_mask = target.clouds(columns[batch])
        scores = ot_similarity_pairwise(x, y, x_mask, y_mask, epsilon=epsilon)
        values[batch] = scores.masked_fill(scores == EMPTY_SCORE, float("nan")).add(1).numpy()
    return values


def batches(source: Ids, target: Ids) -> Iterator[Ids]:
    """Yield the indices of pairs in batches with similar numbers of words (p,) on each side."""
    order = np.lexsort((target, source // BIN))
    start = 0
    while start < len(order):
        ahead = order[start : start + WORDS // 2]
        n, m = (np.maximum.accumulate(np.maximum(side[ahead], 1)) for side in (source, target))
        count = np.arange(1, len(ahead) + 1)
        fits = (n * m * count <= CELLS) & ((n + m) * count <= WORDS)
        size = max(int(fits.sum()), 1)
        yield ahead[:size]
        start += size


def batch_bytes(dimension: int, longest: int, k: int) -> int:
    """Return the approximate bytes for a block of lists of length k, if a line has at most ``longest`` words."""
    cells, words = max(CELLS, longest**2), max(WORDS, 2 * longest)
    return 4 * (CELL_COPIES * cells + VECTOR_COPIES * dimension * words) + 64 * BLOCK * k
