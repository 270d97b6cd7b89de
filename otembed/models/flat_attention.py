"""Attention within each text of a flat batch, on processors that have no kernel for texts of different lengths.

A flat batch is one sequence (1, S) of the tokens of all texts, without padding, sorted by length. All layers of an
encoder but attention treat tokens independently, so they compute a flat batch as they compute any other. Attention is
computed for all texts of one length at once, without a mask.

PyTorch's ``scaled_dot_product_attention`` does that, group by group. In training with dropout, it would compute each group in
thirty small operations, a sixth to a quarter of a step; :class:`_Attention` computes the same in ten.

Axes: S tokens of all texts, n texts of t tokens each, H heads, d dimensions of a head.
"""

from __future__ import annotations

from contextlib import contextmanager
from itertools import groupby
from typing import TYPE_CHECKING, Any

import torch
from torch.autograd.function import once_differentiable
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from otembed.models.dropout import has_levels, keep_mask

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from torch import Tensor, nn
    from transformers import PreTrainedModel

# Attention weights that are computed at once: they stay in the cache of a processor core while ten operations read them.
CACHED_ENTRIES = 1 << 17
# The name under which transformers calls ``attend``.
IMPLEMENTATION = "otembed_flat"
# Architectures of transformers whose attention knows only the positions that it is given. Their first position comes
# after those reserved for padding in the RoBERTa family.
_FIRST_POSITION_IS_0 = frozenset({"bert", "distilbert", "electra", "modernbert"})
_FIRST_POSITION_FOLLOWS_PADDING = frozenset({"camembert", "roberta", "xlm-roberta"})


class TextGroups:
    """Groups of texts of equal length that follow each other in a flat batch.

    Parameters
    ----------
    lengths
        Number of tokens of each text.

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
        self.shapes = [(len(list(texts)), length) for length, texts in groupby(lengths)]
        self.sizes = [count * length for count, length in self.shapes]
        self.calls = 0
        self._places: dict[int, tuple[Tensor, Tensor]] = {}

    def places(self, heads: int) -> tuple[Tensor, Tensor]:
        """Return the order that puts the matrices (t, d) of each text and head together, and its inverse.

        Parameters
        ----------
        heads
            H.

        Returns
        -------
        order, inverse
            (S H,) places in the rows of a flat batch (S, H, d), by group, text, head and token; and those of the rows in
            this order.
        """
        if heads not in self._places:
            rows = torch.arange(sum(self.sizes) * heads)
            order = torch.cat(
                [
                    group.view(count, length, heads).transpose(1, 2).flatten()
                    for (count, length), group in zip(
                        self.shapes, torch.split(rows, [heads * size for size in self.sizes]), strict=True
                    )
                ]
            )
            inverse = torch.empty_like(order)
            inverse[order] = rows
            self._places[heads] = order, inverse
        return self._places[heads]


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
    flat = [each.transpose(1, 2)[0] for each in (query, key, value)]
    longest = max(length for _, length in text_groups.shapes)
    if has_levels(dropout) and (sliding_window is None or longest <= sliding_window):
        scale = dimensions**-0.5 if scaling is None else scaling
        found: Tensor = _Attention.apply(*flat, text_groups, dropout, scale)  # type: ignore[no-untyped-call]
        return found.unsqueeze(0), None
    autocast = torch.is_autocast_enabled("cpu")
    if torch.is_grad_enabled():
        # The gradient of short texts takes PyTorch four times as long in bfloat16 as in float32.
        flat = [each.to(torch.promote_types(each.dtype, torch.float32)) for each in flat]
        autocast = False
    outputs = []
    with torch.autocast("cpu", enabled=autocast):
        for (count, length), *group in zip(
            text_groups.shapes, *(torch.split(each, text_groups.sizes) for each in flat), strict=True
        ):
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
    return torch.cat(outputs).unsqueeze(0).to(query.dtype), None


class _Attention(torch.autograd.Function):
    """Attention with dropout within the texts of a flat batch, (S, H, d), in float32 or float64 whatever the type of the input.

    With P the softmax of scaled scores and M the mask of dropout, divided by the probability of a one: the output is
    (P * M) V, as in ``scaled_dot_product_attention``.
    """

    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, groups: TextGroups, dropout: float, scale: float
    ) -> Tensor:
        order, inverse = groups.places(query.shape[1])
        exact = torch.promote_types(query.dtype, torch.float32)
        with torch.autocast("cpu", enabled=False):
            queries, keys, values = (_placed(each, order, exact) for each in (query, key, value))
            queries *= scale
            matrices = _Matrices(groups, *query.shape[1:])
            mask, kept = keep_mask(matrices.entries, dropout, exact)
            mask *= kept
            output = torch.empty_like(values)
            weights = []
            for q, k, v, out, m in matrices.of(queries, keys, values, output, weights=mask):
                weights.append(torch.bmm(q, k.mT).softmax(-1))
                torch.bmm(weights[-1] * m, v, out=out)
        ctx.save_for_backward(queries, keys, values, mask, *weights)
        ctx.matrices, ctx.scale = matrices, scale
        return _placed(output, inverse, query.dtype).view(query.shape)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        queries, keys, values, mask, *weights = ctx.saved_tensors
        order, inverse = ctx.matrices.groups.places(gradient.shape[1])
        with torch.autocast("cpu", enabled=False):
            gradients = _placed(gradient, order, queries.dtype)
            found = [torch.empty_like(queries) for _ in range(3)]
            parts = ctx.matrices.of(queries, keys, values, gradients, *found, weights=mask)
            for p, (q, k, v, g, of_q, of_k, of_v, m) in zip(weights, parts, strict=True):
                torch.bmm((p * m).mT, g, out=of_v)
                of_p = torch.bmm(g, v.mT).mul_(m)
                of_scores = torch._softmax_backward_data(of_p, p, -1, p.dtype)
                torch.bmm(of_scores, k, out=of_q)
                torch.bmm(of_scores.mT, q, out=of_k)
            found[0] *= ctx.scale
        back = (_placed(each, inverse, gradient.dtype).view(gradient.shape) for each in found)
        return *back, None, None, None


class _Matrices:
    """The matrices of texts of equal length, in tensors in the order of :meth:`TextGroups.places`, a few at a time."""

    def __init__(self, groups: TextGroups, heads: int, dimensions: int) -> None:
        self.groups = groups
        self._rows: list[tuple[int, int, int]] = []
        for count, length in groups.shapes:
            most = max(CACHED_ENTRIES // length**2, 1)
            for begin in range(0, count * heads, most):
                self._rows.append((min(most, count * heads - begin), length, dimensions))
        self._weights = [(count, length, length) for count, length, _ in self._rows]
        self.entries = sum(count * length * length for count, length, _ in self._weights)

    def of(self, *rows: Tensor, weights: Tensor) -> Iterator[tuple[Tensor, ...]]:
        """Yield views of each of ``rows``, (matrices, t, d), and of ``weights``, (matrices, t, t)."""
        sizes = [count * length for count, length, _ in self._rows]
        entries = [count * length * length for count, length, _ in self._weights]
        split = (*(torch.split(each, sizes) for each in rows), torch.split(weights, entries))
        for shape, square, *parts in zip(self._rows, self._weights, *split, strict=True):
            yield *(each.view(shape) for each in parts[:-1]), parts[-1].view(square)


def _placed(tensor: Tensor, order: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the rows (S H, d) of a tensor, (S, H, d) or rows themselves, in an order."""
    return tensor.reshape(-1, tensor.shape[-1]).index_select(0, order).to(dtype)


def _near(length: int, window: int | None, device: torch.device) -> Tensor | None:
    """Return which tokens of a text see each other, (t, t), or None if all do."""
    if window is None or length <= window:
        return None
    place = torch.arange(length, device=device)
    return (place[:, None] - place).abs() < window


AttentionInterface.register(IMPLEMENTATION, attend)
