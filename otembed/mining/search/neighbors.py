"""The k nearest neighbors of the rows of one side among the rows of the other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from otembed.mining.search import kernels

if TYPE_CHECKING:
    from otembed.embeddings.vectors import Floats, Ids

# Bytes of one neighbor in a list: a float32 and an int64.
NEIGHBOR = 12


@dataclass(frozen=True, eq=False)
class Neighbors:
    """Neighbors of each row of one side among the rows of the other.

    Parameters
    ----------
    scores
        (n, k) float32 cosines, best first.
    ids
        (n, k) int64 rows of the other side, ascending among equal scores; -1 marks a free place, whose score is a lower
        bound for what may fill it.
    """

    scores: Floats
    ids: Ids

    @classmethod
    def none(cls, rows: int, k: int) -> Neighbors:
        """Return lists with every place free."""
        return cls(np.full((rows, k), -np.inf, np.float32), np.full((rows, k), -1, np.int64))

    @classmethod
    def above(cls, floors: Floats, k: int) -> Neighbors:
        """Return lists with every place free that take no score below ``floors`` (n,)."""
        return cls(np.repeat(floors[:, None], k, axis=1), np.full((len(floors), k), -1, np.int64))

    def merge(self, more: Neighbors) -> None:
        """Merge neighbors of the same rows, in place; the order of merges and repeated merges make no difference."""
        kernels.merge_lists(self.scores, self.ids, more.scores, more.ids)
