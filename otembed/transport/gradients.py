"""Gradients of the value by the envelope theorem, and of the plan by implicit differentiation.

Axes: B problems, N source units, M target units.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from otembed.errors import ConfigError
from otembed.transport.settings import Settings


class _EnvelopeValue(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, cost: Tensor, a: Tensor, b: Tensor, value: Tensor, *gradients: Tensor | None) -> Tensor:
        ctx.save_for_backward(*gradients, value.isfinite())
        return value.clone()

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        *gradients, finite = ctx.saved_tensors
        # A NaN value would spread: its upstream gradient is NaN, and NaN times 0 is not 0.
        upstream = torch.where(finite, upstream.detach(), 0.0)
        found = [
            upstream.view(-1, *[1] * (gradient.ndim - 1)) * gradient if needed and gradient is not None else None
            for gradient, needed in zip(gradients, ctx.needs_input_grad, strict=False)
        ]
        return *once(found), None, None, None, None


class _Once(torch.autograd.Function):
    """The identity, which raises an error when differentiated.

    ``once_differentiable`` silently allows a wrong second derivative where the upstream gradient is constant,
    as for ``value.sum()``.
    """

    @staticmethod
    def forward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient.clone()

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> None:
        raise ConfigError(
            "transport values can be differentiated only once",
            "Remove create_graph=True, or detach the gradient before using it.",
        )


def once(gradients: Sequence[Tensor | None]) -> list[Tensor | None]:
    """Return detached gradients, under ``create_graph=True`` as tensors that cannot be differentiated again."""
    if not torch.is_grad_enabled():
        return list(gradients)
    return [
        None if gradient is None else _Once.apply(gradient.requires_grad_())  # type: ignore[no-untyped-call]
        for gradient in gradients
    ]


def attach_gradients(
    cost: Tensor, a: Tensor, b: Tensor, *, value: Tensor, plan: Tensor, grad_a: Tensor | None, grad_b: Tensor | None
) -> Tensor:
    r"""Return ``value`` with its gradients at the optimum.

    At the optimum, the derivative of :math:`\min_P F(P; C, a, b)` equals the derivative of :math:`F` at fixed :math:`P`:
    the plan for the cost, ``grad_a`` and ``grad_b`` for the masses. No iteration is recorded; the graph holds
    one node, which keeps these three tensors. Gradients are exact up to the tolerance of the solver and
    differentiable once: a second derivative would require the derivative of the plan, and raises a ConfigError.

    Parameters
    ----------
    cost, a, b
        (B, N, M), (B, N) and (B, M), the inputs.
    value
        (B,) detached values; where they are NaN no gradient flows.
    plan, grad_a, grad_b
        (B, N, M), (B, N) and (B, M) detached gradients; None for masses that need no gradient.
    """
    attached: Tensor = _EnvelopeValue.apply(cost, a, b, value, plan, grad_a, grad_b)  # type: ignore[no-untyped-call]
    return attached


def attach_plan_gradients(plan: Tensor, cost: Tensor, a: Tensor, b: Tensor, settings: Settings) -> Tensor:
    r"""Return ``plan`` with gradients to the costs and the masses.

    The plan is :math:`P_{ij} = a_i b_j e^{(f_i + g_j - C_{ij}) / \varepsilon}` with marginals
    :math:`r = P 1 = a e^{-f / \rho_a}` and :math:`c = P^\top 1 = b e^{-g / \rho_b}`. Differentiating these
    equations, a loss with :math:`G = \partial L / \partial P` and :math:`H = P \odot G` has

    .. math::
        \frac{\partial L}{\partial C_{ij}} = \frac{P_{ij} (p_i + q_j) - H_{ij}}{\varepsilon}, \quad
        \frac{\partial L}{\partial a} = \frac{H 1 - P q}{a}, \quad
        \frac{\partial L}{\partial b} = \frac{H^\top 1 - P^\top p}{b},

    where p and q solve one symmetric system,

    .. math::
        \begin{pmatrix} (1 + \varepsilon / \rho_a) \mathrm{diag}(r) & P \\
        P^\top & (1 + \varepsilon / \rho_b) \mathrm{diag}(c) \end{pmatrix}
        \begin{pmatrix} p \\ q \end{pmatrix} = \begin{pmatrix} H 1 \\ H^\top 1 \end{pmatrix}.

    The larger side is eliminated, so one backward pass takes a batched eigendecomposition with min(N, M) unknowns,
    in float64, independent of the number of iterations; the graph keeps the plan. Exact up to the tolerance of
    the solver; differentiable once, a second derivative raises a ConfigError.

    Balanced plans exist for equal totals only: gradients of the masses are valid along directions that keep
    them equal. At small epsilon the cells between groups of units may vanish; the totals of each group then have to
    stay equal. Problems that are EMPTY or NON_FINITE get zeros.

    References
    ----------
    Eisenberger et al., A unified framework for implicit Sinkhorn differentiation, CVPR 2022.
    """
    attached: Tensor = _ImplicitPlan.apply(cost, a, b, plan, settings)  # type: ignore[no-untyped-call]
    return attached


class _ImplicitPlan(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, cost: Tensor, a: Tensor, b: Tensor, plan: Tensor, settings: Settings) -> Tensor:
        ctx.save_for_backward(a, b, plan)
        ctx.settings = settings
        return plan.clone()

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        a, b, plan = map(_in_float64, ctx.saved_tensors)
        # At padding the plan is 0, and 0 times a NaN gradient would be NaN.
        weighted = torch.where(plan > 0, plan * _in_float64(upstream), 0.0)
        p, q = _adjoint(plan, weighted, ctx.settings)
        grad_cost = grad_a = grad_b = None
        if ctx.needs_input_grad[0]:
            grad_cost = (plan * (p[:, :, None] + q[:, None, :]) - weighted) / ctx.settings.epsilon
        if ctx.needs_input_grad[1]:
            moved = weighted.sum(2) - (plan @ q[:, :, None])[:, :, 0]
            grad_a = torch.where(a > 0, moved / a, 0.0)
        if ctx.needs_input_grad[2]:
            moved = weighted.sum(1) - (plan.mT @ p[:, :, None])[:, :, 0]
            grad_b = torch.where(b > 0, moved / b, 0.0)
        found = [
            None if gradient is None else gradient.to(tensor)
            for gradient, tensor in zip(
                (grad_cost, grad_a, grad_b), (upstream, *ctx.saved_tensors[:2]), strict=True
            )
        ]
        return *once(found), None, None


def _in_float64(tensor: Tensor) -> Tensor:
    """Return a detached copy in float64, on the CPU if the tensor is on MPS, which has no float64."""
    tensor = tensor.detach()
    return (tensor.cpu() if tensor.device.type == "mps" else tensor).double()


def _adjoint(plan: Tensor, weighted: Tensor, settings: Settings) -> tuple[Tensor, Tensor]:
    """Solve for the adjoint potentials p (B, N) and q (B, M); padding gets 0."""
    soft_a, soft_b = settings.softness
    if plan.shape[2] > plan.shape[1]:
        turned = replace(settings, rho_a=settings.rho_b, rho_b=settings.rho_a)
        q, p = _adjoint(plan.mT, weighted.mT, turned)
        return p, q
    rows, columns = (
        torch.where(sums > 0, (sums * (1.0 + soft)).rsqrt(), 0.0)
        for sums, soft in ((plan.sum(2), soft_a), (plan.sum(1), soft_b))
    )
    # With a diagonal of 1, the Schur complement after eliminating p has eigenvalues from 0 to 1, whatever the masses.
    scaled = rows[:, :, None] * plan * columns[:, None, :]
    schur = torch.eye(plan.shape[2], dtype=plan.dtype, device=plan.device) - scaled.mT @ scaled
    right_a, right_b = rows * weighted.sum(2), columns * weighted.sum(1)
    right = right_b - (scaled.mT @ right_a[:, :, None])[:, :, 0]
    # A balanced plan has one null vector per set of units that its cells connect: several at small epsilon.
    values, vectors = torch.linalg.eigh(schur)
    kept = values > 10 * plan.shape[2] * torch.finfo(plan.dtype).eps
    inverse = torch.where(kept, 1.0 / values, 0.0)
    along = (vectors @ (inverse[:, :, None] * (vectors.mT @ right[:, :, None])))[:, :, 0]
    p = rows * (right_a - (scaled @ along[:, :, None])[:, :, 0])
    q = columns * along
    if settings.balanced:
        shift = q.sum(1, keepdim=True) / (columns > 0).sum(1, keepdim=True).clamp_min(1)
        p, q = torch.where(rows > 0, p + shift, 0.0), torch.where(columns > 0, q - shift, 0.0)
    return p, q
