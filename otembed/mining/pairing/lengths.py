"""A filter on candidates by the lengths of their texts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from otembed.mining.pairing.pairing import Candidates, Keep
    from otembed.mining.side import Side


def length_filter(source: Side, target: Side, ratio: float, from_characters: int) -> Keep | None:
    """Return a filter on candidates by :func:`lengths_fit`; None for vectors without text."""
    left, right = source.lines, target.lines
    if left is None or right is None:
        return None

    def keep(found: Candidates) -> NDArray[np.bool_]:
        return lengths_fit(
            left.lengths[found.source], right.lengths[found.target], ratio=ratio, from_characters=from_characters
        )

    return keep


def lengths_fit(
    source: NDArray[np.int32], target: NDArray[np.int32], *, ratio: float, from_characters: int
) -> NDArray[np.bool_]:
    """Return which pairs of lengths differ by at most ``ratio``, or are both below ``from_characters``."""
    lengths = np.stack([source, target])
    short, long = lengths.min(axis=0), lengths.max(axis=0)
    return np.asarray((long < from_characters) | (long <= ratio * short))
