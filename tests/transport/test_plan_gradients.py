"""Gradients through the plan against unrolled iterations and finite differences."""

from __future__ import annotations

import math

import pytest
import torch
from torch.autograd import gradcheck

from otembed.errors import ConfigError
from otembed.transport import pairwise_cost, solve

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


def test_plan_in_two_parts_has_the_gradient_of_finite_differences(batch_of):
    """Two pairs of units that no cell connects, next to an ordinary problem: one null vector for each part."""
    cost, a, _ = batch_of(sizes=(2, 4, 4), ragged=False)
    cost[0, :2, 2:] += 50.0
    cost[0, 2:, :2] += 50.0
    b = a.flip(0)
    a[0], b[0] = 0.25, 0.25
    plan = implicit_plan(cost, a, b, 0.05, None)
    assert bool((plan[0, :2, 2:] == 0).all())
    assert gradcheck(lambda cost: implicit_plan(cost, a, b, 0.05, None), cost.requires_grad_(), eps=1e-6, atol=1e-6)


def test_plan_between_far_units_has_no_gradient():
    cost = torch.tensor([[[0.0, 1000.0], [1000.0, 0.0]]], dtype=torch.float64, requires_grad=True)
    half = torch.tensor([[0.5, 0.5]], dtype=torch.float64)
    solve(cost, half, half, epsilon=0.01, plan_gradients=True).plan[0, 0, 0].backward()
    torch.testing.assert_close(cost.grad, torch.zeros_like(cost), atol=1e-12, rtol=0)


def test_plan_gradient_of_weakly_connected_units_matches_unrolled_iterations():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(20, 10, 384, generator=generator, dtype=torch.float64)
    y = x + 0.5 * torch.randn(x.shape, generator=generator, dtype=torch.float64)
    cost, uniform = pairwise_cost(x, y).requires_grad_(), torch.full((20, 10), 0.1, dtype=torch.float64)
    weights = torch.rand(cost.shape, generator=generator, dtype=torch.float64)
    found, expected = (
        torch.autograd.grad((plan * weights).sum(), cost)[0]
        for plan in (
            implicit_plan(cost, uniform, uniform, 0.02, None),
            unrolled_plan(cost, uniform, uniform, 0.02, None, steps=100),
        )
    )
    torch.testing.assert_close(found, expected, atol=1e-12, rtol=1e-6)


def test_second_derivatives_are_rejected(batch_of):
    cost, a, b = batch_of()
    plan = solve(cost.requires_grad_(), a, b, epsilon=0.1, plan_gradients=True).plan
    for loss in (plan[:, 0, 0].sum(), plan.square().sum()):
        (gradient,) = torch.autograd.grad(loss, cost, create_graph=True)
        with pytest.raises(ConfigError, match="once"):
            gradient.sum().backward(retain_graph=True)


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
