"""The result of every transport solver: value, plan, potentials and status."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from torch import Tensor


class TransportStatus(IntEnum):
    """Status of one problem of a batch; larger is worse.

    >>> TransportStatus.EMPTY.help
    'One side has no mass: value, plan and gradients are 0.'
    """

    CONVERGED = 0
    MAX_ITERATIONS = 1
    EMPTY = 2
    NON_FINITE = 3

    @property
    def help(self) -> str:
        """Meaning of the status and, if there is one, its remedy."""
        return _HELP[self]


_HELP = {
    TransportStatus.CONVERGED: "The marginal error is within the tolerance.",
    TransportStatus.MAX_ITERATIONS: (
        "Not converged within max_iter iterations: increase max_iter, epsilon or tol; see marginal_error."
    ),
    TransportStatus.EMPTY: "One side has no mass: value, plan and gradients are 0.",
    TransportStatus.NON_FINITE: (
        "NaN or infinity in the costs or masses, or an overflow: the value is NaN, plan and gradients are 0."
    ),
}


@dataclass(frozen=True, eq=False)
class TransportPlan:
    r"""The solution of a batch of transport problems.

    Only ``value`` carries gradients; every other tensor is detached.

    Parameters
    ----------
    value
        (B,) objective at the returned plan; NaN where ``status`` is NON_FINITE, 0 where it is EMPTY.
    plan
        (B, N, M) transported mass, 0 at padding.
    potential_source, potential_target
        (B, N) and (B, M) dual potentials in units of the cost, 0 where there is no mass. Entropic plans
        obey :math:`P_{ij} = a_i b_j \exp((f_i + g_j - C_{ij}) / \varepsilon)`. Balanced
        potentials are unique up to a constant, :math:`(f + c, g - c)`, and are centered so that
        :math:`\langle a, f\rangle = \langle b, g\rangle`, the convention of POT.
    marginal_error
        (B,) L1 distance of the plan's marginals from their targets, divided by the total mass; the maximum
        over both sides.
    iterations
        (B,) int64, number of updates of both potentials.
    status
        (B,) int8, one :class:`TransportStatus` per problem.
    epsilon
        Strength of the entropic term, 0 for exact transport.
    """

    value: Tensor
    plan: Tensor
    potential_source: Tensor
    potential_target: Tensor
    marginal_error: Tensor
    iterations: Tensor
    status: Tensor
    epsilon: float

    @property
    def converged(self) -> Tensor:
        """(B,) bool, whether the tolerance was met."""
        return self.status == TransportStatus.CONVERGED

    @property
    def status_help(self) -> list[str]:
        """Help text for the status of each problem."""
        return [TransportStatus(code).help for code in self.status.tolist()]
