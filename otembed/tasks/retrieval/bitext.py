"""Bitext retrieval: does each sentence find its translation? Tatoeba accuracy, MTEB F1 and xSIM."""

from __future__ import annotations

from dataclasses import dataclass
from math import fsum
from typing import TYPE_CHECKING, Any

import faiss
import numpy as np

from otembed.embeddings.arrays import unit_vectors
from otembed.errors import DataError, check_count
from otembed.results.outcomes import Outcomes, digest_of
from otembed.tasks.retrieval.report import RetrievalScores

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Indices = NDArray[np.int64]
    Cosines = NDArray[np.float32]

SMALLEST_MARGIN_BASE = 1e-6


def bitext_scores(source: ArrayLike, target: ArrayLike, *, pair: str, k: int = 4) -> RetrievalScores:
    r"""Score retrieval of translations in both directions; row i of one side translates row i of the other.

    With :math:`p(i)` the row found for query i and :math:`[\cdot]` 1 if true, 0 if not:

    - accuracy [1]_: :math:`\frac1n \sum_i [p(i) = i]`, where p(i) is the nearest neighbor by cosine.
      XTREME queries in English, MTEB in the other language; both directions are returned.
    - weighted F1, as MTEB [2]_ scores bitext mining: the mean over all rows of the F1 of "row i is
      found", with 0 where precision or recall is not defined.
    - xSIM [3]_: the error rate :math:`\frac1n \sum_i [p(i) \ne i]`, where p(i) is the one of the k nearest
      neighbors of query x with the largest ratio margin [4]_

      .. math:: m(x, y) = \frac{\cos(x, y)}{\frac12 (\bar c_k(x) + \bar c_k(y))},

      and :math:`\bar c_k(x)` is the mean cosine of x and its k nearest neighbors on the other side.

    Parameters
    ----------
    source, target
        (n, d) sentence embeddings of any real dtype, not necessarily normalized. Searched in float32.
    pair
        Name of the language pair, such as ``"en-sw"``.
    k
        Number of neighbors of the margin, at most the number of rows; ``margin_k`` of the result holds the number
        used.

    Returns
    -------
    RetrievalScores
        Shares between 0 and 1.

    Raises
    ------
    DataError
        A side is not a matrix with at least one row, or the shapes differ.
    NumericsError
        A row is zero, or holds NaN or infinity.
    ConfigError
        ``k`` is below 1.

    Notes
    -----
    Only the row with the same index is correct, as in Tatoeba and MTEB: if two targets have the same text,
    finding the other one is an error. Ties go to the lowest index, so repeated rows give the same figures in every
    run. The denominator of a margin is at least 1e-6; with centered embeddings it can be smaller. Cost: two exact
    searches of O(n^2 d) time; memory O(n d).

    References
    ----------
    .. [1] M. Artetxe, H. Schwenk, "Massively Multilingual Sentence Embeddings for Zero-Shot Cross-Lingual
       Transfer and Beyond", TACL 2019.
    .. [2] N. Muennighoff et al., "MTEB: Massive Text Embedding Benchmark", EACL 2023.
    .. [3] K. Heffernan, O. Celebi, H. Schwenk, "Bitext Mining Using Distilled Sentence Representations for
       Low-Resource Languages", Findings of EMNLP 2022.
    .. [4] M. Artetxe, H. Schwenk, "Margin-based Parallel Corpus Mining with Multilingual Sentence
       Embeddings", ACL 2019.

    Examples
    --------
    The second source sentence finds the first target sentence; in the other direction both are correct.

    >>> scores = bitext_scores([[1.0, 0.0], [0.9, 0.5]], [[1.0, 0.1], [0.0, 1.0]], pair="en-sw")
    >>> scores.accuracy_source_to_target, scores.accuracy_target_to_source
    (0.5, 1.0)
    >>> round(scores.f1_source_to_target, 4)
    0.3333
    """
    return scores_of(retrieve(source, target, pair=pair, k=k), pair)


@dataclass(frozen=True, eq=False)
class Retrieved:
    """The row found for each query, (n,), source to target first, then target to source."""

    nearest: tuple[Indices, Indices]
    by_margin: tuple[Indices, Indices]
    k: int


def retrieve(source: ArrayLike, target: ArrayLike, *, pair: str, k: int = 4) -> Retrieved:
    """Return the row found for every row on the other side, by cosine and by margin; see :func:`bitext_scores`."""
    check_count("k", k)
    x, y = unit_vectors(source, f"{pair}: source"), unit_vectors(target, f"{pair}: target")
    if x.shape != y.shape:
        raise DataError(
            f"{pair}: source has shape {x.shape}, target {y.shape}",
            "Pass one target row per source row, from the same model.",
        )
    k = min(k, len(x))
    forward, backward = _neighbors(x, y, k), _neighbors(y, x, k)
    first_x, first_y = first_equal(x), first_equal(y)
    return Retrieved(
        nearest=(_nearest(*forward, first_y), _nearest(*backward, first_x)),
        by_margin=(_best_margin(forward, backward, first_y), _best_margin(backward, forward, first_x)),
        k=k,
    )


def scores_of(found: Retrieved, pair: str) -> RetrievalScores:
    """Return the figures of the rows found."""
    return RetrievalScores(
        pair=pair,
        sentences=len(found.nearest[0]),
        accuracy_source_to_target=accuracy(found.nearest[0]),
        accuracy_target_to_source=accuracy(found.nearest[1]),
        f1_source_to_target=weighted_f1(found.nearest[0]),
        f1_target_to_source=weighted_f1(found.nearest[1]),
        xsim_source_to_target=error_rate(found.by_margin[0]),
        xsim_target_to_source=error_rate(found.by_margin[1]),
        margin_k=found.k,
    )


def retrieval_outcomes(found: Retrieved, task: str, examples: str) -> tuple[Outcomes, ...]:
    """Return the contribution of each row to accuracy and xSIM.

    The values of ``accuracy`` and ``xsim`` are the mean of both directions (0, 0.5 or 1), so that resampling draws
    both directions of a row together; the values of ``accuracy_source_to_target`` and ``accuracy_target_to_source`` are
    0 or 1. Weighted F1 is omitted, because it is not a mean over rows: the result of one row changes the F1 of another.

    Parameters
    ----------
    found
        Result of :func:`retrieve`.
    task
        The language pair.
    examples
        :func:`otembed.results.outcomes.digest_of` the sentences.
    """
    rows = np.arange(len(found.nearest[0]))
    right = [(each == rows).astype(int) for each in found.nearest]
    wrong = [(each != rows).astype(int) for each in found.by_margin]
    # Figures with different k must not be paired, although they have the same name.
    margin_examples = digest_of([examples, str(found.k)])

    def outcomes(metric: str, values: NDArray[Any], digest: str, *, higher_is_better: bool = True) -> Outcomes:
        whole = tuple(int(each) if each == int(each) else float(each) for each in values)
        return Outcomes("retrieval", task, metric, digest, whole, higher_is_better=higher_is_better)

    return (
        outcomes("accuracy", (right[0] + right[1]) / 2, examples),
        outcomes("accuracy_source_to_target", right[0], examples),
        outcomes("accuracy_target_to_source", right[1], examples),
        outcomes("xsim", (wrong[0] + wrong[1]) / 2, margin_examples, higher_is_better=False),
    )


def accuracy(found: Indices) -> float:
    """Return the share of rows i with ``found[i] == i``.

    >>> accuracy(np.array([0, 0, 2, 3]))
    0.75
    """
    return float(np.mean(found == np.arange(len(found))))


def error_rate(found: Indices) -> float:
    """Return the share of rows i with ``found[i] != i``.

    >>> error_rate(np.array([0, 0, 2, 3]))
    0.25
    """
    return float(np.mean(found != np.arange(len(found))))


def weighted_f1(found: Indices) -> float:
    r"""Return the weighted F1 of ``found`` against ``0..n-1``, with one class per row.

    Each class i has one gold row, so if :math:`c_i` rows found i, its F1 is
    :math:`2 / (1 + c_i)` if row i is one of them, and 0 otherwise. Equals scikit-learn's
    ``f1_score(arange(n), found, average="weighted", zero_division=0)``.

    Parameters
    ----------
    found
        (n,) integers from 0 to n - 1.

    Examples
    --------
    Row 0 is found by its own query and by another one: precision 1/2, recall 1, F1 2/3; row 1 is never found.

    >>> round(weighted_f1(np.array([0, 0])), 4)
    0.3333
    """
    times_found = np.bincount(found, minlength=len(found))
    right = found == np.arange(len(found))
    # An exactly rounded sum does not depend on the order of the rows.
    return fsum(right * 2 / (1 + times_found)) / len(found)


def _neighbors(queries: Cosines, base: Cosines, k: int) -> tuple[Cosines, Indices]:
    """Return cosines and indices (n, k) of the k nearest rows of ``base``, best first."""
    # With k <= n an exact search returns k neighbors, never the index -1.
    cosines, indices = faiss.knn(queries, base, k, metric=faiss.METRIC_INNER_PRODUCT)
    return cosines, indices


def first_equal(vectors: Cosines) -> Indices:
    """Return for each row the lowest index of a row equal to it.

    A blocked matrix product can give equal rows cosines that differ in the last bit; this index maps them together.
    """
    first: dict[bytes, int] = {}
    # Adding 0 turns -0 into 0, which is equal but has different bytes.
    return np.array([first.setdefault((row + 0).tobytes(), index) for index, row in enumerate(vectors)])


def _nearest(cosines: Cosines, indices: Indices, first: Indices) -> Indices:
    """Return the lowest index (n,) among the neighbors with the highest cosine."""
    return _lowest_best(cosines, first[indices])


def _best_margin(forward: tuple[Cosines, Indices], backward: tuple[Cosines, Indices], first: Indices) -> Indices:
    """Return the index (n,) of the neighbor with the largest ratio margin."""
    cosines, indices = forward
    mean_query = cosines.mean(axis=1, dtype=np.float64)
    mean_base = backward[0].mean(axis=1, dtype=np.float64)[indices]
    base = np.maximum((mean_query[:, None] + mean_base) / 2, SMALLEST_MARGIN_BASE)
    return _lowest_best(cosines / base, first[indices])


def _lowest_best(scores: NDArray[np.floating], candidates: Indices) -> Indices:
    is_best = scores == scores.max(axis=1, keepdims=True)
    found: Indices = np.where(is_best, candidates, np.iinfo(np.int64).max).min(axis=1)
    return found
