"""The entry point to every transport problem of this package."""

from __future__ import annotations

from torch import Tensor

from otembed.transport.frame import Method, run
from otembed.transport.plan import TransportPlan
from otembed.transport.settings import Backend, Relaxation, Settings, check_settings
from otembed.transport.solvers.exact import by_network_simplex
from otembed.transport.solvers.free import by_closed_form
from otembed.transport.solvers.partial import by_partial_sinkhorn
from otembed.transport.solvers.pot import by_pot
from otembed.transport.solvers.sinkhorn import by_sinkhorn


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
    one side 0          that side is free: closed form (with ``epsilon`` 0, the assignment of MaxSim)
    ``share``           partial: :math:`P 1 \le a,\ P^\top 1 \le b`, total mass = share of the smaller total
    ``epsilon`` 0       exact, balanced or partial, by POT's network simplex in a pool of threads
    ==================  ==========================================================================

    Parameters
    ----------
    cost, a, b
        (B, N, M), (B, N) and (B, M): costs and masses, zero mass marking padding.
    epsilon
        Strength of the entropic term, in units of the cost; 0 for the exact plan.
    relaxation
        As in :func:`otembed.transport.sinkhorn`. In a pair, ``None`` is also a constraint, and 0 makes a side free
        if the other side is a constraint.
    share
        Share of the smaller total that is transported, between 0 and 1; the totals may differ. The marginal
        error is then the L1 violation of the optimality conditions, relative to the transported mass.
    tol, max_iter
        Stopping criteria of entropic problems; the exact solver ignores them.
    plan_gradients
        Also propagate gradients through ``plan``, by implicit differentiation (entropic, not partial).
    backend
        ``native``, or ``pot`` for ``ot.batch.solve_batch`` (balanced, entropic): a slower reference.
    threads
        Number of problems that the exact solver solves in parallel; ``None`` for ``torch.get_num_threads()``.

    Returns
    -------
    TransportPlan
        The same fields for every method. ``value`` carries gradients by the envelope theorem.

    Raises
    ------
    ConfigError
        If tensors do not match, a setting is out of range, or two of them are mutually exclusive.
    NumericsError
        If a balanced problem has unequal totals.

    References
    ----------
    Partial transport: Benamou et al., Iterative Bregman projections for regularized transportation problems,
    SIAM J. Sci. Comput. 2015; the equivalents in POT are ``ot.partial.entropic_partial_wasserstein`` (whose
    entropy is relative to 1, not to :math:`a b^\top`) and ``ot.partial.partial_wasserstein``.

    Examples
    --------
    Half of the mass is transported, at no cost; the other half stays in place.

    >>> import torch
    >>> cost = torch.tensor([[[0.0, 9.0], [9.0, 5.0]]])
    >>> half = torch.tensor([[0.5, 0.5]])
    >>> solve(cost, half, half, epsilon=0, share=0.5).plan.tolist()
    [[[0.5, 0.0], [0.0, 0.0]]]
    """
    settings = check_settings(
        epsilon=epsilon,
        relaxation=relaxation,
        share=share,
        tol=tol,
        max_iter=max_iter,
        plan_gradients=plan_gradients,
        backend=backend,
        threads=threads,
    )
    return solve_checked(cost, a, b, settings)


def solve_checked(cost: Tensor, a: Tensor, b: Tensor, settings: Settings) -> TransportPlan:
    """Solve as :func:`solve` with settings that are already checked."""
    return run(_method(settings), cost, a, b, settings)


def _method(settings: Settings) -> Method:
    if settings.has_free_side:
        return by_closed_form
    if not settings.epsilon:
        return by_network_simplex
    if settings.share is not None:
        return by_partial_sinkhorn
    return by_pot if settings.backend == "pot" else by_sinkhorn
