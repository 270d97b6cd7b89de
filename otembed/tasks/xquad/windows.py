"""Questions and paragraphs as overlapping windows of tokens, their labels, and the best span of a window."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from otembed.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from transformers import PreTrainedTokenizerBase

    from otembed.config.xquad import SpanConfig
    from otembed.tasks.xquad.data import Answer, QuestionSet

    Spans = NDArray[np.int32]

CHUNK = 256


class Window(NamedTuple):
    """One window: the model inputs (T,), the index of its question, and the characters of each token.

    ``spans`` is (T, 2), start and end of each token in the paragraph; (0, 0) for tokens outside the paragraph or
    without characters, where no answer can start or end.
    """

    inputs: dict[str, NDArray[np.int32]]
    question: int
    spans: Spans

    @property
    def usable(self) -> NDArray[np.bool_]:
        """Mask of tokens where an answer can start or end."""
        usable: NDArray[np.bool_] = self.spans[:, 1] > self.spans[:, 0]
        return usable


def windows(
    data: QuestionSet, tokenizer: PreTrainedTokenizerBase, config: SpanConfig, type_count: int = 2
) -> Iterator[Window]:
    """Yield the windows of all questions; the windows of a question are in paragraph order.

    Parameters
    ----------
    data
        Questions and paragraphs.
    tokenizer
        A fast tokenizer, which provides character offsets.
    config
        ``max_length``, ``stride`` (number of tokens that neighboring windows share) and ``max_question_length``.
    type_count
        Number of token types of the model; token types are omitted with fewer than two.

    Raises
    ------
    ModelError
        The tokenizer is slow.
    """
    if not tokenizer.is_fast:
        raise ModelError(
            f"{type(tokenizer).__name__} does not provide character offsets",
            "Use a model with a fast tokenizer (tokenizer.json).",
        )
    call: Any = tokenizer
    for begin in range(0, len(data.questions), CHUNK):
        questions = data.questions[begin : begin + CHUNK]
        encoded = call(
            _cut([each.text for each in questions], tokenizer, config.max_question_length),
            [data.paragraphs[each.paragraph].text for each in questions],
            truncation="only_second",
            max_length=config.max_length,
            stride=config.stride,
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
        )
        owners = encoded.pop("overflow_to_sample_mapping")
        offsets = encoded.pop("offset_mapping")
        if type_count < 2:
            encoded.pop("token_type_ids", None)
        for index, owner in enumerate(owners):
            own = np.array([part == 1 for part in encoded.sequence_ids(index)])
            inputs = {name: np.array(values[index], dtype=np.int32) for name, values in encoded.items()}
            spans = np.array(offsets[index], dtype=np.int32) * own[:, None]
            yield Window(inputs, begin + owner, spans)


def _cut(questions: list[str], tokenizer: PreTrainedTokenizerBase, length: int) -> list[str]:
    call: Any = tokenizer
    encoded = call(questions, add_special_tokens=False, return_offsets_mapping=True)
    return [
        text if len(spans) <= length else text[: spans[length - 1][1]]
        for text, spans in zip(questions, encoded["offset_mapping"], strict=True)
    ]


def labels(window: Window, answer: Answer, start_id: int | None) -> tuple[int, int]:
    """Return the first and last token of the answer, or the start token twice if the window does not contain it.

    Parameters
    ----------
    window
        A window from :func:`windows`.
    answer
        Text and position in the paragraph.
    start_id
        Id of the token (``<s>`` or ``[CLS]``) that means "not in this window"; None for the first token.
    """
    first, end = answer.start, answer.start + len(answer.text)
    tokens = np.flatnonzero(window.usable)
    starts, ends = window.spans[tokens, 0], window.spans[tokens, 1]
    if len(tokens) and starts[0] <= first and end <= ends[-1]:
        begin = tokens[np.argmax(ends > first)]
        last = tokens[np.flatnonzero(starts < end)[-1]]
        if begin <= last:
            return int(begin), int(last)
    # argmax returns 0, the first token, if the start token is missing.
    place = int(np.argmax(window.inputs["input_ids"] == start_id)) if start_id is not None else 0
    return place, place


class Span(NamedTuple):
    """First and last token of an answer, and the sum of its logits; -inf if there is no valid span."""

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

    The search is exact over all valid spans, not limited to the best starts and ends. Ties go to the shortest span,
    then to the first.

    Parameters
    ----------
    start_logits, end_logits
        (B, T) scores of each token.
    usable
        (B, T) mask of paragraph tokens: excludes the question, padding, and tokens without characters.
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
