"""Ranks of the correct candidates when all are ranked by cosine, and the figures computed from them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from otembed.embeddings.arrays import unit_vectors
from otembed.errors import DataError
from otembed.tasks.retrieval.bitext import first_equal

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Indices = NDArray[np.int64]
    Shares = NDArray[np.float64]

ABSENT = -1
BLOCK_CELLS = 1 << 22


class Ranking(NamedTuple):
    """Ranks of the correct candidates, and the groups of the best candidates.

    ``ranks`` is (n, r), from 1, ascending in each row and padded with ``ABSENT``; ``groups`` has an (n, g) array for
    each of ``tops``: the number of best candidates in each group.
    """

    ranks: Indices
    groups: tuple[Indices, ...]


def rank_candidates(
    queries: ArrayLike,
    candidates: ArrayLike,
    right: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    tops: tuple[int, ...] = (),
) -> Ranking:
    r"""Rank all candidates for each query by cosine and find the correct ones.

    Parameters
    ----------
    queries, candidates
        (n, d) and (m, d) embeddings of any real dtype, not necessarily normalized. Multiplied in float32.
    right
        (n, r) rows of the correct candidates of each query, padded with ``ABSENT``.
    groups
        (m,) group of each candidate from 0, such as its language.
    tops
        Numbers of best candidates to count by group, at most all of them.

    Raises
    ------
    DataError
        Shapes do not match, a row is not a candidate, or a query has no correct candidate.
    NumericsError
        An embedding is zero, or contains NaN or infinity.

    Notes
    -----
    Ties go to the lower index; equal embeddings have equal scores. A rank is a count of higher scores, so nothing is
    sorted: O(n m d) time for the product, O(n m r) for the ranks, and blocks of 4 million scores in memory.

    Examples
    --------
    >>> rank_candidates([[1.0, 0.1]], [[0.0, 1.0], [1.0, 0.0], [1.0, 0.0]], [[2, 0]]).ranks.tolist()
    [[2, 3]]
    """
    x, y = unit_vectors(queries, "queries"), unit_vectors(candidates, "candidates")
    rows = np.asarray(right, dtype=np.int64)
    kinds = (
        np.zeros((len(y), 0))
        if groups is None
        else np.eye(int(np.max(groups)) + 1)[np.asarray(groups, dtype=np.int64)]
    )
    if rows.ndim != 2 or len(rows) != len(x) or len(kinds) != len(y) or x.shape[1] != y.shape[1]:
        raise DataError(
            f"queries {x.shape}, candidates {y.shape}, right {rows.shape} and {len(kinds)} groups do not match",
            "Pass one row of correct candidates per query, one group per candidate, and embeddings of equal dimension.",
        )
    if not ((rows >= ABSENT) & (rows < len(y))).all() or not (rows != ABSENT).any(axis=1).all():
        raise DataError(
            f"correct candidates must be rows from 0 to {len(y) - 1}, at least one per query",
            "Check the rows in right.",
        )
    first = first_equal(y)
    some_equal = bool((first != np.arange(len(y))).any())
    block = max(1, BLOCK_CELLS // len(y))
    ranks: list[Indices] = []
    found: list[list[Indices]] = [[] for _ in tops]
    for begin in range(0, len(x), block):
        scores = x[begin : begin + block] @ y.T
        if some_equal:
            scores = scores[:, first]
        ranks.append(_ranks(scores, rows[begin : begin + block]))
        for top, counts in zip(tops, found, strict=True):
            counts.append((_best(scores, min(top, len(y))) @ kinds).astype(np.int64))
    return Ranking(np.concatenate(ranks), tuple(map(np.concatenate, found)))


def _ranks(scores: NDArray[np.float32], right: Indices) -> Indices:
    largest = np.iinfo(np.int64).max
    ranks = np.full(right.shape, largest)
    order = np.arange(scores.shape[1])
    for column in range(right.shape[1]):
        own = np.take_along_axis(scores, np.maximum(right[:, column : column + 1], 0), axis=1)
        above = np.count_nonzero(scores > own, axis=1)
        ties = scores == own
        tied = np.flatnonzero(np.count_nonzero(ties, axis=1) > 1)
        above[tied] += np.count_nonzero(ties[tied] & (order < right[tied, column, None]), axis=1)
        present = right[:, column] != ABSENT
        ranks[present, column] = 1 + above[present]
    ranks.sort(axis=1)
    ranks[ranks == largest] = ABSENT
    return ranks


def _best(scores: NDArray[np.float32], top: int) -> NDArray[np.bool_]:
    """Return a mask of the best ``top`` candidates of each row; ties go to the lowest index."""
    least = np.partition(scores, scores.shape[1] - top, axis=1)[:, scores.shape[1] - top, None]
    chosen = scores > least
    ties = scores == least
    left = top - np.count_nonzero(chosen, axis=1)
    chosen |= ties & (np.cumsum(ties, axis=1) <= left[:, None])
    return chosen


def average_precision(ranks: Indices, cut: int | None = None) -> Shares:
    r"""Return the average precision (n,) of each query, as LAReQA [1]_ defines it.

    With the ranks :math:`\rho_1 < \dots < \rho_{|R|}` of the correct candidates,

    .. math:: AP = \frac{1}{|R|} \sum_k P(k)\, rel(k) = \frac{1}{|R|} \sum_i \frac{i}{\rho_i},

    where the sum ends at rank ``cut`` if given (20 in XTREME-R); the divisor remains |R|.

    References
    ----------
    .. [1] U. Roy et al., "LAReQA: Language-Agnostic Answer Retrieval from a Multilingual Pool", EMNLP 2020.

    Examples
    --------
    >>> average_precision(np.array([[1, 4]])).tolist(), average_precision(np.array([[1, 4]]), cut=3).tolist()
    ([0.75], [0.5])
    """
    counted = ranks != ABSENT
    within = counted if cut is None else counted & (ranks <= cut)
    found = np.arange(1, ranks.shape[1] + 1) / np.where(within, ranks, 1)
    shares: Shares = np.where(within, found, 0).sum(axis=1) / counted.sum(axis=1)
    return shares


def reciprocal_rank(ranks: Indices, cut: int = 10) -> Shares:
    """Return the reciprocal rank (n,) of the first correct candidate, 0 beyond ``cut``, as in MTEB.

    >>> reciprocal_rank(np.array([[2], [11]])).tolist()
    [0.5, 0.0]
    """
    return np.where(ranks[:, 0] <= cut, 1 / ranks[:, 0], 0)


def discounted_gain(ranks: Indices, cut: int = 10) -> Shares:
    r"""Return nDCG at ``cut`` (n,) of queries with one correct candidate: :math:`1 / \log_2(1 + \rho)`, 0 beyond.

    >>> discounted_gain(np.array([[1], [3], [11]])).tolist()
    [1.0, 0.5, 0.0]
    """
    return np.where(ranks[:, 0] <= cut, 1 / np.log2(1.0 + ranks[:, 0]), 0)
