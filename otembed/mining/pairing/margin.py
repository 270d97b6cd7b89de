"""Margin scores: how much closer two lines are to each other than to their neighbors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from otembed.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from otembed.mining.search.neighbors import Neighbors

    Doubles = NDArray[np.float64]

MARGINS = ("ratio", "distance", "absolute")
# With centered vectors the mean can be zero or negative, and a ratio to it would be arbitrary.
SMALLEST_BASE = 0.1


def mean_similarity(neighbors: Neighbors) -> Doubles:
    """Return for each row the mean cosine (n,) of its neighbors, float64."""
    means: Doubles = neighbors.scores.mean(axis=1, dtype=np.float64)
    return means


def margin_scores(cosines: NDArray[np.float32], source: Doubles, target: Doubles, margin: str) -> Doubles:
    r"""Score pairs by their cosine relative to the neighborhoods of both lines.

    With :math:`b = \frac12 (\bar c_k(x) + \bar c_k(y))`, the mean of both lines' mean cosines with their k nearest
    neighbors on the other side [1]_:

    - ``ratio``: :math:`\cos(x, y) / \max(b, 0.1)`,
    - ``distance``: :math:`\cos(x, y) - b`,
    - ``absolute``: :math:`\cos(x, y)`.

    Parameters
    ----------
    cosines
        (p,) cosines of the pairs.
    source, target
        (p,) mean cosines of each pair's source and target with its neighbors.
    margin
        ``ratio``, ``distance`` or ``absolute``.

    Returns
    -------
    ndarray
        (p,) float64.

    Raises
    ------
    ConfigError
        The margin is unknown.

    Notes
    -----
    The minimum of .1 matters only for small collections of centered vectors, whose means can be zero or negative.

    References
    ----------
    .. [1] M. Artetxe, H. Schwenk, "Margin-based Parallel Corpus Mining with Multilingual Sentence Embeddings",
       ACL 2019.

    Examples
    --------
    >>> float(margin_scores(np.float32([0.75]), np.array([0.5]), np.array([0.25]), "ratio")[0])
    2.0
    """
    if margin not in MARGINS:
        raise ConfigError(f"margin is {margin!r}", did_you_mean(margin, MARGINS))
    values = cosines.astype(np.float64)
    base = (source + target) / 2
    if margin == "ratio":
        return values / np.maximum(base, SMALLEST_BASE)
    return values - base if margin == "distance" else values
