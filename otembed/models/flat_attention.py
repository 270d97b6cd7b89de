"""Attention within each text of a flat batch, on processors that have no kernel for texts of different lengths.

A flat batch is one sequence (1, S) of the tokens of all texts, without padding, sorted by length. All layers of an
encoder but attention treat tokens independently, so they compute a flat batch as they compute any other. Attention is
computed for all texts of one length at once, without a mask.

Axes: S tokens of all texts, n texts of t tokens each, H heads, d dimensions of a head.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from torch import Tensor, nn
    from transformers import PreTrainedModel

# The name under which transformers calls ``attend``.
IMPLEMENTATION = "otembed_flat"
# Architectures of transformers whose attention knows only the positions that it is given. Their first position comes
# after those reserved for padding in the RoBERTa family.
_FIRST_POSITION_IS_0 = frozenset({"bert", "distilbert", "electra", "modernbert"})
_FIRST_POSITION_FOLLOWS_PADDING = frozenset({"camembert", "roberta", "xlm-roberta"})


class TextGroups:
    """Groups of texts of equal length, in the order of a flat batch.

    Parameters
    ----------
    lengths
        Number of tokens of each text, sorted.

    Attributes
    ----------
    shapes
        Number of texts and their length, by group.
    sizes
        Number of tokens of each group.
    calls
        How often attention was computed with these groups.
    """

    def __init__(self, lengths: Iterable[int]) -> None:
        counts: dict[int, int] = {}
        for length in lengths:
            counts[length] = counts.get(length, 0) + 1
        self.shapes = [(count, length) for length, count in counts.items()]
        self.sizes = [count * length for count, length in self.shapes]
        self.calls = 0


def first_position(transformer: PreTrainedModel) -> int | None:
    """Return the position of the first token of a text, or None if ``transformer`` cannot compute flat batches.

    It can if its class is one of transformers' own (code from elsewhere may add attention biases), attends in both
    directions, computes attention with PyTorch's ``scaled_dot_product_attention``, and keeps its activations (gradient
    checkpointing calls layers again in the backward pass, outside of :func:`flat_attention`).
    """
    config: Any = transformer.config
    if not type(transformer).__module__.startswith("transformers.models.") or getattr(config, "is_decoder", False):
        return None
    if config._attn_implementation != "sdpa":
        return None
    if any(getattr(each, "gradient_checkpointing", False) for each in transformer.modules()):
        return None
    if config.model_type in _FIRST_POSITION_IS_0:
        return 0
    if config.model_type in _FIRST_POSITION_FOLLOWS_PADDING:
        return int(config.pad_token_id) + 1
    return None


@contextmanager
def flat_attention(transformer: PreTrainedModel) -> Iterator[None]:
    """Make ``transformer`` compute attention by :func:`attend`, without a mask, while the context is open."""
    config: Any = transformer.config
    before = config._attn_implementation
    config._attn_implementation = IMPLEMENTATION
    try:
        yield
    finally:
        config._attn_implementation = before


def attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    text_groups: TextGroups | None = None,
    sliding_window: int | None = None,
    **rest: Any,
) -> tuple[Tensor, None]:
    """Compute attention within the texts of a flat batch; differentiable.

    Parameters
    ----------
    query, key, value
        (1, H, S, d).
    text_groups
        Texts of the flat batch. Without them, each token attends to all, which the caller can tell by the number of
        ``calls``.
    sliding_window
        Distance from which tokens do not see each other; None: none.

    Returns
    -------
    output, weights
        (1, S, H, d), and None.
    """
    if text_groups is None:
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **rest
        )
    text_groups.calls += 1
    heads, dimensions = query.shape[1], query.shape[3]
    parts = [torch.split(each.transpose(1, 2)[0], text_groups.sizes) for each in (query, key, value)]
    outputs = []
    for (count, length), *group in zip(text_groups.shapes, *parts, strict=True):
        queries, keys, values = (each.view(count, length, heads, dimensions).transpose(1, 2) for each in group)
        output = scaled_dot_product_attention(
            queries,
            keys,
            values,
            attn_mask=_near(length, sliding_window, query.device),
            dropout_p=dropout,
            scale=scaling,
        )
        outputs.append(output.transpose(1, 2).reshape(-1, heads, dimensions))
    return torch.cat(outputs).unsqueeze(0), None


def _near(length: int, window: int | None, device: torch.device) -> Tensor | None:
    """Return which tokens of a text see each other, (t, t), or None if all do."""
    if window is None or length <= window:
        return None
    place = torch.arange(length, device=device)
    return (place[:, None] - place).abs() < window


AttentionInterface.register(IMPLEMENTATION, attend)
