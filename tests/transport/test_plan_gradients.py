"""Gradients through the plan against unrolled iterations and finite differences."""

from __future__ import annotations

import math

import pytest
import torch
from torch.autograd import gradcheck

from otembed.transport import solve

STRENGTHS = [None, 0.4, (math.inf, 0.4), (0.2, math.inf), (0.2, 1.0)]


def unrolled_plan(cost, a, b, epsilon, relaxation, steps=3000):
    """The plain iteration in log domain, every step recorded."""
    rho = (
        (math.inf, math.inf)
        if relaxation is None
        else relaxation
        if isinstance(relaxation, tuple)
        else (relaxation, relaxation)
    )
    soft_a, soft_b = (1.0 if math.isinf(each) else each / (each + epsilon) for each in rho)
    kernel = -cost / epsilon
    u, v = torch.zeros_like(a), torch.zeros_like(b)
    for _ in range(steps):
        u = -soft_a * torch.logsumexp(kernel + (v + b.log())[:, None, :], 2)
        v = -soft_b * torch.logsumexp(kernel + (u + a.log())[:, :, None], 1)
    return a[:, :, None] * b[:, None, :] * (kernel + u[:, :, None] + v[:, None, :]).exp()


def implicit_plan(cost, a, b, epsilon, relaxation):
    return solve(
        cost, a, b, epsilon=epsilon, relaxation=relaxation, tol=1e-13, max_iter=100_000, plan_gradients=True
    ).plan


@pytest.mark.parametrize("relaxation", STRENGTHS)
@pytest.mark.parametrize("sizes", [(2, 5, 4), (2, 3, 6)])
def test_plan_gradient_matches_unrolled_iterations(batch_of, relaxation, sizes):
    cost, a, b = batch_of(sizes=sizes, ragged=False)
    goal = torch.randn(cost.shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    gradients = []
    for plan_of in (implicit_plan, unrolled_plan):
        inputs = [tensor.clone().requires_grad_() for tensor in (cost, a, b)]
        plan = plan_of(*inputs, 0.1, relaxation)
        found = list(torch.autograd.grad(((plan - goal).square()).sum(), inputs))
        if relaxation is None:  # totals stay equal: only directions with the same sum on both sides are defined
            flat = torch.cat(found[1:], 1)
            across = torch.cat([torch.ones_like(a), -torch.ones_like(b)], 1)
            flat = flat - (flat * across).sum(1, keepdim=True) / across.square().sum(1, keepdim=True) * across
            found = [found[0], flat]
        gradients.append(found)
    for mine, recorded in zip(*gradients, strict=True):
        torch.testing.assert_close(mine, recorded, atol=1e-8, rtol=1e-7)


@pytest.mark.parametrize("relaxation", STRENGTHS)
def test_plan_gradient_passes_gradcheck(batch_of, relaxation):
    cost, a, b = batch_of(sizes=(2, 4, 3))
    assert gradcheck(
        lambda cost: implicit_plan(cost, a, b, 0.2, relaxation), cost.requires_grad_(), eps=1e-6, atol=1e-6
    )


def test_plan_gradient_is_finite_and_correct_at_small_epsilon(batch_of):
    """Sides of unlike length: near a permutation the recorded loop itself is far from converged."""
    cost, a, b = batch_of(sizes=(2, 5, 3), ragged=False)
    cost.requires_grad_()
    plan = implicit_plan(cost, a, b, 0.02, None)
    (gradient,) = torch.autograd.grad((plan * cost.detach()).sum(), cost)
    recorded = unrolled_plan(cost, a, b, 0.02, None, steps=20_000)
    (expected,) = torch.autograd.grad((recorded * cost.detach()).sum(), cost)
    assert bool(gradient.isfinite().all())
    torch.testing.assert_close(gradient, expected, atol=1e-8, rtol=1e-6)


def test_padding_empty_and_non_finite_problems_get_zero_gradients():
    cost = torch.rand(4, 3, 3)
    cost[2, 0, 0] = math.nan
    a = torch.tensor([[0.5, 0.5, 0.0], [0.0, 0.0, 0.0], [0.5, 0.5, 0.0], [1.0, 0.0, 0.0]])
    cost.requires_grad_()
    plan = solve(cost, a, a, epsilon=0.1, plan_gradients=True).plan
    (gradient,) = torch.autograd.grad((plan * plan.detach().log()).sum(), cost)  # 0 log 0 is NaN upstream
    assert bool(gradient.isfinite().all())
    assert bool((gradient[1:3] == 0).all())
    assert bool((gradient[0, 2] == 0).all())
    assert bool((gradient[0, :2, :2] != 0).any())


def test_graph_does_not_record_the_iterations(batch_of):
    saved = []
    cost, a, b = batch_of(sizes=(2, 8, 8), ragged=False)
    with torch.autograd.graph.saved_tensors_hooks(
        lambda tensor: saved.append(tensor.numel()) or tensor, lambda t: t
    ):
        result = solve(cost.requires_grad_(), a, b, epsilon=0.01, plan_gradients=True)
        loss = result.plan[:, 0, 0].sum()
    assert int(result.iterations.max()) > 10
    assert sum(saved) <= 3 * cost.numel()
    loss.backward()


def test_learned_masses_receive_a_gradient(batch_of):
    """Scores through a softmax are masses of one total: every direction is one of equal totals."""
    cost, _, b = batch_of(sizes=(2, 4, 3), ragged=False)
    scores = torch.randn(2, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1), requires_grad=True)

    def both(scores):
        result = solve(cost, scores.softmax(1), b, epsilon=0.1, tol=1e-13, max_iter=100_000, plan_gradients=True)
        return result.value, result.plan

    assert gradcheck(both, scores, eps=1e-6, atol=1e-6)
