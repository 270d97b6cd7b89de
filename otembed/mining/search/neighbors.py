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
# Maximum bytes for each neighbor while it is a candidate in pairing, copies and sorting included; a test measures it.
CANDIDATE = 100


def list_places(rows: int, columns: int, k: int) -> int:
    """Return the places of the lists of both sides: k for each row, or as many as the other side has rows."""
    return rows * min(k, columns) + columns * min(k, rows)


@dataclass(frozen=True, eq=False)
class Neighbors:
    """Neighbors of each row of one side among the rows of the other.

    Parameters
    ----------
    scores
        (n, k) float32 cosines, best first.
    ids
        (n, k) int64 rows of the other side, ascending among equal scores; -1 marks an empty slot. The score of an empty
        slot is a lower bound for the scores that may fill it.
    """

    scores: Floats
    ids: Ids

    @classmethod
    def none(cls, rows: int, k: int) -> Neighbors:
        """Return empty lists."""
        return cls(np.full((rows, k), -np.inf, np.float32), np.full((rows, k), -1, np.int64))

    @classmethod
    def above(cls, floors: Floats, k: int) -> Neighbors:
        """Return empty lists that accept only scores of at least ``floors`` (n,)."""
        return cls(np.repeat(floors[:, None], k, axis=1), np.full((len(floors), k), -1, np.int64))

    def merge(self, more: Neighbors) -> None:
        """Merge neighbors of the same rows, in place; the order of merges does not matter, nor do repeated merges."""
        kernels.merge_lists(self.scores, self.ids, more.scores, more.ids)
