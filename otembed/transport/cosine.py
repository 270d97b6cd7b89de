"""Cosine costs with a custom backward pass: on a CPU, the product takes most of the time of transport.

Axes: B problems, N source units, M target units, D dimensions.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

# Number of multiply-adds per problem above which separate products without padding are faster.
_LARGE = 1 << 21


def cosine_cost(x: Tensor, y: Tensor) -> Tensor:
    r"""Return :math:`1 - \langle x, y\rangle / (|x| |y|)` for float vectors (B, N, D) and (B, M, D).

    With :math:`S = 1 - C` and upstream gradient G, :math:`\partial L / \partial x_i =
    -\sum_j G_{ij} (\hat y_j - S_{ij} \hat x_i) / |x_i|`, so the graph keeps the inputs and the costs but no unit
    vectors. A second derivative differentiates the formula itself.
    """
    cost: Tensor = _CosineCost.apply(x, y)  # type: ignore[no-untyped-call]
    return cost


class _CosineCost(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor) -> Tensor:
        inverse_x, inverse_y = inverse_norms(x), inverse_norms(y)
        ctx.cuts = _cuts(inverse_x, inverse_y, x.shape[2])
        similarity = _product(x, y.mT, ctx.cuts, (0, 1))
        # Scaling the product instead of a side avoids passes over the vectors, which are longer than its rows.
        cost = similarity.mul_(inverse_x).mul_(inverse_y.mT).neg_().add_(1.0)
        ctx.save_for_backward(x, y, inverse_x, inverse_y, cost)
        return cost

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        x, y, inverse_x, inverse_y, cost = ctx.saved_tensors
        needed = ctx.needs_input_grad
        if torch.is_grad_enabled():  # create_graph=True
            wanted = [each for each, asked in zip((x, y), needed, strict=True) if asked]
            found = iter(torch.autograd.grad(_formula(x, y), wanted, upstream, create_graph=True))
            return tuple(next(found) if asked else None for asked in needed)
        weighted = (upstream * inverse_x).mul_(inverse_y.mT)
        pulled = torch.addcmul(upstream, upstream, cost, value=-1.0)
        grad_x = grad_y = None
        if needed[0]:
            along = pulled.sum(2, keepdim=True) * inverse_x.square()
            grad_x = _product(weighted, y, ctx.cuts, (0, 2)).neg_().addcmul_(x, along)
        if needed[1]:
            along = pulled.sum(1)[:, :, None] * inverse_y.square()
            grad_y = _product(weighted.mT, x, ctx.cuts, (1, 2)).neg_().addcmul_(y, along)
        return grad_x, grad_y


def _formula(x: Tensor, y: Tensor) -> Tensor:
    return 1.0 - ((x * inverse_norms(x)) @ y.mT) * inverse_norms(y).mT


def inverse_norms(x: Tensor) -> Tensor:
    """Return inverse norms (B, N, 1); 0 for a zero vector, which gets no gradient, and NaN where the square overflows."""
    squared: Tensor = torch.linalg.vecdot(x, x)[:, :, None]
    zero = squared < torch.finfo(x.dtype).tiny
    return squared.masked_fill(zero, 1.0).rsqrt().masked_fill(zero, 0.0).masked_fill(squared == math.inf, math.nan)


def _cuts(inverse_x: Tensor, inverse_y: Tensor, dimensions: int) -> list[tuple[int, int, int]] | None:
    """Return N, M and D of every problem without trailing zero vectors; None to multiply the batch as a whole."""
    n, m = inverse_x.shape[1], inverse_y.shape[1]
    if inverse_x.device.type != "cpu" or n * m * dimensions < _LARGE:
        return None
    lengths = []
    for inverse in (inverse_x, inverse_y):
        places = torch.arange(1, inverse.shape[1] + 1)
        lengths.append(((inverse[:, :, 0] != 0) * places).amax(1).tolist())
    return [(rows, columns, dimensions) for rows, columns in zip(*lengths, strict=True)]


def _product(
    left: Tensor, right: Tensor, cuts: list[tuple[int, int, int]] | None, outer: tuple[int, int]
) -> Tensor:
    """Multiply (B, ., .) by (B, ., .); ``outer`` tells which of N, M and D are the rows and columns of the result."""
    if cuts is None:
        return left @ right
    result = left.new_zeros(len(left), left.shape[1], right.shape[2])
    inner = 3 - sum(outer)
    for place, sizes in enumerate(cuts):
        rows, shared, columns = sizes[outer[0]], sizes[inner], sizes[outer[1]]
        result[place, :rows, :columns] = left[place, :rows, :shared] @ right[place, :shared, :columns]
    return result
