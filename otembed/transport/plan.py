"""What every transport solver hands back: value, plan, potentials and how the iteration ended."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from torch import Tensor


class TransportStatus(IntEnum):
    """How one problem of a batch ended; larger is worse.

    >>> TransportStatus.EMPTY.help
    'One side has no mass: value, plan and gradients are 0.'
    """

    CONVERGED = 0
    MAX_ITERATIONS = 1
    EMPTY = 2
    NON_FINITE = 3

    @property
    def help(self) -> str:
        """One sentence on what the status means and, where there is one, its remedy."""
        return _HELP[self]


_HELP = {
    TransportStatus.CONVERGED: "The marginal error is within the tolerance.",
    TransportStatus.MAX_ITERATIONS: (
        "The iterations ran out: raise max_iter, epsilon or tol; marginal_error says how far the plan is."
    ),
    TransportStatus.EMPTY: "One side has no mass: value, plan and gradients are 0.",
    TransportStatus.NON_FINITE: (
        "NaN or infinity among the costs or masses, or an overflow: the value is NaN, plan and gradients are 0."
    ),
}


@dataclass(frozen=True, eq=False)
class TransportPlan:
    r"""The solution of a batch of transport problems.

    Only ``value`` carries gradients; every other tensor is detached.

    Parameters
    ----------
    value
        (B,) objective of the returned plan; NaN where ``status`` is NON_FINITE, 0 where it is EMPTY.
    plan
        (B, N, M) transported mass, 0 under padding.
    potential_source, potential_target
        (B, N) and (B, M) dual potentials in units of the cost, 0 where there is no mass. Entropic plans
        obey :math:`P_{ij} = a_i b_j \exp((f_i + g_j - C_{ij}) / \varepsilon)`. In balanced problems, where
        :math:`(f + c, g - c)` serves as well, they are centered so that
        :math:`\langle a, f\rangle = \langle b, g\rangle`, the convention of POT.
    marginal_error
        (B,) L1 distance of the plan's marginals from what they should be, divided by the total mass there;
        the worse of the two sides.
    iterations
        (B,) int64, how many times both potentials were updated.
    status
        (B,) int8, one :class:`TransportStatus` a problem.
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
        """The help text of every problem's status."""
        return [TransportStatus(code).help for code in self.status.tolist()]
