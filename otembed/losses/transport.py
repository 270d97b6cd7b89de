"""From the unit clouds of a batch to transport plans, with the knobs of an alignment configuration."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from otembed.errors import ConfigError
from otembed.transport import (
    TransportPlan,
    add_null_units,
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
    """Transport between the units of two columns, one problem a pair or one a batch.

    Parameters
    ----------
    config
        The knobs; see :class:`otembed.config.AlignmentConfig`.

    Raises
    ------
    ConfigError
        If knobs exclude each other.
    """

    def __init__(self, config: AlignmentConfig) -> None:
        _refuse_contradictions(config)
        self.config = config

    def __call__(self, source: Units, target: Units) -> TransportPlan:
        """Solve the batch: (B,) problems or one; ``value`` in units of the scaled cost and of the units' mass.

        A pair without units on a side has status EMPTY. With null units the plan is that of the extended
        problem, whose last row and column are theirs.
        """
        knobs = self.config
        x, y, a, b = source.vectors, target.vectors, source.masses, target.masses
        both = ((a.sum(1) > 0) & (b.sum(1) > 0))[:, None]
        a, b = torch.where(both, a, 0), torch.where(both, b, 0)
        if knobs.center:
            x, y = center(x, a > 0), center(y, b > 0)
        if knobs.scope == "batch":
            x, a = _flat(x, a)
            y, b = _flat(y, b)
        cost = pairwise_cost(x, y, metric=knobs.cost)
        # Dividing the cost by a factor equals multiplying by it all that is in units of the scaled cost.
        factor = float(scale_cost(cost.detach(), a, b, how=knobs.cost_scale)[1]) if knobs.cost_scale else 1.0
        settings = _solver_settings(knobs, factor)
        if knobs.debiased:
            plan = sinkhorn_divergence(x, y, a, b, metric=knobs.cost, **settings)
            return replace(plan, value=plan.value / factor)
        if knobs.order_prior:
            cost = cost + knobs.order_prior * factor * order_prior(a, b)
        if knobs.null_unit is not None:
            null = knobs.null_unit
            cost, a, b = add_null_units(cost, a, b, null_cost=null.cost * factor, share=null.share)
            factor = factor / (1.0 + null.share)
        plan = solve(cost, a, b, share=knobs.share, **settings)
        return replace(plan, value=plan.value / factor)


def _solver_settings(knobs: AlignmentConfig, factor: float) -> dict[str, Any]:
    def scaled(rho: float | None) -> float | None:
        return None if rho is None else rho * factor

    rho = knobs.relaxation
    return {
        "epsilon": knobs.epsilon * factor,
        "relaxation": (scaled(rho[0]), scaled(rho[1])) if isinstance(rho, tuple) else scaled(rho),
        "tol": knobs.tol,
        "max_iter": knobs.max_iter,
    }


def _refuse_contradictions(knobs: AlignmentConfig) -> None:
    settings = _solver_settings(knobs, 1.0)
    if knobs.order_prior and knobs.scope == "batch":
        raise ConfigError(
            f"order_prior = {knobs.order_prior:g} compares places in two sentences; scope = batch has none",
            "Set scope to pair, or order_prior to 0.",
        )
    if knobs.debiased:
        for name, off in (("share", None), ("null_unit", None), ("order_prior", 0)):
            if getattr(knobs, name) != off:
                raise ConfigError(
                    f"debiased and {name} exclude each other: the divergence is not defined with it",
                    f"Set debiased to false, or {name} to {'null' if off is None else off}.",
                )
        check_divergence_settings(**settings)
        return
    if knobs.null_unit is not None and (knobs.relaxation is not None or knobs.share is not None):
        other = "share" if knobs.relaxation is None else "relaxation"
        raise ConfigError(
            f"null_unit and {other} both let units stay without a counterpart", "Keep one of the two."
        )
    check_settings(share=knobs.share, **settings)


def _flat(units: Tensor, masses: Tensor) -> tuple[Tensor, Tensor]:
    """All units of a batch with mass as one cloud: (1, K, D) and (1, K) masses that sum to 1."""
    present = masses > 0
    pooled = masses[present]
    return units[present][None], (pooled / pooled.sum().clamp_min(torch.finfo(pooled.dtype).tiny))[None]
