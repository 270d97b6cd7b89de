"""Questions with paragraphs as windows of tokens: overlapping, each with the characters its tokens stand for."""

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
    """One window: the model's inputs (T,), the index of its question, and the characters of each token.

    ``spans`` is (T, 2), start and end of each token in the paragraph; (0, 0) for tokens that are not of the
    paragraph or stand for no character: no answer starts or ends there.
    """

    inputs: dict[str, NDArray[np.int32]]
    question: int
    spans: Spans

    @property
    def usable(self) -> NDArray[np.bool_]:
        """Which tokens may start or end an answer."""
        usable: NDArray[np.bool_] = self.spans[:, 1] > self.spans[:, 0]
        return usable


def windows(
    data: QuestionSet, tokenizer: PreTrainedTokenizerBase, config: SpanConfig, type_count: int = 2
) -> Iterator[Window]:
    """Yield the windows of all questions, those of one question in the order of the paragraph.

    Parameters
    ----------
    data
        Questions and paragraphs.
    tokenizer
        A fast one: it knows the characters of its tokens.
    config
        ``max_length``, ``stride`` (tokens that neighboring windows share) and ``max_question_length``.
    type_count
        Token types that the model knows; with fewer than two they are left out.

    Raises
    ------
    ModelError
        The tokenizer is slow.
    """
    if not tokenizer.is_fast:
        raise ModelError(
            f"{type(tokenizer).__name__} does not say which characters its tokens stand for",
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
    """Return the first and last token of the answer; the window's start token twice if it is not wholly inside.

    Parameters
    ----------
    window
        Made by :func:`windows`.
    answer
        Text and place in the paragraph.
    start_id
        The id of the token (``<s>`` or ``[CLS]``) that stands for "not in this window"; None for the first token.
    """
    first, end = answer.start, answer.start + len(answer.text)
    tokens = np.flatnonzero(window.usable)
    starts, ends = window.spans[tokens, 0], window.spans[tokens, 1]
    if len(tokens) and starts[0] <= first and end <= ends[-1]:
        begin = tokens[np.argmax(ends > first)]
        last = tokens[np.flatnonzero(starts < end)[-1]]
        if begin <= last:
            return int(begin), int(last)
    # argmax gives 0, the first token, where the mark is not there.
    place = int(np.argmax(window.inputs["input_ids"] == start_id)) if start_id is not None else 0
    return place, place
