"""The shape of an embedding space: two figures that detect a collapse before retrieval degrades."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from otembed.embeddings.arrays import as_vectors, unit_vectors
from otembed.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def mean_cosine(vectors: ArrayLike) -> float:
    r"""Return the mean cosine of all pairs of different rows.

    .. math:: \frac{|\sum_i u_i|^2 - n}{n (n - 1)}, \qquad u_i = \frac{x_i}{|x_i|}

    It is 0 for uniformly distributed directions, and 1 if all rows have the same direction: the space has collapsed.

    Parameters
    ----------
    vectors
        (n, d), n at least 2.

    Raises
    ------
    DataError
        Not a matrix, or fewer than two rows.
    NumericsError
        A row is zero, or holds NaN or infinity.

    References
    ----------
    K. Ethayarajh, "How Contextual are Contextualized Word Representations?", EMNLP 2019 (anisotropy).

    Examples
    --------
    >>> mean_cosine([[1.0, 0.0], [0.0, 2.0]])
    0.0
    """
    units = unit_vectors(vectors).astype(np.float64)
    count = len(units)
    if count < 2:
        raise DataError("the mean cosine of one row is undefined", "Pass at least two rows.")
    total = units.sum(axis=0)
    # Squared norms of the rows rather than n: float32 rows have unit length only to 1e-7.
    return float((total @ total - np.vdot(units, units)) / (count * (count - 1)))


def effective_rank(vectors: ArrayLike) -> float:
    r"""Return the effective rank: the exponential of the entropy of the normalized singular values.

    .. math:: \exp\Big(-\sum_k p_k \log p_k\Big), \qquad p_k = \frac{\sigma_k}{\sum_j \sigma_j}

    It ranges from 1 (all rows on one line) to min(n, d) (all directions used equally). Rows are neither centered nor
    normalized; do this first if the common direction or the lengths should not count. Compare figures only for the same
    number of rows.

    Parameters
    ----------
    vectors
        (n, d). O(n d min(n, d)) time.

    Raises
    ------
    DataError
        Not a matrix, or all entries are zero.
    NumericsError
        A row holds NaN or infinity.

    References
    ----------
    O. Roy, M. Vetterli, "The effective rank: a measure of effective dimensionality", EUSIPCO 2007.

    Examples
    --------
    >>> round(effective_rank([[1.0, 0.0], [0.0, 1.0]]), 6)
    2.0
    """
    array = as_vectors(vectors).astype(np.float64)
    largest = np.abs(array).max()
    if largest == 0:
        raise DataError("the effective rank of a zero matrix is undefined", "Pass vectors that are not all zero.")
    singular = np.linalg.svd(array / largest, compute_uv=False)
    shares = singular[singular > 0] / singular.sum()
    return float(np.exp(-np.sum(shares * np.log(shares))))
