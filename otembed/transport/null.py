"""A null unit on each side, for units without a counterpart.

Axes: B problems, N source units, M target units.
"""

from __future__ import annotations

import torch
from torch import Tensor

from otembed.errors import ConfigError
from otembed.transport.strength import check_positive


def add_null_units(
    cost: Tensor, a: Tensor, b: Tensor, *, null_cost: float, share: float = 1.0
) -> tuple[Tensor, Tensor, Tensor]:
    r"""Give each side one more unit, which takes what stays without a counterpart on the other side.

    .. math::
        C' = \begin{pmatrix} C & k \\ k & 0 \end{pmatrix}, \quad
        a' = \frac{(a,\; s\,|b|)}{1 + s}, \quad b' = \frac{(b,\; s\,|a|)}{1 + s}

    with the null cost *k*, the share *s* and total masses :math:`|a| = |b|`. Balanced transport of these stays
    feasible: a null unit has room for *s* of the other side's mass, and what it does not need for that goes to
    the other null unit for nothing. Without entropy, :math:`1 + s` times the value is

    .. math:: \min_P \langle P, C\rangle + k(|a| - m) + k(|b| - m), \quad
        P 1 \le a,\; P^\top 1 \le b,\; m = 1^\top P 1 \ge (1 - s)|a|,

    so with *s* = 1 two units are matched only where their cost is below 2 *k*: partial transport at a price
    rather than of a fixed amount.

    Parameters
    ----------
    cost, a, b
        (B, N, M), (B, N) and (B, M): costs and masses of equal totals, zero mass marking padding.
    null_cost
        What it costs, for each unit of mass, to leave a unit without a counterpart.
    share
        Largest share of a side's mass that may stay without one, above 0 and at most 1.

    Returns
    -------
    tuple of Tensor
        (B, N + 1, M + 1), (B, N + 1) and (B, M + 1): the null units stand last. Total masses are as before, so
        the units' own are smaller by 1 + s. Gradients flow to all three; a problem without mass stays so.

    Raises
    ------
    ConfigError
        If the null cost or the share is out of range.

    References
    ----------
    Arase et al., Unbalanced optimal transport for unbalanced word alignment, ACL 2023, on leaving words
    unaligned by partial and unbalanced transport; Chapel et al., Partial optimal transport with applications
    on positive-unlabeled learning, NeurIPS 2020, on partial as balanced transport with one more unit a side.

    Examples
    --------
    The second pair of units is dearer than leaving both without a counterpart, 1.2 against 2 * 0.4.

    >>> import torch
    >>> from otembed.transport import solve
    >>> cost, half = torch.tensor([[[0.2, 9.0], [9.0, 1.2]]]), torch.tensor([[0.5, 0.5]])
    >>> plan = 2 * solve(*add_null_units(cost, half, half, null_cost=0.4), epsilon=0).plan
    >>> plan.tolist()
    [[[0.5, 0.0, 0.0], [0.0, 0.0, 0.5], [0.0, 0.5, 0.5]]]
    """
    check_positive("null_cost", null_cost)
    if not check_positive("share", share) <= 1:
        raise ConfigError(f"share = {share:g} is above 1", "A side cannot leave out more than all it has.")
    wide = torch.nn.functional.pad(cost, (0, 1, 0, 1), value=float(null_cost))
    wide[:, -1, -1] = 0.0
    return wide, _widened(a, b, share), _widened(b, a, share)


def _widened(own: Tensor, other: Tensor, share: float) -> Tensor:
    return torch.cat([own, share * other.sum(1, keepdim=True)], 1) / (1.0 + share)
