"""The transport values between all clouds of one batch and all clouds of another, in bounded memory.

Axes: B source clouds, C target clouds, N source units, M target units, D dimensions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from otembed.errors import ConfigError, NumericsError
from otembed.transport.costs import Metric, pairwise_cost
from otembed.transport.gradients import once
from otembed.transport.interface import solve_checked
from otembed.transport.plan import TransportStatus
from otembed.transport.problem import check_floating, check_vectors, clean, common_dtype, mass_slack
from otembed.transport.settings import Relaxation, Settings, check_positive, check_settings

MAX_CELLS = 2**21
"""Default number of cost cells solved at a time: about 100 MB including the solver's copies."""


@dataclass(frozen=True, eq=False)
class AllPairs:
    """The values of all pairs and how each problem ended; only ``value`` carries gradients.

    Parameters
    ----------
    value
        (B, C) objectives; NaN where ``status`` is NON_FINITE, 0 where it is EMPTY.
    marginal_error, iterations, status
        (B, C), as in :class:`otembed.transport.TransportPlan`.
    """

    value: Tensor
    marginal_error: Tensor
    iterations: Tensor
    status: Tensor

    @property
    def converged(self) -> Tensor:
        """(B, C) bool, whether the tolerance was met."""
        return self.status == TransportStatus.CONVERGED


def all_pairs(
    x: Tensor,
    y: Tensor,
    a: Tensor,
    b: Tensor,
    *,
    metric: Metric = "cosine",
    epsilon: float,
    relaxation: Relaxation = None,
    tol: float = 1e-4,
    max_iter: int = 2000,
    max_cells: int = MAX_CELLS,
) -> AllPairs:
    r"""Return the value of transport from every source cloud to every target cloud.

    .. math:: V_{bc} = \mathrm{OT}_\varepsilon(x_b, y_c)

    Parameters
    ----------
    x, y
        (B, N, D) and (C, M, D) vectors; vectors of zero mass are not read and may hold NaN.
    a, b
        (B, N) and (C, M) masses; zero marks padding.
    metric
        Name of the cost, see :func:`otembed.transport.pairwise_cost`.
    epsilon, relaxation, tol, max_iter
        As in :func:`otembed.transport.solve`.
    max_cells
        Maximum number of cost cells (N M per pair) held at a time; a single pair may exceed it.

    Returns
    -------
    AllPairs
        (B, C) values in float32, or float64 if an input is, with their diagnosis.

    Raises
    ------
    ConfigError
        If tensors do not match, a mass is negative, a setting is out of range, or two of them are mutually exclusive.
    NumericsError
        If the transport is balanced and the totals of the clouds differ.

    Notes
    -----
    The costs of a block of pairs are one product of the flattened clouds; no tensor of size B C N D is created.
    Gradients flow to all four tensors by the envelope theorem. The graph keeps the plans, B C N M numbers,
    but no costs: these are recomputed block by block in the backward pass. Differentiable once. The values of a
    cloud with NaN or infinity are NaN, and it receives no gradient.

    Examples
    --------
    With single units, the values are the costs.

    >>> x, y = torch.tensor([[[0.0]], [[3.0]]]), torch.tensor([[[1.0]], [[3.0]], [[8.0]]])
    >>> found = all_pairs(x, y, torch.ones(2, 1), torch.ones(3, 1), metric="euclidean", epsilon=0.1)
    >>> found.value.tolist()
    [[1.0, 3.0, 8.0], [2.0, 0.0, 5.0]]
    """
    settings = check_settings(epsilon=epsilon, relaxation=relaxation, tol=tol, max_iter=max_iter)
    _check(x, y, a, b, max_cells, balanced=settings.balanced)
    with torch.autocast(x.device.type, enabled=False):
        (x, a), (y, b) = clean(x, a), clean(y, b)
        at_once = max(1, int(max_cells) // max(1, x.shape[1] * y.shape[1]))
        columns = min(max(1, y.shape[0]), at_once)
        rows = max(1, at_once // columns)
        blocks = [
            [_block(*source, *target, metric, settings) for target in _split(y, b, columns)]
            for source in _split(x, a, rows)
        ]
        return AllPairs(*(torch.cat([torch.cat(row, 1) for row in field]) for field in _fields(blocks)))


def _split(z: Tensor, masses: Tensor, size: int) -> list[tuple[Tensor, Tensor]]:
    return list(zip(torch.split(z, size), torch.split(masses, size), strict=True))


def _fields(blocks: list[list[tuple[Tensor, ...]]]) -> list[list[list[Tensor]]]:
    """Turn rows of blocks of fields into fields of rows of blocks."""
    return [[[block[place] for block in row] for row in blocks] for place in range(4)]


def _block(x: Tensor, a: Tensor, y: Tensor, b: Tensor, metric: Metric, settings: Settings) -> tuple[Tensor, ...]:
    """Return value, error, iterations and status of a block of pairs, each with the axes of the block."""
    shape = (len(x), len(y))
    masses_a = a[:, None, :].expand(-1, shape[1], -1).flatten(0, 1)
    masses_b = b[None, :, :].expand(shape[0], -1, -1).flatten(0, 1)
    with torch.no_grad():
        cost = _costs(x, y, metric)
    found = solve_checked(cost, masses_a, masses_b, settings)
    value = found.value
    if x.requires_grad or y.requires_grad:
        added = _CostGradient.apply(x, y, found.plan, value.detach(), metric)  # type: ignore[no-untyped-call]
        value = value + added
    return tuple(field.view(shape) for field in (value, found.marginal_error, found.iterations, found.status))


def _costs(x: Tensor, y: Tensor, metric: Metric) -> Tensor:
    """Return the costs (B * C, N, M) of all pairs, from one product of the flattened clouds."""
    flat = pairwise_cost(x.flatten(0, 1)[None], y.flatten(0, 1)[None], metric=metric)
    return flat.view(*x.shape[:2], *y.shape[:2]).transpose(1, 2).flatten(0, 1)


class _CostGradient(torch.autograd.Function):
    """Zeros with the gradient of <P, C> at the fixed plan; the costs are recomputed in the backward pass."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, plan: Tensor, value: Tensor, metric: Metric) -> Tensor:
        ctx.save_for_backward(x, y, plan, value.isfinite())
        ctx.metric = metric
        return torch.zeros_like(value)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        x, y, plan, finite = ctx.saved_tensors
        # A NaN value would spread: its derivative in the loss is NaN, and NaN times 0 is not 0.
        weights = torch.where(finite, upstream.detach(), 0.0)[:, None, None] * plan
        with torch.enable_grad():
            x, y = (
                z.detach().requires_grad_(needed)
                for z, needed in zip((x, y), ctx.needs_input_grad[:2], strict=True)
            )
            cost = _costs(x, y, ctx.metric)
        gradients = iter(torch.autograd.grad(cost, [z for z in (x, y) if z.requires_grad], weights))
        return *once([next(gradients) if z.requires_grad else None for z in (x, y)]), None, None, None


def _check(x: Tensor, y: Tensor, a: Tensor, b: Tensor, max_cells: int, *, balanced: bool) -> None:
    check_positive("max_cells", max_cells)
    check_vectors(x, y)
    check_floating("a and b", a, b)
    for z, masses, names in ((x, a, "x and a"), (y, b, "y and b")):
        if z.ndim != 3 or masses.shape != z.shape[:2]:
            raise ConfigError(
                f"{names} do not match: shapes {tuple(z.shape)} and {tuple(masses.shape)}",
                "Pass vectors (B, N, D) and masses (B, N).",
            )
        negative = (masses < 0).nonzero()
        if len(negative):
            row, unit = negative[0].tolist()
            raise ConfigError(
                f"row {row} of {names[-1]} has a negative mass: {masses[row, unit].item():g}",
                "Masses must be at least 0; zero marks padding.",
            )
    if x.shape[2] != y.shape[2]:
        raise ConfigError(
            f"source and target vectors do not match: shapes {tuple(x.shape)} and {tuple(y.shape)}",
            "Pass (B, N, D) and (C, M, D).",
        )
    dtype = common_dtype(a, b)
    totals = torch.cat([masses.detach().to(dtype).sum(1) for masses in (a, b)])
    totals = totals[(totals > 0) & totals.isfinite()]
    if balanced and len(totals) and bool(totals.amax() - totals.amin() > mass_slack(a, b) * totals.amax()):
        raise NumericsError(
            f"the total masses of the clouds differ: from {totals.amin().item():g} to {totals.amax().item():g}",
            "Balanced transport requires equal totals: normalize all clouds, or set relaxation.",
        )
