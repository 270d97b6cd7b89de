"""From start and end logits to the best valid span of a window."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Span(NamedTuple):
    """First and last token of an answer, and the sum of its logits; -inf where there is no valid span."""

    start: int
    end: int
    score: float


def best_spans(
    start_logits: NDArray[np.floating],
    end_logits: NDArray[np.floating],
    usable: NDArray[np.bool_],
    max_answer_length: int,
) -> list[Span]:
    r"""Return the span of each window with the highest :math:`s_i + e_j` over all :math:`i \le j < i + L`.

    Every valid span is looked at, not the best few starts and ends alone, so nothing better is missed. Of equal ones
    the shortest is taken, then the first.

    Parameters
    ----------
    start_logits, end_logits
        (B, T) scores of each token.
    usable
        (B, T) tokens of the paragraph: none of the question, of the padding, or without a character.
    max_answer_length
        L, in tokens.

    Examples
    --------
    The best start is the last token, but no end follows it.

    >>> scores = np.array([[0.0, 1.0, 5.0]]), np.array([[0.0, 4.0, -9.0]])
    >>> best_spans(*scores, np.array([[True, True, True]]), 2)
    [Span(start=1, end=1, score=5.0)]
    """
    starts = np.where(usable, start_logits, -np.inf).astype(np.float64)
    ends = np.where(usable, end_logits, -np.inf).astype(np.float64)
    count, length = starts.shape
    rows = np.arange(count)
    score = np.full(count, -np.inf)
    first, last = np.zeros(count, dtype=np.int64), np.zeros(count, dtype=np.int64)
    for more in range(min(max_answer_length, length)):
        sums = starts[:, : length - more] + ends[:, more:]
        place = sums.argmax(axis=1)
        better = sums[rows, place] > score
        score = np.where(better, sums[rows, place], score)
        first, last = np.where(better, place, first), np.where(better, place + more, last)
    return [Span(int(a), int(b), float(c)) for a, b, c in zip(first, last, score, strict=True)]
