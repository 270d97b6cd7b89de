"""Optimal transport on tensors: costs, marginals, entropic, unbalanced, partial and exact plans; knows no text."""

from otembed.transport.costs import CostScale, Metric, center, pairwise_cost, scale_cost
from otembed.transport.divergence import check_divergence_settings, sinkhorn_divergence
from otembed.transport.exact import exact
from otembed.transport.interface import Backend, check_settings, solve
from otembed.transport.marginals import idf_weights, norm_marginals, uniform_marginals, weighted_marginals
from otembed.transport.null import add_null_units
from otembed.transport.pairs import AllPairs, all_pairs
from otembed.transport.plan import TransportPlan, TransportStatus
from otembed.transport.prior import order_prior
from otembed.transport.sinkhorn import sinkhorn
from otembed.transport.strength import Relaxation

__all__ = [
    "AllPairs",
    "Backend",
    "CostScale",
    "Metric",
    "Relaxation",
    "TransportPlan",
    "TransportStatus",
    "add_null_units",
    "all_pairs",
    "center",
    "check_divergence_settings",
    "check_settings",
    "exact",
    "idf_weights",
    "norm_marginals",
    "order_prior",
    "pairwise_cost",
    "scale_cost",
    "sinkhorn",
    "sinkhorn_divergence",
    "solve",
    "uniform_marginals",
    "weighted_marginals",
]
