"""Group tokens into words, and pool token states into unit states.

Axes: B batch, T tokens, U units (of the fullest row), D dimension.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from otembed.words.vocabulary import Kind, vocabulary_table

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Pooling = Literal["mean", "first", "last"]


class WordSegmenter:
    """Find the words of tokenized sentences from the vocabulary alone, for any script.

    A token starts a word if it is marked as a word start (``▁``, ``Ġ``, no ``##``), if it is
    punctuation or follows it, or if it belongs to a script without spaces (Thai, Lao, Khmer, Myanmar,
    Tibetan, Han, Kana), where each vocabulary piece is a unit. Combining marks, invisible characters and characters that
    cannot begin a syllable belong to the preceding piece; a bare marker and white space to the following one, at the end
    to the preceding one. The unknown token of SentencePiece counts as a letter: its text is not in the ids, and unknown
    characters are mostly letters within words.

    Parameters
    ----------
    tokenizer
        Tokenizer with a SentencePiece, WordPiece or byte-level BPE vocabulary.

    Raises
    ------
    ModelError
        The vocabulary does not mark word boundaries.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        table = vocabulary_table(tokenizer)
        self._first = torch.from_numpy(table.first)
        self._last = torch.from_numpy(table.last)
        self._marked = torch.from_numpy(table.marked)

    def __call__(self, input_ids: Tensor, content: Tensor) -> Tensor:
        """Give each token the index of its word.

        Parameters
        ----------
        input_ids
            (B, T) integer vocabulary indices.
        content
            (B, T) bool, False at padding, special and prompt tokens.

        Returns
        -------
        Tensor
            (B, T) int64: index of the word that a token belongs to, -1 where ``content`` is False.
        """
        if self._first.device != input_ids.device:
            self._first, self._last, self._marked = (
                table.to(input_ids.device) for table in (self._first, self._last, self._marked)
            )
        first, last, marked = (table[input_ids] for table in (self._first, self._last, self._marked))
        before = _carried(torch.where(content, last, int(Kind.GLUED))).roll(1, dims=1)
        fresh = content & ~_shifted(content)
        apart = (
            marked
            | (first == Kind.PUNCTUATION)
            | (first == Kind.UNSPACED)
            | ((first != before) & (before != Kind.GLUED))
        )
        shown = content & (first != Kind.EMPTY)
        # A bare marker starts a word unless nothing follows it.
        shown_later = shown.long().flip(1).cumsum(1).flip(1) > 0
        starts = content & (fresh | ((first != Kind.GLUED) & apart & (before != Kind.EMPTY) & shown_later))
        return torch.where(content, starts.long().cumsum(1) - 1, -1)


def _carried(kinds: Tensor) -> Tensor:
    """Return each token's kind (B, T), for a GLUED one that of the last token before it which is not.

    After a bare marker it is GLUED: there, it is what the word begins with.
    """
    if not kinds.shape[1]:
        return kinds
    places = torch.arange(kinds.shape[1], device=kinds.device)
    known = torch.where(kinds != Kind.GLUED, places, 0)
    carried = kinds.gather(1, known.cummax(1).values)
    return torch.where((kinds == Kind.GLUED) & (carried == Kind.EMPTY), kinds, carried)


def token_units(content: Tensor) -> Tensor:
    """Give each token a distinct index: (B, T) int64, -1 outside ``content``.

    >>> token_units(torch.tensor([[False, True, True, False]])).tolist()
    [[-1, 0, 1, -1]]
    """
    return torch.where(content, content.long().cumsum(1) - 1, -1)


def pool_units(states: Tensor, unit_ids: Tensor, pooling: Pooling = "mean") -> tuple[Tensor, Tensor]:
    """Pool token states into unit states.

    Parameters
    ----------
    states
        (B, T, D) token states.
    unit_ids
        (B, T) int64 unit of each token, -1 for tokens that carry no mass; non-decreasing in a row.
    pooling
        ``mean`` of the unit's tokens, or its ``first`` or ``last`` token.

    Returns
    -------
    units, mask
        (B, U, D) float32 (float64 stays) and (B, U) bool; padded units are zero. Differentiable in
        ``states``; takes B*U*T weights. Reads U from the device once.

    Examples
    --------
    >>> states = torch.tensor([[[9.0], [1.0], [3.0], [5.0]]])
    >>> units, mask = pool_units(states, torch.tensor([[-1, 0, 0, 1]]))
    >>> units.squeeze(-1).tolist(), mask.tolist()
    ([[2.0, 5.0]], [[True, True]])
    """
    if states.dtype in (torch.float16, torch.bfloat16):
        states = states.float()
    count = int(unit_ids.max()) + 1 if unit_ids.numel() else 0
    member = unit_ids[:, None, :] == torch.arange(count, device=unit_ids.device)[None, :, None]
    mask = member.any(2)
    chosen = member
    if pooling == "first":
        chosen = (
            member & (unit_ids != unit_ids.roll(1, dims=1)).index_fill(1, unit_ids.new_zeros(1), True)[:, None, :]
        )
    elif pooling == "last":
        end = unit_ids.new_full((1,), unit_ids.shape[1] - 1)
        chosen = member & (unit_ids != unit_ids.roll(-1, dims=1)).index_fill(1, end, True)[:, None, :]
    weights = chosen.to(states.dtype)
    weights = weights / weights.sum(2, keepdim=True).clamp_min(1)
    clean = torch.where((unit_ids >= 0)[:, :, None], states, 0)
    return torch.bmm(weights, clean), mask


def _shifted(content: Tensor) -> Tensor:
    """Return ``content`` shifted by one token; False before the first token."""
    return torch.cat([torch.zeros_like(content[:, :1]), content[:, :-1]], dim=1)
