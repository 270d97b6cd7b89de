"""Transport plans between the units of a batch, with the settings of the alignment loss."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from otembed.errors import ConfigError
from otembed.transport import (
    TransportPlan,
    center,
    check_divergence_settings,
    check_settings,
    order_prior,
    pairwise_cost,
    scale_cost,
    sinkhorn_divergence,
    solve,
)

if TYPE_CHECKING:
    from otembed.config.loss import AlignmentConfig
    from otembed.losses.units import Units


class UnitTransport:
    """Transport between the units of two columns, one problem per pair or one per batch.

    Parameters
    ----------
    config
        Settings; see :class:`otembed.config.AlignmentConfig`.

    Raises
    ------
    ConfigError
        Settings are mutually exclusive.
    """

    def __init__(self, config: AlignmentConfig) -> None:
        _refuse_contradictions(config)
        self.config = config

    def __call__(self, source: Units, target: Units) -> TransportPlan:
        """Solve the batch, (B,) problems or one; ``value`` is in units of the scaled cost.

        A pair without units on one side has status EMPTY.
        """
        return self.solve(*self.clouds(source, target))

    def clouds(self, source: Units, target: Units) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return what is transported: vectors (B, N, D) and (B, M, D), centered if set, and masses (B, N) and (B, M).

        Both sides of a pair without units on one side have no mass. B is 1 with ``scope="batch"``.
        """
        x, y, a, b = source.vectors, target.vectors, source.masses, target.masses
        both = ((a.sum(1) > 0) & (b.sum(1) > 0))[:, None]
        a, b = torch.where(both, a, 0), torch.where(both, b, 0)
        if self.config.center:
            x, y = center(x, a > 0), center(y, b > 0)
        if self.config.scope == "batch":
            x, a = _flat(x, a)
            y, b = _flat(y, b)
        return x, y, a, b

    def solve(self, x: Tensor, y: Tensor, a: Tensor, b: Tensor) -> TransportPlan:
        """Solve the problems between clouds."""
        settings = self.config
        cost = pairwise_cost(x, y, metric=settings.cost)
        # Dividing the cost by a factor is equivalent to multiplying everything in units of the scaled cost by it.
        factor = float(scale_cost(cost.detach(), a, b, how=settings.cost_scale)[1]) if settings.cost_scale else 1.0
        solver = _solver_settings(settings, factor)
        if settings.debiased:
            plan = sinkhorn_divergence(x, y, a, b, metric=settings.cost, **solver)
            return replace(plan, value=plan.value / factor)
        if settings.order_prior:
            cost = cost + settings.order_prior * factor * order_prior(a, b)
        plan = solve(cost, a, b, **solver)
        return replace(plan, value=plan.value / factor)


def _solver_settings(settings: AlignmentConfig, factor: float) -> dict[str, Any]:
    def scaled(rho: float | None) -> float | None:
        return None if rho is None else rho * factor

    rho = settings.relaxation
    return {
        "epsilon": settings.epsilon * factor,
        "relaxation": (scaled(rho[0]), scaled(rho[1])) if isinstance(rho, tuple) else scaled(rho),
        "tol": settings.tol,
        "max_iter": settings.max_iter,
    }


def _refuse_contradictions(settings: AlignmentConfig) -> None:
    solver = _solver_settings(settings, 1.0)
    if settings.order_prior and settings.scope == "batch":
        raise ConfigError(
            f"order_prior = {settings.order_prior:g} compares positions in two sentences and requires scope = pair",
            "Set scope to pair, or order_prior to 0.",
        )
    if settings.debiased:
        if settings.order_prior:
            raise ConfigError(
                f"debiased and order_prior = {settings.order_prior:g} are mutually exclusive",
                "Set debiased to false, or order_prior to 0.",
            )
        check_divergence_settings(**solver)
        return
    check_settings(**solver)


def _flat(units: Tensor, masses: Tensor) -> tuple[Tensor, Tensor]:
    """Return all units of a batch with mass as one cloud: (1, K, D) and (1, K) masses that sum to 1."""
    present = masses > 0
    pooled = masses[present]
    return units[present][None], (pooled / pooled.sum().clamp_min(torch.finfo(pooled.dtype).tiny))[None]
