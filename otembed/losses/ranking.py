"""Rank the counterpart of each unit first, where a transport plan tells which units are counterparts.

Axes: B problems, N source units, M target units, D dimension, K and L all source and target units with mass.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from torch.utils.checkpoint import checkpoint

from otembed.transport import pairwise_cost

if TYPE_CHECKING:
    from torch import Tensor

    from otembed.transport import Metric


def plan_cross_entropy(
    x: Tensor,
    y: Tensor,
    a: Tensor,
    b: Tensor,
    plan: Tensor,
    *,
    metric: Metric,
    temperature: float,
    candidates: Literal["batch", "pair"],
    max_cells: int,
) -> Tensor:
    r"""Return the cross-entropy between a plan and the softmax of the negative costs, the mean of both directions.

    .. math:: \frac{1}{2 \sum P} \sum_{nij} P_{nij} \Big( -\log \frac{e^{-c_{ni,nj} / \tau}}{\sum_k e^{-c_{ni,k} / \tau}}
        - \log \frac{e^{-c_{ni,nj} / \tau}}{\sum_k e^{-c_{k,nj} / \tau}} \Big)

    n is a problem, i and j its units, and k goes over the candidates: the units with mass of the other side, of all problems
    or of problem n.

    Parameters
    ----------
    x, y
        (B, N, D) and (B, M, D) units.
    a, b
        (B, N) and (B, M) masses; 0 marks units that do not take part.
    plan
        (B, N, M) P, without gradient; 0 where a or b is.
    metric
        Cost c, see :func:`otembed.transport.pairwise_cost`.
    temperature
        Divisor :math:`\tau` of the costs.
    candidates
        ``batch`` or ``pair``.
    max_cells
        Number of costs between units of different problems in memory at a time: more are computed in blocks, and
        again in the backward pass.

    Returns
    -------
    Tensor
        Scalar, 0 for a plan without mass; differentiable in x and y.
    """
    total = plan.sum()
    if not total > 0:
        return 0.0 * (x.sum() + y.sum())
    scores = -pairwise_cost(x, y, metric=metric) / temperature
    if candidates == "pair":
        real = (a > 0)[:, :, None] & (b > 0)[:, None]
        # Not infinite, so that rows and columns of padding have a finite sum, which has no mass.
        ranked = scores.masked_fill(~real, torch.finfo(scores.dtype).min / 4)
        rows, columns = (ranked.logsumexp(axis, keepdim=True) for axis in (2, 1))
    else:
        of_x, of_y = _log_partitions(x[a > 0], y[b > 0], metric, temperature, max_cells)
        rows = of_x.new_zeros(a.shape).masked_scatter(a > 0, of_x)[:, :, None]
        columns = of_y.new_zeros(b.shape).masked_scatter(b > 0, of_y)[:, None]
    return (plan * (rows + columns - 2.0 * scores)).sum() / (2.0 * total)


def _log_partitions(
    x: Tensor, y: Tensor, metric: Metric, temperature: float, max_cells: int
) -> tuple[Tensor, Tensor]:
    """Return the log-sum-exp of the scores of all pairs of units, (K,) over the targets and (L,) over the sources."""

    def of_rows(part: Tensor) -> tuple[Tensor, Tensor]:
        scores = -pairwise_cost(part[None], y[None], metric=metric)[0] / temperature
        return scores.logsumexp(1), scores.logsumexp(0)

    blocks = torch.split(x, max(max_cells // len(y), 1))
    if len(blocks) == 1:
        return of_rows(x)
    found = [checkpoint(of_rows, each, use_reentrant=False, preserve_rng_state=False) for each in blocks]
    rows, columns = zip(*found, strict=True)
    return torch.cat(rows), torch.stack(columns).logsumexp(0)
