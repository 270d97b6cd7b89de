"""Predicted against gold tags: accuracy, macro F1, and precision, recall and F1 of each tag."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from otembed.errors import DataError
from otembed.tasks.tagging.conllu import TAGS

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

MISSING = -1
"""The prediction for a word of which the encoder has no token."""


class TagFigures(NamedTuple):
    """Number of words with a tag, number predicted, and precision, recall and F1; 0 where a share is undefined."""

    words: int
    predicted: int
    precision: float
    recall: float
    f1: float


class TagScores(NamedTuple):
    """Scores of the words of one language; see :func:`tag_scores`."""

    accuracy: float
    macro_f1: float
    majority: float
    missing: int
    tags: dict[str, TagFigures]


def tag_scores(gold: ArrayLike, found: ArrayLike) -> TagScores:
    r"""Score predicted tags.

    Parameters
    ----------
    gold
        (n,) tags as indices in ``TAGS``.
    found
        (n,) predictions; ``MISSING`` is an error and predicts no tag.

    Returns
    -------
    TagScores
        ``accuracy`` is the share of correct words. ``macro_f1`` is the plain mean of F1 over the tags that occur in
        gold, with :math:`F_1(t) = 2 |g_t \cap p_t| / (|g_t| + |p_t|)`. ``majority`` is the share of the most frequent
        tag. ``tags`` has the tags that occur in gold or predictions.

    Raises
    ------
    DataError
        There are no words, or the numbers of gold tags and predictions differ.

    Examples
    --------
    >>> found = tag_scores([7, 7, 15, 12], [7, 15, 15, -1])
    >>> found.accuracy, round(found.macro_f1, 4), found.missing
    (0.5, 0.4444, 1)
    """
    truth, guess = np.asarray(gold, np.int64), np.asarray(found, np.int64)
    if truth.shape != guess.shape or not truth.size:
        raise DataError(
            f"{guess.size} predicted tags for {truth.size} words", "Pass one prediction per word, at least one."
        )
    right = truth == guess
    words, predicted, correct = (
        np.bincount(each[each != MISSING], minlength=len(TAGS)) for each in (truth, guess, truth[right])
    )
    tags = {
        name: TagFigures(
            int(words[tag]),
            int(predicted[tag]),
            _share(correct[tag], predicted[tag]),
            _share(correct[tag], words[tag]),
            _share(2 * correct[tag], words[tag] + predicted[tag]),
        )
        for tag, name in enumerate(TAGS)
        if words[tag] or predicted[tag]
    }
    return TagScores(
        accuracy=float(right.mean()),
        macro_f1=float(np.mean([each.f1 for each in tags.values() if each.words])),
        majority=float(words.max() / words.sum()),
        missing=int(np.count_nonzero(guess == MISSING)),
        tags=tags,
    )


def correct_words(gold: NDArray[np.int64], found: NDArray[np.int64], lengths: NDArray[np.int64]) -> list[int]:
    """Return the number of correct words of each sentence; ``lengths`` are the words of each, at least 1.

    >>> correct_words(np.array([1, 2, 3]), np.array([1, 0, 3]), np.array([2, 1]))
    [1, 1]
    """
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    counts: list[int] = np.add.reduceat((gold == found).astype(np.int64), starts).tolist()
    return counts


def _share(part: np.int64, whole: np.int64) -> float:
    return float(part / whole) if whole else 0.0
