"""Compiled loops of pairing: one-to-one selection, and lookups in neighbor lists."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from otembed.runtime.compiling import jit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ids = NDArray[np.int64]


@jit(ahead="void(i8[::1], i8[::1], i8, i8, b1[::1])")
def greedy(source: Ids, target: Ids, sources: int, targets: int, chosen: NDArray[np.bool_]) -> None:
    """Mark each pair, in the given order, if neither its source nor its target is in a marked pair."""
    used_source, used_target = np.zeros(sources, np.bool_), np.zeros(targets, np.bool_)
    for p in range(len(source)):
        if not used_source[source[p]] and not used_target[target[p]]:
            used_source[source[p]] = used_target[target[p]] = True
            chosen[p] = True


@jit()
def listed(ids: Ids, rows: Ids, wanted: Ids, out: NDArray[np.bool_]) -> None:
    """Record for each pair whether ``wanted`` is in the neighbor list of ``rows``."""
    for p in range(len(rows)):
        out[p] = False
        for c in range(ids.shape[1]):
            if ids[rows[p], c] == wanted[p]:
                out[p] = True
