"""Run an encoder on slices of a batch, so that no or little padding is computed.

On a CPU, where the architecture allows it, a slice is flat: the tokens of its sentences follow each other in one row.
Elsewhere a slice is padded and holds sentences of similar length.

Axes: B sentences, T tokens of the padded batch, n sentences and t tokens of a padded slice, S tokens of a flat slice.
"""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from inspect import signature
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from otembed.models.flat_attention import TextGroups, first_position, flat_attention
from otembed.models.onednn import fast_linear

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray
    from sentence_transformers.base import BaseModel

# A padded slice costs as much as this many additional tokens: launching its operations, reading the weights once more,
# and adding its part to their gradients. Measured on a CPU for 12 layers of 384 to 768 dimensions; the value for other
# devices is an estimate, since nothing has been measured there.
OVERHEAD_ON_CPU = 48
OVERHEAD_ELSEWHERE = 4096
# Tokens beyond which a slice, padded or flat, no longer fits into the caches of a CPU.
LIMIT_ON_CPU = 1024
FLAT_LIMIT = 2048
# Inputs (B, T) of a flat slice; with others, slices are padded.
_PER_TOKEN = frozenset({"input_ids", "attention_mask", "token_type_ids"})
# Outputs with one row per sentence. Anything else, such as attention maps or a key-value cache, is not joined.
_JOINED = frozenset({"last_hidden_state", "hidden_states", "pooler_output"})
_NOT_CUT = ("inputs_embeds", "past_key_values", "output_attentions", "cu_seq_lens_q")


@contextmanager
def sliced(model: BaseModel | PreTrainedModel) -> Iterator[None]:
    """Make the transformer of ``model`` compute padded batches in slices while the context is open.

    A batch is sorted by length, computed in slices, and put together in its order. On a CPU, the slices of the BERT,
    RoBERTa, XLM-R, DistilBERT, ELECTRA and ModernBERT families are flat, without padding; other slices are padded, and
    the batch is cut where that saves more padding than another slice costs. Token embeddings, hidden layers, pooled
    outputs and gradients are those of the padded call up to rounding. States at padding have no meaning, as in the
    padded call, and dropout draws other numbers. Linear layers are computed as :func:`fast_linear` does.

    Calls that cannot be cut run unchanged: inputs other than ids with a two-dimensional mask, requested
    attention maps, a key-value cache, flattened batches, and compiled models.

    Parameters
    ----------
    model
        A sentence-transformers or transformers model; one without a transformer is left as it is. Contexts may be
        nested. Copies made of the model in the context compute in slices as well, on their own weights.
    """
    inner = model if isinstance(model, PreTrainedModel) else model.transformers_model
    transformer = None if inner is None else cast("Any", inner).base_model
    with fast_linear(model):
        if transformer is None or "forward" in vars(transformer):  # sliced already, or replaced by someone else
            yield
            return
        tokenizer = getattr(model, "tokenizer", None) or transformer.config
        transformer.forward = _Sliced(transformer, tokenizer.pad_token_id)
        try:
            yield
        finally:
            del transformer.forward


@contextmanager
def unsliced(model: BaseModel | PreTrainedModel) -> Iterator[None]:
    """Suspend :func:`sliced` while the context is open: batches are computed padded, to the same bits as outside of it."""
    inner = model if isinstance(model, PreTrainedModel) else model.transformers_model
    transformer: Any = None if inner is None else cast("Any", inner).base_model
    forward = None if transformer is None else vars(transformer).get("forward")
    if not isinstance(forward, _Sliced):
        yield
        return
    del transformer.forward
    try:
        yield
    finally:
        transformer.forward = forward


def cut_by_length(
    lengths: NDArray[np.int64], width: float, overhead: int, limit: int | None
) -> list[NDArray[np.int64]]:
    """Return the rows of each slice such that the cost of all slices is the lowest.

    A slice of n sentences and t tokens each costs ``overhead + n t (1 + t / width)`` tokens. The second term is
    attention: with hidden size d, it takes 4 t d operations per token and layer, all else 24 d^2, so ``width`` is 6 d.

    Parameters
    ----------
    lengths
        (B,) number of tokens of each sentence.
    width
        Length at which attention costs as much as all else.
    overhead
        Cost of a slice in tokens.
    limit
        Maximum number of tokens in a slice of several sentences, padding included; ``None``: no limit.
    """
    order = np.argsort(-lengths, kind="stable")
    tokens = np.maximum(lengths[order], 1).astype(np.float64)
    each = tokens * (1 + tokens / width)
    lowest = np.zeros(len(order) + 1)
    begins = np.zeros(len(order) + 1, np.int64)
    for end in range(1, len(order) + 1):
        count = end - np.arange(end)
        cost = lowest[:end] + overhead + count * each[:end]
        if limit is not None:
            cost[(count * tokens[:end] > limit) & (count > 1)] = np.inf
        begins[end] = np.argmin(cost)
        lowest[end] = cost[begins[end]]
    slices, end = [], len(order)
    while end:
        slices.append(order[begins[end] : end])
        end = int(begins[end])
    return slices[::-1]


def cut_by_tokens(lengths: NDArray[np.int64], limit: int) -> list[NDArray[np.int64]]:
    """Return the rows of each flat slice: sorted by length, and about the same number of tokens in every slice.

    Parameters
    ----------
    lengths
        (B,) number of tokens of each sentence.
    limit
        Number of tokens that a slice should not exceed; the sentence at its end may.
    """
    order = np.argsort(-lengths, kind="stable")
    middles = np.cumsum(lengths[order]) - lengths[order] / 2
    count = -(-int(lengths.sum()) // limit)
    bounds = np.searchsorted(middles, lengths.sum() * np.arange(1, count) / count)
    return [each for each in np.split(order, bounds) if len(each)]


@dataclass(frozen=True)
class _Slice:
    """Rows (n,) of the batch, and the columns that they need."""

    rows: Tensor
    columns: slice

    def inputs(self, values: dict[str, Any], batch: int) -> dict[str, Any]:
        """Return the inputs of the encoder for this slice."""
        return {name: self._of(value, batch) for name, value in values.items()}

    def _of(self, value: Any, batch: int) -> Any:
        if not isinstance(value, Tensor):
            return value
        rows = value[self.rows] if len(value) == batch else value
        return rows[:, self.columns] if rows.ndim == 2 else rows


@dataclass(frozen=True)
class _FlatSlice:
    """Row and column (S,) of each token, the position of first tokens, and the texts that they belong to."""

    rows: Tensor
    columns: Tensor
    first: int
    groups: TextGroups

    @classmethod
    def of(cls, rows: NDArray[np.int64], lengths: NDArray[np.int64], first: int) -> _FlatSlice:
        """Return the slice of some rows of a batch on a CPU, given the lengths of all."""
        each = lengths[rows]
        begins = np.cumsum(each) - each
        columns = np.arange(each.sum()) - np.repeat(begins, each)
        return cls(
            torch.from_numpy(np.repeat(rows, each)), torch.from_numpy(columns), first, TextGroups(each.tolist())
        )

    def inputs(self, values: dict[str, Any], batch: int) -> dict[str, Any]:
        """Return the inputs of the encoder for this slice."""
        own = {
            name: value[self.rows, self.columns].unsqueeze(0) if isinstance(value, Tensor) else value
            for name, value in values.items()
        }
        return own | {
            "attention_mask": None,
            "position_ids": (self.columns + self.first).unsqueeze(0),
            "text_groups": self.groups,
        }


_AnySlice = _Slice | _FlatSlice


class _Sliced:
    """Stand in for ``forward`` of a transformer; a copy of the transformer gets a copy of this object."""

    def __init__(self, transformer: PreTrainedModel, padding: int | None) -> None:
        self._transformer = transformer
        self._padding = padding
        self._flat = True
        self._names = [
            name
            for name, each in signature(transformer.forward).parameters.items()
            if each.kind is each.POSITIONAL_OR_KEYWORD
        ]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        plain = type(self._transformer).forward
        if len(args) > len(self._names):
            return plain(self._transformer, *args, **kwargs)
        kwargs |= zip(self._names, args, strict=False)
        slices = self._slices(kwargs)
        if slices is None:
            return plain(self._transformer, **kwargs)
        ids = kwargs["input_ids"]
        batch, width = ids.shape
        on_the_left = any(isinstance(each, _Slice) and each.columns.start for each in slices)
        if on_the_left and kwargs.get("position_ids") is None:
            kwargs["position_ids"] = torch.arange(width, device=ids.device).expand(batch, width)
        calls = [each.inputs(kwargs, batch) for each in slices]
        outputs = []
        attention = flat_attention(self._transformer) if isinstance(slices[0], _FlatSlice) else nullcontext()
        with attention, _one_lookup(self._transformer, ids, slices, [each["input_ids"] for each in calls]):
            for call in calls:
                outputs.append(plain(self._transformer, **call))
                if not _is_joined(outputs[0]):
                    break
        if isinstance(slices[0], _FlatSlice) and not slices[0].groups.calls:
            # Attention is computed in some other way, across all texts.
            self._flat = False
            return self(**kwargs)
        if not _is_joined(outputs[0]):
            return plain(self._transformer, **kwargs)
        joined = _join_outputs(outputs, slices, batch, width)
        if isinstance(slices[0], _FlatSlice) and joined.get("pooler_output") is not None:
            joined["pooler_output"] = cast("Any", self._transformer).pooler(joined["last_hidden_state"])
        return joined

    def _slices(self, inputs: dict[str, Any]) -> Sequence[_AnySlice] | None:
        """Return the slices of a call, or None if it is to be run as it is."""
        ids, mask = inputs.get("input_ids"), inputs.get("attention_mask")
        if not isinstance(ids, Tensor) or not isinstance(mask, Tensor) or ids.ndim != 2 or mask.shape != ids.shape:
            return None
        if torch.compiler.is_compiling() or inputs.get("return_dict") is False:
            return None
        if any(inputs.get(name) is not None and inputs[name] is not False for name in _NOT_CUT):
            return None
        batch, width = ids.shape
        if not all(_is_cut(value, batch, width) for value in inputs.values()):
            return None
        on_cpu = ids.device.type == "cpu"
        overhead = OVERHEAD_ON_CPU if on_cpu else OVERHEAD_ELSEWHERE
        if batch * width <= overhead:
            return None
        needed = mask.bool()
        if self._padding is not None:  # masked tokens of query expansion are not padding: their states are read
            needed = needed | (ids != self._padding)
        ends = width - needed.flip(1).int().argmax(1)
        starts = needed.int().argmax(1)
        left, right = bool((starts > 0).any()), bool((ends < width).any())
        if left == right or (left and "position_ids" not in self._names):
            return None
        lengths = (width - starts if left else ends).cpu().numpy()
        first = first_position(self._transformer) if self._flat and on_cpu and right else None
        if first is not None and _is_flat(inputs, lengths):
            return [_FlatSlice.of(each, lengths, first) for each in cut_by_tokens(lengths, FLAT_LIMIT)]
        rows = cut_by_length(
            lengths, 6 * self._transformer.config.hidden_size, overhead, LIMIT_ON_CPU if on_cpu else None
        )
        longest = [int(lengths[each].max()) for each in rows]
        return [
            _Slice(
                torch.from_numpy(each).to(ids.device),
                slice(width - length if left else 0, width if left else length),
            )
            for each, length in zip(rows, longest, strict=True)
        ]


def _is_cut(value: Any, batch: int, width: int) -> bool:
    """Say whether an input is cut with the batch: one value per sentence, or one per token."""
    return not isinstance(value, Tensor) or tuple(value.shape) in {(batch,), (batch, width), (1, width)}


def _is_flat(inputs: dict[str, Any], lengths: NDArray[np.int64]) -> bool:
    """Say whether a batch can be computed flat: all that it has per token is known, and no token is masked within a text."""
    mask: Tensor = inputs["attention_mask"]
    for name, value in inputs.items():
        if isinstance(value, Tensor) and (name not in _PER_TOKEN or value.shape != mask.shape):
            return False
    filled = torch.arange(mask.shape[1]) < torch.from_numpy(lengths)[:, None]
    return torch.equal(mask.bool(), filled)


@contextmanager
def _one_lookup(
    transformer: PreTrainedModel, ids: Tensor, slices: Sequence[_AnySlice], parts: Sequence[Tensor]
) -> Iterator[None]:
    """Look up trained input embeddings once a batch: their gradient has the size of the matrix, for every slice."""
    matrix = transformer.get_input_embeddings()
    if not torch.is_grad_enabled() or not any(each.requires_grad for each in matrix.parameters()):
        yield
        return
    found = matrix(ids)

    def replaced(module: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor | None:
        for each, part in zip(slices, parts, strict=True):
            if args and args[0] is part:
                selected: Tensor = found[each.rows, each.columns].view_as(output)
                return selected
        return None

    handle = matrix.register_forward_hook(replaced)
    try:
        yield
    finally:
        handle.remove()


def _is_joined(output: Any) -> bool:
    return isinstance(output, dict) and all(value is None or name in _JOINED for name, value in output.items())


def _join_outputs(outputs: list[Any], slices: Sequence[_AnySlice], batch: int, width: int) -> Any:
    def joined(parts: Sequence[Tensor]) -> Tensor:
        made: Tensor = _Join.apply(slices, (batch, width), *parts)  # type: ignore[no-untyped-call]
        return made

    values: dict[str, Tensor | tuple[Tensor, ...]] = {}
    for name, first in outputs[0].items():
        parts = [each[name] for each in outputs]
        if isinstance(first, Tensor):
            values[name] = joined(parts)
        elif first is not None:
            values[name] = tuple(joined(layer) for layer in zip(*parts, strict=True))
    return type(outputs[0])(**values)


class _Join(torch.autograd.Function):
    """Outputs (n, t, D) or (n, D) of slices, as (B, T, D) with zeros at padding or (B, D); (1, S, D) of flat slices."""

    @staticmethod
    def forward(ctx: Any, slices: Sequence[_AnySlice], shape: tuple[int, int], *parts: Tensor) -> Tensor:
        ctx.slices = slices
        ctx.shapes = [each.shape for each in parts]
        first = parts[0]
        joined = first.new_zeros(
            *(shape if first.ndim > 2 else shape[:1]), *first.shape[2 if first.ndim > 2 else 1 :]
        )
        for each, part in zip(slices, parts, strict=True):
            joined[_place(each, part)] = part.squeeze(0) if isinstance(each, _FlatSlice) else part
        return joined

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
        parts = zip(ctx.slices, ctx.shapes, strict=True)
        return None, None, *(gradient[_place(each, gradient)].view(shape) for each, shape in parts)


def _place(part: _AnySlice, tensor: Tensor) -> tuple[Any, ...]:
    return (part.rows, part.columns) if tensor.ndim > 2 else (part.rows,)
