"""Optimal transport on tensors: costs, marginals, entropic, unbalanced, partial and exact plans.

Names are imported on first use: a process that compiles the kernels loads no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from otembed._lazy import lazy_exports

if TYPE_CHECKING:
    from otembed.transport.costs import CostScale, Metric, center, order_prior, pairwise_cost, scale_cost
    from otembed.transport.divergence import check_divergence_settings, sinkhorn_divergence
    from otembed.transport.interface import solve
    from otembed.transport.marginals import uniform_marginals
    from otembed.transport.pairs import AllPairs, all_pairs
    from otembed.transport.plan import TransportPlan, TransportStatus
    from otembed.transport.settings import Backend, Relaxation, Settings, check_settings
    from otembed.transport.solvers.exact import exact
    from otembed.transport.solvers.sinkhorn import sinkhorn

__all__ = [
    "AllPairs",
    "Backend",
    "CostScale",
    "Metric",
    "Relaxation",
    "Settings",
    "TransportPlan",
    "TransportStatus",
    "all_pairs",
    "center",
    "check_divergence_settings",
    "check_settings",
    "exact",
    "order_prior",
    "pairwise_cost",
    "scale_cost",
    "sinkhorn",
    "sinkhorn_divergence",
    "solve",
    "uniform_marginals",
]

_MODULES = {
    "AllPairs": "pairs",
    "Backend": "settings",
    "CostScale": "costs",
    "Metric": "costs",
    "Relaxation": "settings",
    "Settings": "settings",
    "TransportPlan": "plan",
    "TransportStatus": "plan",
    "all_pairs": "pairs",
    "center": "costs",
    "check_divergence_settings": "divergence",
    "check_settings": "settings",
    "exact": "otembed.transport.solvers.exact",
    "order_prior": "costs",
    "pairwise_cost": "costs",
    "scale_cost": "costs",
    "sinkhorn": "otembed.transport.solvers.sinkhorn",
    "sinkhorn_divergence": "divergence",
    "solve": "interface",
    "uniform_marginals": "marginals",
}

__getattr__, __dir__ = lazy_exports(__name__, _MODULES)
