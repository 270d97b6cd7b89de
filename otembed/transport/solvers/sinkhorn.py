"""Entropic optimal transport of a padded batch, balanced or with relaxed marginals.

Axes: A problems active or finished together (of B), N source units, M target units.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from otembed.transport.frame import Outcome, entropic_value, run
from otembed.transport.kernels.compiled import solve_compiled
from otembed.transport.kernels.iteration import Iterate, rows_of, window
from otembed.transport.plan import TransportPlan
from otembed.transport.problem import Problem
from otembed.transport.settings import Relaxation, Settings, check_entropic

# Set by tests, to run the iteration of the other devices on a CPU as well.
TENSORS_ONLY = False


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
        (B, N, M) floating point costs. Half precision is cast to float32; float64 stays. Cells of zero
        mass are never read and may hold NaN.
    a, b
        (B, N) and (B, M) masses, not negative; zero mass marks padding. Balanced problems need equal total
        masses; a difference within rounding is removed by scaling ``b``.
    epsilon
        Strength of the entropic term, in units of the cost.
    relaxation
        None for balanced transport; rho above 0, in units of the cost, for both sides; or a pair
        (source, target), where ``math.inf`` keeps a side's marginal a constraint.
    tol
        Tolerance on the marginal error: the L1 distance between the plan's marginals and the masses, divided
        by the total mass; the maximum over both sides. Under relaxation, the masses are those at which the
        potentials are optimal, :math:`a_i e^{-f_i / \rho}`, so the same number measures how far the next
        update would move the potentials. float32 cannot reach a tolerance below about 1e-6.
    max_iter
        Maximum number of updates of both potentials. Convergence is tested after the first update, and then at
        intervals that grow from a few updates to 50.

    Returns
    -------
    TransportPlan
        ``value`` is the objective at the returned plan. The plan's target marginal is exact up to rounding, and
        ``marginal_error`` is the error of the source marginal. Problems without mass on a side have status
        EMPTY; problems with NaN or infinity in a real cell or mass have status NON_FINITE. Neither affects the
        other problems.

    Raises
    ------
    ConfigError
        If shapes, devices or dtypes do not match, a mass is negative, or a setting is out of range.
    NumericsError
        If the total masses of a balanced problem differ.

    Notes
    -----
    Gradients follow the envelope theorem: :math:`\partial\,\mathrm{value} / \partial C = P`, and for masses
    of total 1 the potentials, :math:`\partial\,\mathrm{value} / \partial a = f`. Balanced values are defined
    for equal totals only, so gradients of the masses are valid along directions that keep them equal; the free
    constant is fixed by :math:`\langle a, f\rangle = \langle b, g\rangle`. Under relaxation the gradient is
    :math:`\rho(1 - e^{-f / \rho}) + \varepsilon(\sum b - e^{-f / \rho})`. The graph holds one node
    with the plan and the gradients of the masses, independent of the number of iterations. Differentiable once.

    A finished problem is frozen and then removed from the batch, so no result depends on the other problems.
    The scalings are iterated on a kernel held in memory; where they would overflow, the same updates run in
    the log domain. The host waits for the device once per convergence test.
    Over-relaxation (Thibault et al. 2021) is chosen per problem and reset where its error grows.
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
    Keeping mass in place costs 0, moving it costs 1. The plan is a softmax: 1 / (2 (1 + e^-2)) on the diagonal.

    >>> import torch
    >>> cost = torch.tensor([[[0.0, 1.0], [1.0, 0.0]]])
    >>> half = torch.tensor([[0.5, 0.5]])
    >>> result = sinkhorn(cost, half, half, epsilon=0.5)
    >>> [[round(mass, 3) for mass in row] for row in result.plan[0].tolist()]
    [[0.44, 0.06], [0.06, 0.44]]
    >>> result.converged.tolist()
    [True]
    """
    settings = check_entropic(epsilon=epsilon, relaxation=relaxation, tol=tol, max_iter=max_iter)
    return run(by_sinkhorn, cost, a, b, settings)


def by_sinkhorn(problem: Problem, index: Tensor, settings: Settings, result: TransportPlan) -> Outcome:
    """Solve by the Sinkhorn iteration: compiled on a CPU, on tensors elsewhere."""
    if problem.cost.device.type == "cpu" and not TENSORS_ONLY:
        solve_compiled(problem, index, settings, result)
    else:
        _solve_on_tensors(problem, index, settings, result)
    return Outcome(result.marginal_error[index] <= settings.tol)


def _solve_on_tensors(problem: Problem, index: Tensor, settings: Settings, result: TransportPlan) -> None:
    """Iterate the active problems until each meets ``tol`` or ``max_iter``, then write them into ``result``."""
    cost, a, b = problem.take(index)
    shift = cost.new_zeros(len(index))
    if settings.balanced:
        # Subtracting a constant changes no balanced plan and preserves the digits in which small costs differ.
        padded = (a == 0)[:, :, None] | (b == 0)[:, None, :]
        shift = cost.masked_fill(padded, math.inf).amin((1, 2))
    state = Iterate.start(index, cost, a, b, settings.epsilon, shift)
    lowered = torch.zeros_like(result.value).index_copy_(0, index, shift)
    left: list[Iterate] = []
    iterations = 0
    while len(state.index):
        steps = min(window(iterations), settings.max_iter - iterations)
        iterations += steps
        state, done, count = state.advance(settings, steps, last=iterations >= settings.max_iter)
        # Finished problems are frozen and removed in groups: copying the rest costs as much as several updates.
        if 4 * count >= len(done):
            kept = len(done) - count
            left.append(state.take(rows_of(done, count)) if kept else state)
            state = state.take(rows_of(~done, kept))
    _record(result, Iterate.joined(left), problem, settings, lowered)


def _record(result: TransportPlan, state: Iterate, problem: Problem, settings: Settings, lowered: Tensor) -> None:
    """Write finished problems into ``result``."""
    index = state.index
    plan, exponent = state.plan(), state.absorbed()
    half = lowered[index][:, None] / 2
    f = torch.where(state.log_a_AN.isfinite(), settings.epsilon * (state.u_AN + state.du_AN) + half, 0.0)
    g = torch.where(state.log_b_AM.isfinite(), settings.epsilon * (state.v_AM + state.dv_AM) + half, 0.0)
    cost, a, b = problem.cost[index], problem.a[index], problem.b[index]
    result.value[index] = entropic_value(cost, a, b, plan, exponent, settings)
    result.plan[index] = plan
    result.potential_source[index] = f
    result.potential_target[index] = g
    result.marginal_error[index] = state.error_A
    result.iterations[index] = state.iterations_A
