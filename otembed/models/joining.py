"""Put the outputs of the slices of a batch together.

Axes: B sentences, T tokens of the padded batch, n sentences and t tokens of a padded slice, S tokens of a flat slice, D
dimensions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from otembed.models.cutting import FlatSlice

if TYPE_CHECKING:
    from collections.abc import Sequence

    from otembed.models.cutting import AnySlice

# Outputs with one row per sentence. Anything else, such as attention maps or a key-value cache, is not joined.
_JOINED = frozenset({"last_hidden_state", "hidden_states", "pooler_output"})


def is_joined(output: Any) -> bool:
    """Say whether the output of a slice has a row for each sentence, and nothing else."""
    return isinstance(output, dict) and all(value is None or name in _JOINED for name, value in output.items())


def join_outputs(outputs: list[Any], slices: Sequence[AnySlice], batch: int, width: int) -> Any:
    """Return the output of a batch of B sentences and T tokens, of the type of those of its slices; differentiable."""

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


def column_of(output: Any, column: int, counts: Sequence[int], width: int) -> Any:
    """Return the output of one of several columns that were computed together."""

    def part(tensor: Tensor) -> Tensor:
        rows = torch.split(tensor, list(counts))[column]
        return rows[:, :width] if rows.ndim > 2 else rows

    return type(output)(
        **{
            name: part(value) if isinstance(value, Tensor) else tuple(map(part, value))
            for name, value in output.items()
        }
    )


class _Join(torch.autograd.Function):
    """Outputs (n, t, D) or (n, D) of slices, as (B, T, D) with zeros at padding or (B, D); (1, S, D) of flat slices."""

    @staticmethod
    def forward(ctx: Any, slices: Sequence[AnySlice], shape: tuple[int, int], *parts: Tensor) -> Tensor:
        ctx.slices = slices
        ctx.shapes = [each.shape for each in parts]
        first = parts[0]
        joined = first.new_zeros(
            *(shape if first.ndim > 2 else shape[:1]), *first.shape[2 if first.ndim > 2 else 1 :]
        )
        for each, part in zip(slices, parts, strict=True):
            if isinstance(each, FlatSlice):
                joined[_place(each, part)] = part[0, : len(each.rows)] if part.ndim > 2 else part[0]
            else:
                joined[_place(each, part)] = part
        return joined

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
        parts = zip(ctx.slices, ctx.shapes, strict=True)
        return None, None, *(_of_part(gradient, each).view(shape) for each, shape in parts)


def _of_part(gradient: Tensor, part: AnySlice) -> Tensor:
    """Return the gradient of the output of a slice; nothing depends on the tokens that fill it up."""
    found = gradient[_place(part, gradient)]
    return pad(found, (0, 0, 0, part.filling)) if isinstance(part, FlatSlice) and gradient.ndim > 2 else found


def _place(part: AnySlice, tensor: Tensor) -> tuple[Any, ...]:
    return (part.rows, part.columns) if tensor.ndim > 2 else (part.rows,)
