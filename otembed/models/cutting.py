"""Cut a padded batch into slices, so that no or little padding is computed.

On a CPU, where the architecture allows it, a slice is flat: the tokens of its sentences follow each other in one row, with
less than 32 tokens of padding at its end, or none.
Elsewhere a slice is padded and holds sentences of similar length.

Axes: B sentences, T tokens of the padded batch, n sentences and t tokens of a padded slice, S tokens of a flat slice.
"""

from __future__ import annotations

from dataclasses import dataclass
from inspect import signature
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from otembed.models.flat_attention import TextGroups, first_position
from otembed.runtime.arithmetic import onednn_is_faster

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from transformers import PreTrainedModel

# A padded slice costs as much as this many additional tokens: launching its operations, reading the weights once more,
# and adding its part to their gradients. Measured on a CPU for 12 layers of 384 to 768 dimensions; the value for other
# devices is an estimate, since nothing has been measured there.
OVERHEAD_ON_CPU = 48
OVERHEAD_ELSEWHERE = 4096
# Tokens beyond which a slice, padded or flat, no longer fits into the caches of a CPU.
LIMIT_ON_CPU = 1024
FLAT_LIMIT = 2048
# oneDNN, which multiplies in bfloat16 and in float32 where that is faster, compiles a kernel for each number of rows: nine
# for the layers of a training step, in 2 to 8 ms each. So slices are filled up to a multiple of this many tokens.
COMPILED_ROWS = 32
# Inputs (B, T) of a flat slice; with others, slices are padded.
PER_TOKEN = frozenset({"input_ids", "attention_mask", "token_type_ids"})
_NOT_CUT = ("inputs_embeds", "past_key_values", "output_attentions", "cu_seq_lens_q")


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
class PaddedSlice:
    """Rows (n,) of the batch, and the columns that they need."""

    rows: Tensor
    columns: slice

    @property
    def place(self) -> tuple[Tensor, slice]:
        """Rows and columns that the encoder is run on."""
        return self.rows, self.columns

    def inputs(self, values: dict[str, Any], batch: int) -> dict[str, Any]:
        """Return the inputs of the encoder for this slice."""
        return {name: self._of(value, batch) for name, value in values.items()}

    def _of(self, value: Any, batch: int) -> Any:
        if not isinstance(value, Tensor):
            return value
        rows = value[self.rows] if len(value) == batch else value
        return rows[:, self.columns] if rows.ndim == 2 else rows


@dataclass(frozen=True)
class FlatSlice:
    """Row and column (S,) of each token, the position of first tokens, and the texts that they belong to.

    The encoder is run on some more tokens, ``filling``, whose states are not used.
    """

    rows: Tensor
    columns: Tensor
    first: int
    groups: TextGroups
    filling: int

    @classmethod
    def of(cls, rows: NDArray[np.int64], lengths: NDArray[np.int64], first: int, *, multiple: int = 1) -> FlatSlice:
        """Return the slice of some rows of a batch on a CPU, given the lengths of all, filled up to a multiple."""
        each = lengths[rows]
        begins = np.cumsum(each) - each
        columns = np.arange(each.sum()) - np.repeat(begins, each)
        filling = int(-each.sum() % multiple)
        groups = TextGroups([*each.tolist(), *([filling] if filling else [])])
        return cls(torch.from_numpy(np.repeat(rows, each)), torch.from_numpy(columns), first, groups, filling)

    @property
    def place(self) -> tuple[Tensor, Tensor]:
        """Row and column of each token that the encoder is run on; the first token fills the slice up."""
        rows, columns = (torch.cat([each, each[:1].expand(self.filling)]) for each in (self.rows, self.columns))
        return rows, columns

    def inputs(self, values: dict[str, Any], batch: int) -> dict[str, Any]:
        """Return the inputs of the encoder for this slice."""
        rows, columns = self.place
        own = {
            name: value[rows, columns].unsqueeze(0) if isinstance(value, Tensor) else value
            for name, value in values.items()
        }
        return own | {
            "attention_mask": None,
            "position_ids": (columns + self.first).unsqueeze(0),
            "text_groups": self.groups,
        }


AnySlice = PaddedSlice | FlatSlice


def cut(
    transformer: PreTrainedModel, inputs: dict[str, Any], padding: int | None, *, flat: bool
) -> Sequence[AnySlice] | None:
    """Return the slices of a batch, or None if ``transformer`` is to be run on it as it is.

    Parameters
    ----------
    transformer
        Its architecture decides whether slices can be flat.
    inputs
        Arguments of its ``forward``, by name.
    padding
        Id of the padding token, if there is one.
    flat
        Whether slices may be flat.
    """
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
    if padding is not None:  # masked tokens of query expansion are not padding: their states are read
        needed = needed | (ids != padding)
    ends = width - needed.flip(1).int().argmax(1)
    starts = needed.int().argmax(1)
    left, right = bool((starts > 0).any()), bool((ends < width).any())
    if left == right or (left and not cuts_left(transformer)):
        return None
    lengths = (width - starts if left else ends).cpu().numpy()
    first = flat_position(transformer, ids.device) if flat and right else None
    if first is not None and _is_flat(inputs, lengths):
        multiple = _row_multiple(transformer)
        return [
            FlatSlice.of(each, lengths, first, multiple=multiple) for each in cut_by_tokens(lengths, FLAT_LIMIT)
        ]
    rows = cut_by_length(lengths, 6 * transformer.config.hidden_size, overhead, LIMIT_ON_CPU if on_cpu else None)
    longest = [int(lengths[each].max()) for each in rows]
    return [
        PaddedSlice(
            torch.from_numpy(each).to(ids.device),
            slice(width - length if left else 0, width if left else length),
        )
        for each, length in zip(rows, longest, strict=True)
    ]


def cuts_left(transformer: PreTrainedModel) -> bool:
    """Say whether padding on the left may be cut off.

    The transformer must take ``position_ids``, and attention must depend on their differences alone, as with rotary
    embeddings: absolute positions count from the first column in one architecture, from the first token in another.
    """
    rotary = any(type(module).__name__.endswith("RotaryEmbedding") for module in transformer.modules())
    return rotary and "position_ids" in signature(type(transformer).forward).parameters


def flat_position(transformer: PreTrainedModel, device: torch.device) -> int | None:
    """Return the position of the first token of a sentence in a flat slice, or None if slices are padded."""
    return first_position(transformer) if device.type == "cpu" else None


def _row_multiple(transformer: PreTrainedModel) -> int:
    """Return what the number of rows of a product must be a multiple of, so that few kernels are compiled."""
    compiled = torch.is_autocast_enabled("cpu") or transformer.dtype != torch.float32 or onednn_is_faster()
    return COMPILED_ROWS if compiled else 1


def _is_cut(value: Any, batch: int, width: int) -> bool:
    """Say whether an input is cut with the batch: one value per sentence, or one per token."""
    return not isinstance(value, Tensor) or tuple(value.shape) in {(batch,), (batch, width), (1, width)}


def _is_flat(inputs: dict[str, Any], lengths: NDArray[np.int64]) -> bool:
    """Say whether a batch can be computed flat: all that it has per token is known, and no token is masked within a text."""
    mask: Tensor = inputs["attention_mask"]
    for name, value in inputs.items():
        if isinstance(value, Tensor) and (name not in PER_TOKEN or value.shape != mask.shape):
            return False
    filled = torch.arange(mask.shape[1]) < torch.from_numpy(lengths)[:, None]
    return torch.equal(mask.bool(), filled)
