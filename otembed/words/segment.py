"""Words as spans of a text, for scripts with and without spaces, and the tokens that belong to them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING

import torch

from otembed.config.plan import Unit
from otembed.config.words import Words
from otembed.data.checks import SURROGATE
from otembed.errors import DataError
from otembed.words.units import WordSegmenter
from otembed.words.vocabulary import Kind, is_unspaced, kind_of

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Span = tuple[int, int]


@dataclass(frozen=True)
class WordText:
    """A text, and the (start, end) spans of its aligned units and of the words that contain them.

    Spans are in order and do not overlap. ``given`` is ``None`` if the units are the words.
    """

    text: str
    spans: tuple[Span, ...]
    given: tuple[Span, ...] | None = None

    @property
    def words(self) -> tuple[str, ...]:
        """The words that links refer to."""
        return tuple(self.text[start:end] for start, end in self.given or self.spans)

    @property
    def owners(self) -> tuple[int, ...]:
        """Index of the word of each unit."""
        if self.given is None:
            return tuple(range(len(self.spans)))
        return tuple(word_of_tokens(WordText(self.text, self.given), self.spans))


class WordSplitter:
    """Find the units of raw text or of given words.

    Parameters
    ----------
    tokenizer
        Fast tokenizer of the model; tokens and scripts without spaces are split at its pieces.
    unit, words
        See :class:`otembed.words.WordAlignmentConfig`.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, unit: Unit = "word", words: Words = "auto") -> None:
        self._tokenizer = tokenizer
        self._unit = unit
        self._words_at = words

    def __call__(self, text: str | Sequence[str]) -> WordText:
        """Split a text; the words of a sequence are kept whole. DataError for other values and unpaired surrogates."""
        if not (
            isinstance(text, str) or (isinstance(text, Sequence) and all(isinstance(word, str) for word in text))
        ):
            raise DataError(f"{text!r} is neither a text nor a list of words", "Pass a str, or a list of str.")
        if any(map(SURROGATE.search, [text] if isinstance(text, str) else text)):
            raise DataError(
                f"{text!r} has an unpaired surrogate, which is not a character", "Pass the text in UTF-8."
            )
        if not isinstance(text, str):
            given = joined(text)
            return given if self._unit == "word" else WordText(given.text, self._tokens(given.text), given.spans)
        return WordText(text, self._words(text) if self._unit == "word" else self._tokens(text))

    def _tokens(self, text: str) -> tuple[Span, ...]:
        """Spans of the vocabulary's pieces without spaces around them; pieces of one character are one."""
        spans: list[Span] = []
        for start, end in self._tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)[
            "offset_mapping"
        ]:
            piece = text[start:end]
            start, end = end - len(piece.lstrip()), start + len(piece.rstrip())
            if spans and start < spans[-1][1] < end:
                spans[-1] = (spans[-1][0], end)
            elif start < end and not (spans and start < spans[-1][1]):
                spans.append((start, end))
        return tuple(spans)

    def _words(self, text: str) -> tuple[Span, ...]:
        spans: list[Span] = []
        # Tokenized text may contain an ideographic space as a separate word, so only ASCII spaces delimit words.
        auto = self._words_at == "auto"
        for match in re.finditer(r"\S+" if auto else r"[^ \t\r\n]+", text):
            if auto and any(map(is_unspaced, match[0])):
                spans += ((match.start() + start, match.start() + end) for start, end in self._pieces(match[0]))
            else:
                spans.append(match.span())
        return tuple(spans)

    @cached_property
    def _segment(self) -> WordSegmenter:
        """Created for the first script without spaces: reading a large vocabulary takes a second."""
        return WordSegmenter(self._tokenizer)

    def _pieces(self, chunk: str) -> list[Span]:
        """Spans of the segmenter's words within a chunk without spaces; together they cover it."""
        encoded = self._tokenizer(chunk, add_special_tokens=False, return_offsets_mapping=True)
        if not encoded["input_ids"]:
            return [(0, len(chunk))]
        ids = torch.tensor([encoded["input_ids"]])
        words = self._segment(ids, torch.ones_like(ids, dtype=torch.bool))[0].tolist()
        starts = {0}
        for word, last, (start, _) in zip(words[1:], words, encoded["offset_mapping"][1:], strict=False):
            # A combining mark or invisible character that the vocabulary lacks is an unknown piece.
            if word != last and start < len(chunk) and kind_of(chunk[start]) != Kind.GLUED:
                starts.add(start)
        edges = [*sorted(starts), len(chunk)]
        return list(pairwise(edges))


def joined(words: Sequence[str]) -> WordText:
    """Join words with spaces into a text; an empty word keeps its position.

    >>> joined(["ab", "", "c"]).spans
    ((0, 2), (3, 3), (4, 5))
    """
    spans, position = [], 0
    for word in words:
        spans.append((position, position + len(word)))
        position += len(word) + 1
    return WordText(" ".join(words), tuple(spans))


def word_of_tokens(text: WordText, offsets: Sequence[Span]) -> list[int]:
    """Return the word of each token, given by its first character that is part of a word; -1 if there is none.

    >>> word_of_tokens(joined(["a", "bc"]), [(0, 0), (0, 1), (1, 3), (3, 4)])
    [-1, 0, 1, 1]
    """
    word_of = [-1] * (len(text.text) + 1)
    for word, (start, end) in enumerate(text.spans):
        word_of[start:end] = [word] * (end - start)
    return [
        next((word_of[place] for place in range(start, end) if word_of[place] >= 0), -1) for start, end in offsets
    ]
