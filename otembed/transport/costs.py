"""Ground costs between two clouds of vectors, centering, cost scaling, and a prior on positions.

Axes: B problems, N source units, M target units, D dimensions.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from otembed.errors import ConfigError, did_you_mean
from otembed.transport.cosine import cosine_cost, inverse_norms
from otembed.transport.problem import check_real, check_vectors

Metric = Literal["cosine", "euclidean", "sqeuclidean", "half_sqeuclidean"]
CostScale = Literal["std", "max"]


def pairwise_cost(x: Tensor, y: Tensor, *, metric: Metric = "cosine") -> Tensor:
    r"""Return the cost of moving each source vector to each target vector.

    ============================  =====================================================================
    ``cosine``                    :math:`1 - \langle x, y\rangle / (|x| |y|)`, 1 where a vector is zero
    ``euclidean``                 :math:`|x - y|`, exactly 0 for equal vectors
    ``sqeuclidean``               :math:`|x - y|^2`
    ``half_sqeuclidean``          :math:`|x - y|^2 / 2`, the cost of GeomLoss with ``p=2``
    ============================  =====================================================================

    Half precision is cast to float32 first, and autocast is disabled: a product in bfloat16 has an error of
    several percent. Gradients flow to both sides and are finite everywhere: 0 for a zero
    vector under ``cosine`` and 0 at distance 0 under ``euclidean``. Squared distances are computed around a mean of the
    vectors of each problem that are not zero, so that a large common component costs no digits.

    Norms are squared, so they have to be between 1e-19 and 1e19 in float32: under ``cosine``, a shorter vector counts as
    zero and a longer one has NaN costs; distances to a longer one are infinite or NaN.

    Parameters
    ----------
    x
        (B, N, D) source vectors. Padding may hold any vector of these norms, or zeros.
    y
        (B, M, D) target vectors.
    metric
        Ground cost, see the table above.

    Returns
    -------
    Tensor
        (B, N, M) costs; float64 if either side is, else float32.

    Raises
    ------
    ConfigError
        If the vectors are not real-valued tensors, the shapes do not match, or the metric is unknown.

    Examples
    --------
    >>> x, y = torch.tensor([[[3.0, 0.0]]]), torch.tensor([[[0.0, 4.0], [3.0, 0.0]]])
    >>> [pairwise_cost(x, y, metric=metric).tolist() for metric in ("cosine", "euclidean")]
    [[[[1.0, 0.0]]], [[[5.0, 0.0]]]]
    """
    if metric not in get_args(Metric):
        raise ConfigError(f"unknown metric {metric!r}", did_you_mean(str(metric), get_args(Metric)))
    check_vectors(x, y)
    if x.ndim != 3 or y.ndim != 3 or x.shape[0] != y.shape[0] or x.shape[2] != y.shape[2]:
        raise ConfigError(
            f"source and target vectors do not match: shapes {tuple(x.shape)} and {tuple(y.shape)}",
            "Pass (B, N, D) and (B, M, D).",
        )
    dtype = torch.promote_types(torch.promote_types(x.dtype, y.dtype), torch.float32)
    with torch.autocast(x.device.type, enabled=False):
        x, y = x.to(dtype), y.to(dtype)
        if metric == "cosine":
            return cosine_cost(x, y)
        if metric == "euclidean":
            # The matrix-product form loses half the digits near distance 0, where the root is steepest.
            return torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")
        squared = _squared_distances(x, y)
        return squared / 2.0 if metric == "half_sqeuclidean" else squared


def _squared_distances(x: Tensor, y: Tensor) -> Tensor:
    """Return the squared distances from one product, with the origin amid the vectors of each problem.

    The product cancels what all vectors share, such as the mean of an encoder, and loses as many digits as its square
    exceeds the distances. A distance does not depend on the origin, so that it is a constant in the gradients.
    """
    origin = _amid(x.detach(), y.detach())
    x, y = x - origin, y - origin
    squared = x.square().sum(2)[:, :, None] + y.square().sum(2)[:, None, :] - 2.0 * (x @ y.mT)
    return squared.clamp_min(0.0)


def _amid(x: Tensor, y: Tensor) -> Tensor:
    """Return a mean (B, 1, D) of the vectors that are not zero, weighted by their inverse norms.

    So padding, which may be of any size, cannot move it out of reach; infinity and NaN leave it at 0.
    """
    weights_x, weights_y = inverse_norms(x).nan_to_num(0.0), inverse_norms(y).nan_to_num(0.0)
    total = weights_x.sum(1, keepdim=True) + weights_y.sum(1, keepdim=True)
    mean = (weights_x.mT @ x + weights_y.mT @ y) / total.clamp_min(torch.finfo(x.dtype).tiny)
    return torch.where(mean.isfinite().all(2, keepdim=True), mean, 0.0)


def center(x: Tensor, weights: Tensor) -> Tensor:
    r"""Subtract the weighted mean over all units of the batch, :math:`x_i - \sum_k w_k x_k / \sum_k w_k`.

    Call it once per side (language): contextual vectors share a large common component, which differs between
    languages and hides the differences that cosine should measure. The mean is detached.

    Parameters
    ----------
    x
        (B, N, D) vectors; half precision is cast to float32.
    weights
        (B, N) masses or a bool mask; vectors of weight 0 are not read.

    Returns
    -------
    Tensor
        (B, N, D) centered vectors, 0 where there is no weight.

    Raises
    ------
    ConfigError
        If an argument is no real tensor, or the shapes do not match.

    Examples
    --------
    >>> center(torch.tensor([[[1.0], [3.0], [9.0]]]), torch.tensor([[1.0, 1.0, 0.0]])).flatten().tolist()
    [-1.0, 1.0, 0.0]
    """
    check_real("vectors and weights", x, weights)
    if x.ndim != 3 or weights.shape != x.shape[:2]:
        raise ConfigError(
            f"vectors and weights do not match: shapes {tuple(x.shape)} and {tuple(weights.shape)}",
            "Pass (B, N, D) and (B, N).",
        )
    dtype = torch.promote_types(x.dtype, torch.float32)
    weights = weights.detach().to(dtype)[:, :, None]
    x = torch.where(weights != 0, x.to(dtype), 0.0)
    total = weights.sum()
    mean = (x.detach() * weights).sum((0, 1)) / torch.where(total == 0, 1.0, total)
    return torch.where(weights != 0, x - mean, 0.0)


def scale_cost(cost: Tensor, a: Tensor, b: Tensor, *, how: CostScale | None = None) -> tuple[Tensor, Tensor]:
    """Divide the costs of a batch by one detached number, so that epsilon has the same meaning for every encoder.

    The costs of one encoder may have a spread of .06 and the costs of another a spread of 1; epsilon = .05 is hardly
    any regularization for the second and removes all differences for the first.

    Parameters
    ----------
    cost
        (B, N, M) costs.
    a, b
        (B, N) and (B, M) masses or masks; costs at zero mass, and NaN or infinite costs, are ignored.
    how
        ``std``: the standard deviation over all counted cells, ``max``: their largest absolute value,
        None: 1.

    Returns
    -------
    tuple of Tensor
        The scaled costs and their scalar divisor, which is 1 where it would be 0 up to rounding.

    Raises
    ------
    ConfigError
        If an argument is no real tensor, the shapes do not match or ``how`` is unknown.

    Examples
    --------
    >>> scaled, factor = scale_cost(torch.tensor([[[1.0, 4.0]]]), torch.ones(1, 1), torch.ones(1, 2), how="max")
    >>> scaled.tolist(), factor.item()
    ([[[0.25, 1.0]]], 4.0)
    """
    if how is not None and how not in get_args(CostScale):
        raise ConfigError(f"unknown cost scale {how!r}", did_you_mean(str(how), get_args(CostScale)))
    check_real("cost, a and b", cost, a, b)
    if cost.ndim != 3 or a.shape != cost.shape[:2] or b.shape != (cost.shape[0], cost.shape[2]):
        raise ConfigError(
            f"cost and masses do not match: shapes {tuple(cost.shape)}, {tuple(a.shape)} and {tuple(b.shape)}",
            "Pass (B, N, M), (B, N) and (B, M).",
        )
    cost = cost.to(torch.promote_types(cost.dtype, torch.float32))
    if how is None:
        return cost, cost.new_ones(())
    cells = cost.detach()[(a != 0)[:, :, None] & (b != 0)[:, None, :] & cost.isfinite()]
    if cells.numel() == 0:
        return cost, cost.new_ones(())
    largest = cells.abs().amax()
    # Equal costs differ by rounding, and so may their mean: dividing by that would multiply the costs by 10 million.
    least = 4 * torch.finfo(cells.dtype).eps * largest
    factor = cells.std(correction=0) if how == "std" else largest
    factor = torch.where(factor > least, factor, 1.0)
    return cost / factor, factor


def order_prior(a: Tensor, b: Tensor) -> Tensor:
    r"""Return the distance between the relative positions of two units, :math:`|i / (n - 1) - j / (m - 1)|`.

    Positions count the units with mass and run from 0, the first, to 1, the last; a single unit is at 0.5.
    Words of parallel sentences tend to have the same order: added to a cost with a weight, this is the distortion
    term of statistical aligners.

    Parameters
    ----------
    a, b
        (B, N) and (B, M) masses or masks; zero marks padding, at any position.

    Returns
    -------
    Tensor
        (B, N, M) between 0 and 1, 0 at padding, in the wider dtype of the masses, float32 for masks; not differentiable.

    Raises
    ------
    ConfigError
        If an argument is no real tensor, or the shapes do not match.

    Examples
    --------
    >>> order_prior(torch.tensor([[0.3, 0.3, 0.4]]), torch.tensor([[0.5, 0.5, 0.0]])).tolist()
    [[[0.0, 1.0, 0.0], [0.5, 0.5, 0.0], [1.0, 0.0, 0.0]]]
    """
    check_real("a and b", a, b)
    if a.ndim != 2 or b.ndim != 2 or a.shape[0] != b.shape[0]:
        raise ConfigError(
            f"a and b do not match: shapes {tuple(a.shape)} and {tuple(b.shape)}", "Pass masses (B, N) and (B, M)."
        )
    dtype = torch.promote_types(a.dtype, b.dtype)
    dtype = dtype if dtype.is_floating_point else torch.float32
    places = []
    for masses in (a, b):
        real = masses != 0
        count = real.sum(1, keepdim=True)
        place = (real.cumsum(1) - 1).to(dtype) / (count - 1).clamp_min(1)
        places.append(torch.where(count == 1, 0.5, place))
    apart = (places[0][:, :, None] - places[1][:, None, :]).abs()
    return torch.where((a != 0)[:, :, None] & (b != 0)[:, None, :], apart, 0.0)
