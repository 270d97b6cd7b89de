"""Gradients by the envelope theorem, and what the graph keeps for them."""

from __future__ import annotations

import math

import pytest
import torch
from torch.autograd import gradcheck

from otembed.errors import ConfigError
from otembed.transport import exact, sinkhorn, sinkhorn_divergence

STRENGTHS = [None, 0.4, (math.inf, 0.4), (0.2, 1.0)]


def solve(cost, a, b, relaxation, epsilon=0.1):
    return sinkhorn(cost, a, b, epsilon=epsilon, relaxation=relaxation, tol=1e-12, max_iter=20_000)


@pytest.mark.parametrize("relaxation", STRENGTHS)
def test_cost_gradient_is_the_plan_and_passes_gradcheck(batch_of, relaxation):
    cost, a, b = batch_of(sizes=(3, 4, 5))
    cost.requires_grad_()
    result = solve(cost, a, b, relaxation)
    (gradient,) = torch.autograd.grad(result.value.sum(), cost)
    torch.testing.assert_close(gradient, result.plan, atol=0, rtol=0)
    assert gradcheck(lambda cost: solve(cost, a, b, relaxation).value, cost, atol=1e-7)


@pytest.mark.parametrize("relaxation", STRENGTHS[1:3])
def test_relaxed_mass_gradient_passes_gradcheck(batch_of, relaxation):
    cost, a, b = batch_of(sizes=(3, 4, 5), ragged=False)
    a, b = a.requires_grad_(), (b * torch.tensor([[0.7], [1.0], [1.3]])).requires_grad_()
    assert gradcheck(lambda a, b: solve(cost, a, b, relaxation).value, (a, b), atol=1e-7)


@pytest.mark.parametrize("total", [1.0, 3.0])
@pytest.mark.parametrize("epsilon", [0.1, 1.0])
def test_balanced_mass_gradient_along_directions_of_equal_totals(batch_of, epsilon, total):
    cost, a, b = batch_of(sizes=(3, 4, 5), ragged=False)
    a, b = (a * total).requires_grad_(), (b * total).requires_grad_()
    result = solve(cost, a, b, None, epsilon)
    found = torch.autograd.grad(result.value.sum(), (a, b))
    generator = torch.Generator().manual_seed(1)
    for _ in range(5):
        da, db = (torch.randn(side.shape, generator=generator, dtype=side.dtype) for side in (a, b))
        db = db + (da.sum(1, keepdim=True) - db.sum(1, keepdim=True)) / b.shape[1]  # totals stay equal
        step = 1e-5
        with torch.no_grad():
            above = solve(cost, a + step * da, b + step * db, None, epsilon).value
            below = solve(cost, a - step * da, b - step * db, None, epsilon).value
        slope = (found[0] * da).sum(1) + (found[1] * db).sum(1)
        torch.testing.assert_close(slope, (above - below) / (2 * step), atol=1e-7, rtol=1e-7)


def test_normalized_mass_gradient_is_the_potential(batch_of):
    cost, a, b = batch_of()
    a, b = a.requires_grad_(), b.requires_grad_()
    result = solve(cost, a, b, None)
    found = torch.autograd.grad(result.value.sum(), (a, b))
    torch.testing.assert_close(found[0], result.potential_source, atol=1e-12, rtol=0)
    torch.testing.assert_close(found[1], result.potential_target, atol=1e-12, rtol=0)


def test_gradients_scale_with_the_upstream_gradient(batch_of):
    cost, a, b = batch_of()
    cost.requires_grad_()
    result = solve(cost, a, b, None)
    weights = torch.tensor([1.0, -2.0, 0.0, 3.0], dtype=torch.float64)
    (gradient,) = torch.autograd.grad(result.value @ weights, cost)
    torch.testing.assert_close(gradient, weights[:, None, None] * result.plan)


@pytest.mark.parametrize("epsilon", [1.0, 0.01])
def test_graph_is_one_node_that_keeps_the_plan_and_two_potentials(batch_of, epsilon):
    batch = batch_of()
    leaves = [tensor.requires_grad_() for tensor in batch]
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor) or tensor, lambda x: x):
        result = sinkhorn(*leaves, epsilon=epsilon, max_iter=20_000)
    node = result.value.grad_fn
    assert {type(parent[0]).__name__ for parent in node.next_functions if parent[0]} == {"AccumulateGrad"}
    shapes = sorted(tuple(tensor.shape) for tensor in kept)
    assert shapes == sorted([tuple(t.shape) for t in batch] + [(len(batch.cost),)])
    assert any(tensor.data_ptr() == result.plan.data_ptr() for tensor in kept)  # shared, not copied


def test_only_the_value_carries_gradients(batch_of):
    cost, a, b = batch_of()
    result = solve(cost.requires_grad_(), a, b, None)
    assert result.value.requires_grad
    for name in ("plan", "potential_source", "potential_target", "marginal_error"):
        assert not getattr(result, name).requires_grad, name


def test_second_derivatives_are_rejected(batch_of):
    cost, a, b = batch_of()
    root = cost.sqrt().requires_grad_()
    (gradient,) = torch.autograd.grad(solve(root.square(), a, b, None).value.sum(), root, create_graph=True)
    with pytest.raises(ConfigError, match="once"):
        gradient.sum().backward()


def test_exact_gradients(batch_of):
    cost, a, b = batch_of(sizes=(3, 4, 5))
    leaves = [tensor.requires_grad_() for tensor in (cost, a, b)]
    result = exact(*leaves)
    found = torch.autograd.grad(result.value.sum(), leaves)
    for gradient, wanted in zip(
        found, (result.plan, result.potential_source, result.potential_target), strict=True
    ):
        torch.testing.assert_close(gradient, wanted, atol=0, rtol=0)
    # Random costs have one optimal plan, and it does not change nearby.
    assert gradcheck(lambda cost: exact(cost, a.detach(), b.detach()).value, cost, atol=1e-7)


@pytest.mark.parametrize(
    ("metric", "relaxation"),
    [("cosine", None), ("euclidean", None), ("sqeuclidean", 0.5), ("half_sqeuclidean", None), ("cosine", 0.5)],
)
def test_divergence_passes_gradcheck(metric, relaxation):
    generator = torch.Generator().manual_seed(0)
    x, y = (torch.randn(2, n, 2, generator=generator, dtype=torch.float64).requires_grad_() for n in (3, 4))
    a = torch.tensor([[0.2, 0.5, 0.3], [0.4, 0.6, 0.0]], dtype=torch.float64)
    b = torch.tensor([[0.1, 0.2, 0.3, 0.4], [1.0, 0.0, 0.0, 0.0]], dtype=torch.float64)

    def value(x, y):
        return sinkhorn_divergence(
            x, y, a, b, metric=metric, epsilon=1.0, relaxation=relaxation, tol=1e-11, max_iter=20_000
        ).value

    assert gradcheck(value, (x, y), atol=1e-6)
