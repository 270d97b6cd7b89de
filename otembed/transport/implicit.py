"""Gradients of the plan itself, by implicit differentiation of the optimality conditions.

Axes: B problems, N source units, M target units.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from otembed.transport.plan import TransportPlan
from otembed.transport.strength import Strength


def attach_plan_gradients(result: TransportPlan, cost: Tensor, a: Tensor, b: Tensor, strength: Strength) -> Tensor:
    r"""Return ``result.plan`` with gradients to the costs and the masses.

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

    The larger side is eliminated, so one backward pass costs a batched solve of min(N, M) unknowns, in
    float64, whatever the number of iterations was; the graph keeps the plan. Exact up to the tolerance of
    the solver; differentiable once.

    Balanced plans exist for equal totals only: gradients of the masses hold along directions that keep
    them equal. Problems that are EMPTY or NON_FINITE get zeros.

    References
    ----------
    Eisenberger et al., A unified framework for implicit Sinkhorn differentiation, CVPR 2022.
    """
    plan: Tensor = _ImplicitPlan.apply(cost, a, b, result.plan, strength)  # type: ignore[no-untyped-call]
    return plan


class _ImplicitPlan(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, cost: Tensor, a: Tensor, b: Tensor, plan: Tensor, strength: Strength) -> Tensor:
        ctx.save_for_backward(a, b, plan)
        ctx.strength = strength
        return plan.clone()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        a, b, plan = (tensor.double() for tensor in ctx.saved_tensors)
        # Under padding the plan is 0, and 0 times a NaN of the loss would be NaN.
        weighted = torch.where(plan > 0, plan * upstream.double(), 0.0)
        p, q = _adjoint(plan, weighted, ctx.strength)
        grad_cost = grad_a = grad_b = None
        if ctx.needs_input_grad[0]:
            grad_cost = (plan * (p[:, :, None] + q[:, None, :]) - weighted) / ctx.strength.epsilon
        if ctx.needs_input_grad[1]:
            moved = weighted.sum(2) - (plan @ q[:, :, None])[:, :, 0]
            grad_a = torch.where(a > 0, moved / a, 0.0)
        if ctx.needs_input_grad[2]:
            moved = weighted.sum(1) - (plan.mT @ p[:, :, None])[:, :, 0]
            grad_b = torch.where(b > 0, moved / b, 0.0)
        found = (
            None if gradient is None else gradient.to(tensor.dtype)
            for gradient, tensor in zip(
                (grad_cost, grad_a, grad_b), (upstream, *ctx.saved_tensors[:2]), strict=True
            )
        )
        return *found, None, None


def _adjoint(plan: Tensor, weighted: Tensor, strength: Strength) -> tuple[Tensor, Tensor]:
    """Solve for the adjoint potentials p (B, N) and q (B, M); padding gets 0."""
    soft_a, soft_b = strength.softness
    if plan.shape[2] > plan.shape[1]:
        turned = Strength(strength.epsilon, strength.rho_b, strength.rho_a)
        q, p = _adjoint(plan.mT, weighted.mT, turned)
        return p, q
    rows, columns = plan.sum(2), plan.sum(1)
    inverse = torch.where(rows > 0, 1.0 / (rows * (1.0 + soft_a)), 0.0)
    real = columns > 0
    # The Schur complement after eliminating p; padding solves 1 q = 0.
    schur = torch.diag_embed(torch.where(real, columns * (1.0 + soft_b), 1.0))
    schur = schur - plan.mT @ (inverse[:, :, None] * plan)
    if strength.balanced:
        # Constants on the real units are its null space: q is fixed by having mean 0 there.
        constant = real.double() / real.sum(1, keepdim=True).clamp_min(1).sqrt()
        size = columns.amax(1).clamp_min(torch.finfo(plan.dtype).tiny)
        schur = schur + size[:, None, None] * constant[:, :, None] * constant[:, None, :]
    right = weighted.sum(1) - (plan.mT @ (inverse * weighted.sum(2))[:, :, None])[:, :, 0]
    q = torch.where(real, torch.linalg.solve(schur, right[:, :, None])[:, :, 0], 0.0)
    p = inverse * (weighted.sum(2) - (plan @ q[:, :, None])[:, :, 0])
    return p, q
