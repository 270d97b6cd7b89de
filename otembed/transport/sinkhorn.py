"""Entropic optimal transport of a padded batch, balanced or with relaxed marginals.

Axes: B problems, N source units, M target units.
"""

from __future__ import annotations

from torch import Tensor

from otembed.transport.plan import TransportPlan
from otembed.transport.solver import solve_entropic
from otembed.transport.strength import Relaxation, check_stopping, make_strength


def sinkhorn(
    cost: Tensor,
    a: Tensor,
    b: Tensor,
    *,
    epsilon: float,
    relaxation: Relaxation = None,
    tol: float = 1e-4,
    max_iter: int = 2000,
) -> TransportPlan:
    r"""Solve a batch of entropic transport problems, each to its own convergence.

    Balanced, without ``relaxation``:

    .. math::
        \min_P \langle P, C\rangle + \varepsilon\,\mathrm{KL}(P \mid a b^\top),
        \quad P 1 = a,\; P^\top 1 = b,

    and with the relaxation :math:`\rho`:

    .. math::
        \min_P \langle P, C\rangle + \varepsilon\,\mathrm{KL}(P \mid a b^\top)
        + \rho\,\mathrm{KL}(P 1 \mid a) + \rho\,\mathrm{KL}(P^\top 1 \mid b),

    with :math:`\mathrm{KL}(p \mid q) = \sum p \log(p / q) - p + q`.

    Parameters
    ----------
    cost
        (B, N, M) floating point costs. Half precision is cast to float32; float64 stays. Cells under zero
        mass are never read and may hold NaN.
    a, b
        (B, N) and (B, M) masses, not negative; zero mass marks padding. Balanced problems need equal total
        masses; a difference within rounding is mended by scaling ``b``.
    epsilon
        Strength of the entropic term, in units of the cost.
    relaxation
        None for balanced transport; rho above 0, in units of the cost, for both sides; or a pair
        (source, target), where ``math.inf`` keeps a side's marginal a constraint.
    tol
        Largest accepted marginal error: the L1 distance between the plan's marginals and the masses, divided
        by the total mass, the worse side counting. Under relaxation the masses are those at which the
        potentials are optimal, :math:`a_i e^{-f_i / \rho}`, so the same number measures how far the next
        update would move the potentials. Below about 1e-6 float32 cannot follow.
    max_iter
        Most updates of both potentials. The test for convergence comes after the first, then after every eight,
        later after every fourth part of those made so far, fifty at most.

    Returns
    -------
    TransportPlan
        ``value`` is that of the plan returned; the plan's target marginal is exact up to rounding and
        ``marginal_error`` is the source's. Problems without mass on a side have status EMPTY, those with NaN
        or infinity in a real cell or mass NON_FINITE; neither disturbs the others.

    Raises
    ------
    ConfigError
        If shapes, devices or dtypes do not fit, a mass is negative or a setting is out of range.
    NumericsError
        If the total masses of a balanced problem differ.

    Notes
    -----
    Gradients follow the envelope theorem: :math:`\partial\,\mathrm{value} / \partial C = P`, and for masses
    of total 1 the potentials, :math:`\partial\,\mathrm{value} / \partial a = f`. Balanced values are defined
    for equal totals only, so gradients of the masses hold along directions which keep them equal; the free
    constant is set by :math:`\langle a, f\rangle = \langle b, g\rangle`. Under relaxation the gradient is
    :math:`\rho(1 - e^{-f / \rho}) + \varepsilon(\sum b - e^{-f / \rho})`. The graph holds one node
    with the plan and the gradients of the masses, whatever the number of iterations. Differentiable once.

    A finished problem stands still and then leaves the batch, so no result depends on its neighbors. The
    scalings are iterated on a kernel held in memory; where they would leave its range, the same updates run in
    log domain. The device is asked once a test for convergence, never in between.
    Over-relaxation (Thibault et al. 2021) is chosen for each problem and dropped where its error grows.
    The equivalents in POT are ``ot.bregman.sinkhorn_log`` and, with relaxation, ``ot.solve(C, a, b,
    reg=epsilon, unbalanced=rho, unbalanced_type="KL")``.

    References
    ----------
    Cuturi, Sinkhorn distances, NeurIPS 2013. Chizat et al., Scaling algorithms for unbalanced optimal
    transport problems, Math. Comp. 2018. Thibault et al., Overrelaxed Sinkhorn-Knopp algorithm for
    regularized optimal transport, Algorithms 2021. Séjourné et al., Faster unbalanced optimal transport:
    translation invariant Sinkhorn and 1-D Frank-Wolfe, AISTATS 2022.

    Examples
    --------
    Swapping costs 1, staying nothing. The plan is a softmax: 1 / (2 (1 + e^-2)) on the diagonal.

    >>> import torch
    >>> cost = torch.tensor([[[0.0, 1.0], [1.0, 0.0]]])
    >>> half = torch.tensor([[0.5, 0.5]])
    >>> result = sinkhorn(cost, half, half, epsilon=0.5)
    >>> [[round(mass, 3) for mass in row] for row in result.plan[0].tolist()]
    [[0.44, 0.06], [0.06, 0.44]]
    >>> result.converged.tolist()
    [True]
    """
    strength = make_strength(epsilon, relaxation)
    check_stopping(tol, max_iter)
    return solve_entropic(cost, a, b, strength, tol=tol, max_iter=max_iter, symmetric=False)
