"""The debiased Sinkhorn divergence between two clouds of vectors.

Axes: B problems, N source units, M target units, D dimensions.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from otembed.errors import ConfigError
from otembed.transport.costs import Metric, pairwise_cost
from otembed.transport.frame import run
from otembed.transport.plan import TransportPlan, TransportStatus
from otembed.transport.problem import check_floating, check_vectors, clean
from otembed.transport.settings import Relaxation, Settings, check_entropic
from otembed.transport.solvers.sinkhorn import by_sinkhorn


def sinkhorn_divergence(
    x: Tensor,
    y: Tensor,
    a: Tensor,
    b: Tensor,
    *,
    metric: Metric,
    epsilon: float,
    relaxation: Relaxation = None,
    tol: float = 1e-4,
    max_iter: int = 2000,
) -> TransportPlan:
    r"""Return the distance between two weighted clouds, without the bias of entropic transport.

    .. math::
        S = \mathrm{OT}(x, y) - \tfrac12 \mathrm{OT}(x, x) - \tfrac12 \mathrm{OT}(y, y)
        \;\bigl[\, + \tfrac{\varepsilon}{2} (\textstyle\sum a - \sum b)^2 \text{ under relaxation} \bigr]

    with OT the value of :func:`otembed.transport.sinkhorn`. It is 0 for equal clouds and not negative for
    costs whose kernel :math:`e^{-C / \varepsilon}` is positive definite (all metrics offered here are), up to
    ``tol`` times the spread of the potentials.

    Parameters
    ----------
    x, y
        (B, N, D) and (B, M, D) vectors; vectors of zero mass are not read and may hold NaN.
    a, b
        (B, N) and (B, M) masses; zero marks padding.
    metric
        Name of the cost, see :func:`otembed.transport.pairwise_cost`.
    epsilon, relaxation, tol, max_iter
        As in :func:`otembed.transport.sinkhorn`, for all three terms. The divergence is defined
        only if both sides have the same relaxation.

    Returns
    -------
    TransportPlan
        ``value`` is S. Plan and potentials belong to the cross term; ``status``, ``marginal_error`` and
        ``iterations`` are the maxima over the three terms. A problem with an empty side has value 0.

    Raises
    ------
    ConfigError
        If shapes do not match or a setting is out of range.
    NumericsError
        If the total masses of a balanced problem differ.

    Notes
    -----
    Gradients flow to ``x``, ``y``, ``a`` and ``b`` through three envelope nodes and the costs. The terms
    within a cloud are symmetric, so each update is averaged with the previous potentials, which converges in
    few iterations at any epsilon.

    References
    ----------
    Feydy et al., Interpolating between optimal transport and MMD using Sinkhorn divergences, AISTATS 2019.
    Séjourné et al., Sinkhorn divergences for unbalanced optimal transport, arXiv 1910.12958, 2019.

    Examples
    --------
    With single units, the divergence is the cost itself.

    >>> x, y, one = torch.tensor([[[0.0, 0.0]]]), torch.tensor([[[3.0, 4.0]]]), torch.ones(1, 1)
    >>> sinkhorn_divergence(x, y, one, one, metric="euclidean", epsilon=0.1).value.tolist()
    [5.0]
    """
    settings = check_divergence_settings(epsilon=epsilon, relaxation=relaxation, tol=tol, max_iter=max_iter)
    check_vectors(x, y)
    check_floating("a and b", a, b)
    _check_masses(x, a, "x and a")
    _check_masses(y, b, "y and b")
    (x, a), (y, b) = clean(x, a), clean(y, b)
    cross = run(by_sinkhorn, pairwise_cost(x, y, metric=metric), a, b, settings)
    symmetric = replace(settings, symmetric=True)
    within = [run(by_sinkhorn, pairwise_cost(z, z, metric=metric), c, c, symmetric) for z, c in ((x, a), (y, b))]
    value = cross.value - within[0].value / 2 - within[1].value / 2
    if not settings.balanced:
        broken = (cross.status == TransportStatus.NON_FINITE)[:, None]  # a NaN mass would spread to all gradients
        a, b = torch.where(broken, 0.0, a), torch.where(broken, 0.0, b)
        value = value + settings.epsilon / 2 * (a.sum(1) - b.sum(1)).square()
    return _combined(cross, within, value)


def check_divergence_settings(*, epsilon: float, relaxation: Relaxation, tol: float, max_iter: int) -> Settings:
    """Check the settings of :func:`sinkhorn_divergence` before there is a problem to solve.

    Raises
    ------
    ConfigError
        If a setting is out of range, or the relaxations of both sides differ.
    """
    settings = check_entropic(epsilon=epsilon, relaxation=relaxation, tol=tol, max_iter=max_iter)
    if settings.rho_a != settings.rho_b:
        raise ConfigError(
            f"the divergence requires the same relaxation on both sides, got {relaxation!r}",
            "Set relaxation to a single number or None.",
        )
    return settings


def _check_masses(z: Tensor, masses: Tensor, names: str) -> None:
    if z.ndim != 3 or masses.shape != z.shape[:2]:
        raise ConfigError(
            f"{names} do not match: shapes {tuple(z.shape)} and {tuple(masses.shape)}",
            "Pass vectors (B, N, D) and masses (B, N).",
        )


def _combined(cross: TransportPlan, within: list[TransportPlan], value: Tensor) -> TransportPlan:
    """Return the cross term with the divergence as its value and the worst status and error of all terms."""
    terms = [cross, *within]
    status = torch.stack([term.status for term in terms]).amax(0)
    value = torch.where(status == TransportStatus.EMPTY, 0.0, value)
    return replace(
        cross,
        value=torch.where(status == TransportStatus.NON_FINITE, math.nan, value),
        marginal_error=torch.stack([term.marginal_error for term in terms]).amax(0),
        iterations=torch.stack([term.iterations for term in terms]).amax(0),
        status=status,
    )
