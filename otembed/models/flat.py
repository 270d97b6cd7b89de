"""Flat batches: with Flash Attention, sentence-transformers concatenates texts instead of padding them.

A flat batch has ``input_ids`` (1, S) and no ``attention_mask``; ``cu_seq_lens_q`` (B + 1,) holds the bounds of the texts
and ``max_length_q`` the length of the longest.

Axes: B texts, S tokens of all texts, T tokens of the longest text.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

_BOUNDS = ("cu_seq_lens_q", "cu_seq_lens_k")
_LONGEST = ("max_length_q", "max_length_k")


def is_flat(features: dict[str, Any]) -> bool:
    """Return True if the texts of a batch are concatenated."""
    return "cu_seq_lens_q" in features


def text_lengths(features: dict[str, Any]) -> Tensor:
    """Return the number of tokens of each text of a flat batch, (B,)."""
    lengths: Tensor = features["cu_seq_lens_q"].diff()
    return lengths


def padded(tensor: Tensor, features: dict[str, Any]) -> Tensor:
    """Return values per token of a flat batch, (1, S, ...), as (B, T, ...), with zeros at padding. Differentiable."""
    lengths = text_lengths(features).long()
    count, width = len(lengths), int(features["max_length_q"])
    rows = torch.arange(count, device=tensor.device)
    row_of_token = torch.repeat_interleave(rows, lengths, output_size=tensor.shape[1])
    start = features["cu_seq_lens_q"][:-1].long()
    place = torch.arange(tensor.shape[1], device=tensor.device) - start[row_of_token]
    empty = tensor.new_zeros(count * width, *tensor.shape[2:])
    return empty.index_copy(0, row_of_token * width + place, tensor[0]).view(count, width, *tensor.shape[2:])


def padded_text(features: dict[str, Any]) -> dict[str, Any]:
    """Return the features of a flat batch with ``input_ids`` and ``attention_mask`` (B, T)."""
    ids = features["input_ids"]
    return {
        **features,
        "input_ids": padded(ids, features),
        "attention_mask": padded(torch.ones_like(ids), features),
    }


def cut_flat(features: dict[str, Any], begin: int, end: int) -> dict[str, Any]:
    """Return some texts of a flat batch as a flat batch."""
    total = features["input_ids"].shape[1]
    bounds = features["cu_seq_lens_q"][begin : end + 1]
    first, last = int(bounds[0]), int(bounds[-1])
    longest = int(bounds.diff().max())
    chunk: dict[str, Any] = {}
    for name, value in features.items():
        if name in _BOUNDS:
            chunk[name] = bounds - first
        elif name in _LONGEST:
            chunk[name] = longest
        elif isinstance(value, Tensor) and value.ndim == 2 and value.shape == (1, total):
            tokens = value[:, first:last]
            chunk[name] = tokens - begin if name == "seq_idx" else tokens
        else:
            chunk[name] = value
    return chunk
