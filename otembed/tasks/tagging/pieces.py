"""Sentences as the encoder sees them: long ones split between words, and the first token of each word."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from otembed.words.segment import joined, word_of_tokens
from otembed.words.vectors import NOT_FOR_THE_MODEL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

COUNTED = 1024


class Piece(NamedTuple):
    """Words ``start`` to ``stop`` of a sentence, at most as many as the encoder reads at once."""

    sentence: int
    start: int
    stop: int


def split_long(tokenizer: Any, sentences: Sequence[Sequence[str]], max_length: int | None) -> list[Piece]:
    """Split sentences between words, so that each piece has at most ``max_length`` tokens with special tokens.

    A word with more tokens is a piece of its own. Pieces are in order and cover every word. ``max_length`` None: no
    limit.
    """
    room = None if max_length is None else max(max_length - tokenizer.num_special_tokens_to_add(), 1)
    pieces: list[Piece] = []
    for begin in range(0, len(sentences), COUNTED):
        texts = [joined(words) for words in sentences[begin : begin + COUNTED]]
        # Texts beyond the limit are what is looked for: no warning.
        encoded = tokenizer(
            [text.text for text in texts], add_special_tokens=False, return_offsets_mapping=True, verbose=False
        )
        for row, (text, offsets) in enumerate(zip(texts, encoded["offset_mapping"], strict=True), start=begin):
            count = len(text.spans)
            if room is None or len(offsets) <= room:
                pieces.append(Piece(row, 0, count))
                continue
            owners = np.array(word_of_tokens(text, offsets))
            sizes = np.bincount(owners[owners >= 0], minlength=count)
            start = used = 0
            for word, size in enumerate(sizes.tolist()):
                if word > start and used + size > room:
                    pieces.append(Piece(row, start, word))
                    start, used = word, 0
                used += size
            pieces.append(Piece(row, start, count))
    return pieces


class TaggedInput(NamedTuple):
    """The model's inputs of one piece, and (n,) the position of the first token of each of its words, -1 if none."""

    piece: Piece
    inputs: dict[str, list[int]]
    firsts: NDArray[np.int64]


def tagged_inputs(tokenizer: Any, sentences: Sequence[Sequence[str]], max_length: int) -> list[TaggedInput]:
    """Tokenize sentences in the pieces of :func:`split_long`."""
    found = []
    for piece in split_long(tokenizer, sentences, max_length):
        text = joined(sentences[piece.sentence][piece.start : piece.stop])
        encoded = tokenizer(
            text.text,
            truncation=True,
            max_length=max_length,
            return_offsets_mapping=True,
            return_special_tokens_mask=True,
        )
        firsts = np.full(len(text.spans), -1, np.int64)
        owners = word_of_tokens(text, encoded["offset_mapping"])
        for token, (word, special) in enumerate(zip(owners, encoded["special_tokens_mask"], strict=True)):
            if word >= 0 and not special and firsts[word] < 0:
                firsts[word] = token
        inputs = {name: encoded[name] for name in encoded if name not in NOT_FOR_THE_MODEL}
        found.append(TaggedInput(piece, inputs, firsts))
    return found
