"""Optimal transport on tensors: costs, marginals, entropic, unbalanced, partial and exact plans."""

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
