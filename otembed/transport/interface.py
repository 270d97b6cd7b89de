"""One door to every transport problem of this room."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, get_args

from torch import Tensor

from otembed.errors import ConfigError, did_you_mean
from otembed.transport.exact import exact
from otembed.transport.free import solve_with_free_side
from otembed.transport.implicit import attach_plan_gradients
from otembed.transport.partial import solve_partial
from otembed.transport.plan import TransportPlan
from otembed.transport.pot_backend import solve_by_pot
from otembed.transport.sinkhorn import sinkhorn
from otembed.transport.strength import (
    Relaxation,
    check_positive,
    check_stopping,
    free_side,
    is_relaxed,
    make_strength,
)

Backend = Literal["native", "pot"]


def solve(
    cost: Tensor,
    a: Tensor,
    b: Tensor,
    *,
    epsilon: float,
    relaxation: Relaxation = None,
    share: float | None = None,
    tol: float = 1e-4,
    max_iter: int = 2000,
    plan_gradients: bool = False,
    backend: Backend = "native",
    threads: int | None = None,
) -> TransportPlan:
    r"""Solve a batch of transport problems: entropic or exact, balanced, relaxed or partial.

    ==================  ==========================================================================
    ``epsilon`` > 0     balanced, see :func:`otembed.transport.sinkhorn`
    ``relaxation``      KL-relaxed marginals on both sides or, with ``math.inf`` for one, semi-relaxed
    one side 0          the free side takes what it is given, in closed form (``epsilon`` 0: MaxSim's choice)
    ``share``           partial: :math:`P 1 \le a,\ P^\top 1 \le b`, total mass = share of the smaller total
    ``epsilon`` 0       exact, balanced or partial, by POT's network simplex in a pool of threads
    ==================  ==========================================================================

    Parameters
    ----------
    cost, a, b
        (B, N, M), (B, N) and (B, M): costs and masses, zero mass marking padding.
    epsilon
        Strength of the entropic term in units of the cost; 0 for the exact plan.
    relaxation
        As in :func:`otembed.transport.sinkhorn`; in a pair, ``None`` is a constraint too, and 0 sets a side free
        where the other is a constraint.
    share
        Share of the smaller side's mass that is carried, above 0 and below 1; the totals may differ. The
        marginal error is then the L1 violation of the optimality conditions, by the carried mass.
    tol, max_iter
        When an entropic problem stops; the exact solver needs neither.
    plan_gradients
        Let gradients flow through ``plan`` too, by implicit differentiation (entropic, not partial).
    backend
        ``native``, or ``pot`` for ``ot.batch.solve_batch`` (balanced, entropic): a second opinion, slower.
    threads
        Problems that the exact solver takes at a time; ``None`` for ``torch.get_num_threads()``.

    Returns
    -------
    TransportPlan
        The same fields whatever was asked for. ``value`` carries gradients by the envelope theorem.

    Raises
    ------
    ConfigError
        If tensors do not fit, a setting is out of range or two of them exclude each other.
    NumericsError
        If a balanced problem has unequal totals.

    References
    ----------
    Partial transport: Benamou et al., Iterative Bregman projections for regularized transportation problems,
    SIAM J. Sci. Comput. 2015; the equivalents in POT are ``ot.partial.entropic_partial_wasserstein`` (whose
    entropy is relative to 1, not to :math:`a b^\top`) and ``ot.partial.partial_wasserstein``.

    Examples
    --------
    Half of the mass takes the free half of the way and leaves the dear half alone.

    >>> import torch
    >>> cost = torch.tensor([[[0.0, 9.0], [9.0, 5.0]]])
    >>> half = torch.tensor([[0.5, 0.5]])
    >>> solve(cost, half, half, epsilon=0, share=0.5).plan.tolist()
    [[[0.5, 0.0], [0.0, 0.0]]]
    """
    check_settings(
        epsilon=epsilon,
        relaxation=relaxation,
        share=share,
        tol=tol,
        max_iter=max_iter,
        plan_gradients=plan_gradients,
        backend=backend,
    )
    free = free_side(relaxation)
    if free is not None:
        return solve_with_free_side(cost, a, b, float(epsilon), free_source=free == "source")
    if not epsilon:
        return exact(cost, a, b, share=share, threads=threads)
    strength = make_strength(epsilon, relaxation)
    if share is not None:
        return solve_partial(cost, a, b, strength, share=share, tol=tol, max_iter=max_iter)
    if backend == "pot":
        result = solve_by_pot(cost, a, b, strength, tol=tol, max_iter=max_iter)
    else:
        result = sinkhorn(cost, a, b, epsilon=epsilon, relaxation=relaxation, tol=tol, max_iter=max_iter)
    if plan_gradients:
        result = replace(result, plan=attach_plan_gradients(result, cost, a, b, strength))
    return result


def check_settings(
    *,
    epsilon: float,
    relaxation: Relaxation = None,
    share: float | None = None,
    tol: float = 1e-4,
    max_iter: int = 2000,
    plan_gradients: bool = False,
    backend: Backend = "native",
) -> None:
    """Refuse settings of :func:`solve` that are out of range or exclude each other, before there is a problem.

    Raises
    ------
    ConfigError
        With the setting, its value and what to give instead.
    """
    if backend not in get_args(Backend):
        raise ConfigError(f"unknown backend {backend!r}", did_you_mean(str(backend), get_args(Backend)))
    if epsilon != 0:
        check_positive("epsilon", epsilon)
    if share is not None:
        check_positive("share", share)
        if not share < 1:
            raise ConfigError(
                f"share = {share:g} is not below 1", "Leave share out: balanced transport carries all."
            )
        if relaxation is not None:
            raise ConfigError(
                "share and relaxation exclude each other", "A share fixes the carried mass; a relaxation prices it."
            )
    free = free_side(relaxation) is not None
    relaxed = is_relaxed(relaxation)
    if not epsilon and relaxed and not free:
        raise ConfigError("epsilon = 0 knows no relaxation", "Give an epsilon above 0, or a share.")
    if epsilon and not free:
        make_strength(epsilon, relaxation)
    check_stopping(tol, max_iter)
    if plan_gradients and (not epsilon or share is not None or free):
        raise ConfigError(
            "plan_gradients needs an entropic plan with all its mass and no free side",
            "Give an epsilon above 0, no share and no relaxation of 0.",
        )
    if backend == "pot" and (relaxed or share is not None or not epsilon):
        raise ConfigError("backend = pot solves balanced entropic problems alone", "Use backend native.")
