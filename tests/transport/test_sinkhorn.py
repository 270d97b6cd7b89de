"""Entropic plans and values against POT, in both precisions and over six decades of epsilon."""

from __future__ import annotations

import math

import numpy as np
import ot
import pytest
import torch

from otembed.transport import TransportStatus, sinkhorn

pytestmark = pytest.mark.usefixtures("engine")

INF = math.inf


@pytest.mark.parametrize("epsilon", [1000.0, 1.0, 0.1, 0.03, 0.01])
def test_balanced_agrees_with_pot(batch_of, pot_solution, epsilon):
    batch = batch_of()
    value, plan = pot_solution(batch, epsilon)
    result = sinkhorn(*batch, epsilon=epsilon, tol=1e-10, max_iter=20_000)
    assert result.converged.all()
    torch.testing.assert_close(result.plan, plan, atol=1e-8, rtol=0)
    torch.testing.assert_close(result.value, value, atol=1e-8, rtol=1e-8)


def test_balanced_agrees_with_pot_solve(batch_of):
    cost, a, b = batch_of(ragged=False)
    result = sinkhorn(cost, a, b, epsilon=0.1, tol=1e-10)
    for row in range(len(cost)):
        other = ot.solve(*(t[row].numpy() for t in (cost, a, b)), reg=0.1, reg_type="KL", tol=1e-12, max_iter=5000)
        np.testing.assert_allclose(result.plan[row], other.plan, atol=1e-8)
        np.testing.assert_allclose(result.value[row], other.value, atol=1e-8)
        f, g = other.potentials
        # POT's potentials are in units of epsilon and hold the log of the masses.
        outer = 0.1 * torch.as_tensor(f[:, None] + g[None, :])
        logs = 0.1 * (a[row].log()[:, None] + b[row].log()[None, :])
        ours = result.potential_source[row][:, None] + result.potential_target[row][None, :]
        torch.testing.assert_close(ours + logs, outer, atol=1e-7, rtol=0)


def test_padded_batch_agrees_with_pot_batch(batch_of):
    batch = batch_of()
    other = ot.batch.solve_batch(
        batch.cost,
        0.1,
        batch.a,
        batch.b,
        method="log_sinkhorn",
        reg_type="entropy",
        grad="detach",
        tol=1e-12,
        max_iter=5000,
    )
    result = sinkhorn(*batch, epsilon=0.1, tol=1e-10)
    torch.testing.assert_close(result.plan, other.plan, atol=1e-8, rtol=0)
    torch.testing.assert_close((result.plan * batch.cost).sum((1, 2)), other.value_linear, atol=1e-8, rtol=0)


@pytest.mark.parametrize("rho", [(0.05, 0.05), (1.0, 1.0), (5.0, 5.0), (0.3, 2.0), (INF, 0.5), (0.5, INF)])
@pytest.mark.parametrize("epsilon", [1.0, 0.1, 0.02])
def test_unbalanced_agrees_with_pot(batch_of, pot_solution, epsilon, rho):
    batch = batch_of(3)
    # Different totals: what relaxation is for. A source that is a constraint keeps the total of 1.
    batch = batch._replace(b=batch.b * torch.tensor([[0.5], [1.0], [1.5], [2.0]]))
    value, plan = pot_solution(batch, epsilon, rho)
    result = sinkhorn(*batch, epsilon=epsilon, relaxation=rho, tol=1e-10, max_iter=20_000)
    assert result.converged.all()
    torch.testing.assert_close(result.plan, plan, atol=1e-7, rtol=0)
    torch.testing.assert_close(result.value, value, atol=1e-7, rtol=1e-7)


def test_unbalanced_plan_agrees_with_pot_solve(batch_of):
    cost, a, b = batch_of(ragged=False)
    result = sinkhorn(cost, a, b, epsilon=0.1, relaxation=0.5, tol=1e-10)
    for row in range(len(cost)):
        problem = (tensor[row].numpy() for tensor in (cost, a, b))
        other = ot.solve(*problem, reg=0.1, unbalanced=0.5, unbalanced_type="KL", tol=1e-12, max_iter=5000)
        np.testing.assert_allclose(result.plan[row], other.plan, atol=1e-7)


def test_unbalanced_approaches_the_unregularized_solution(batch_of):
    cost, a, b = batch_of(ragged=False)
    result = sinkhorn(cost, a, b, epsilon=1e-3, relaxation=0.5, tol=1e-8, max_iter=50_000)
    for row in range(len(cost)):
        plan = ot.unbalanced.mm_unbalanced(
            *(tensor[row].numpy() for tensor in (a, b, cost)), 0.5, div="kl", numItermax=20_000, stopThr=1e-12
        )
        np.testing.assert_allclose(result.plan[row].sum(), plan.sum(), atol=5e-3)
        np.testing.assert_allclose(
            (result.plan[row] * cost[row]).sum(), (plan * cost[row].numpy()).sum(), atol=5e-3
        )


@pytest.mark.parametrize("relaxation", [None, 0.3])
@pytest.mark.parametrize("epsilon", [1e3, 1.0, 0.1, 0.01, 1e-3])
def test_float32_agrees_with_float64(batch_of, epsilon, relaxation):
    batch = batch_of(5, sizes=(6, 12, 10))
    settings = {"epsilon": epsilon, "relaxation": relaxation, "max_iter": 50_000}
    result = sinkhorn(*(tensor.float() for tensor in batch), tol=1e-5, **settings)
    wanted = sinkhorn(*batch, tol=1e-9, **settings)
    assert result.converged.all()
    assert wanted.converged.all()
    assert result.plan.dtype == torch.float32
    torch.testing.assert_close(result.plan.double(), wanted.plan, atol=1e-3, rtol=0)
    torch.testing.assert_close(result.value.double(), wanted.value, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("epsilon", [0.1, 1e-3])
def test_large_and_shifted_costs_in_float32(batch_of, epsilon):
    cost, a, b = batch_of(6, dtype=torch.float32)
    plain = sinkhorn(cost, a, b, epsilon=epsilon, tol=1e-5, max_iter=50_000)
    scaled = sinkhorn(cost * 1e4, a, b, epsilon=epsilon * 1e4, tol=1e-5, max_iter=50_000)
    torch.testing.assert_close(scaled.plan, plain.plan, atol=1e-3, rtol=0)
    torch.testing.assert_close(scaled.value / 1e4, plain.value, atol=1e-3, rtol=0)
    # The shifted costs themselves are rounded to 6e-5, so compare with what is left of them.
    shifted = sinkhorn(cost + 1e3, a, b, epsilon=epsilon, tol=1e-5, max_iter=50_000)
    rounded = sinkhorn(
        (cost + 1e3).double() - 1e3, a.double(), b.double(), epsilon=epsilon, tol=1e-9, max_iter=50_000
    )
    assert shifted.converged.all()
    torch.testing.assert_close(shifted.plan.double(), rounded.plan, atol=1e-3, rtol=0)
    torch.testing.assert_close(shifted.value.double() - 1e3, rounded.value, atol=2e-3, rtol=0)


def test_value_matches_the_returned_plan_even_unconverged(batch_of):
    cost, a, b = batch_of(ragged=False)
    result = sinkhorn(cost, a, b, epsilon=0.01, tol=1e-9, max_iter=3)
    divergence = torch.xlogy(result.plan, result.plan / (a[:, :, None] * b[:, None, :]))
    direct = (result.plan * cost).sum((1, 2)) + 0.01 * divergence.sum((1, 2))
    torch.testing.assert_close(result.value, direct, atol=1e-12, rtol=0)
    assert result.status.tolist() == [TransportStatus.MAX_ITERATIONS] * len(cost)
    assert result.iterations.tolist() == [3] * len(cost)
    torch.testing.assert_close(result.plan.sum(1), b, atol=1e-12, rtol=0)
    error = (result.plan.sum(2) - a).abs().sum(1)
    torch.testing.assert_close(result.marginal_error, error, atol=1e-12, rtol=0)
    assert (error > 1e-9).all()


def test_potentials_generate_the_plan_and_share_the_dual_value(batch_of):
    cost, a, b = batch_of()
    result = sinkhorn(cost, a, b, epsilon=0.1, tol=1e-10)
    f, g = result.potential_source, result.potential_target
    generated = a[:, :, None] * b[:, None, :] * ((f[:, :, None] + g[:, None, :] - cost) / 0.1).exp()
    torch.testing.assert_close(generated, result.plan, atol=1e-12, rtol=1e-9)
    torch.testing.assert_close((a * f).sum(1), (b * g).sum(1), atol=1e-12, rtol=0)
    torch.testing.assert_close((a * f).sum(1) + (b * g).sum(1), result.value, atol=1e-9, rtol=0)
    assert (f[a == 0] == 0).all()
    assert (g[b == 0] == 0).all()


def test_totals_other_than_one(batch_of):
    cost, a, b = batch_of(ragged=False)
    one = sinkhorn(cost, a, b, epsilon=0.1, tol=1e-10)
    seven = sinkhorn(cost, 7 * a, 7 * b, epsilon=0.1, tol=1e-10)
    torch.testing.assert_close(seven.plan, 7 * one.plan, atol=1e-8, rtol=0)


def test_stops_each_problem_on_its_own_error(batch_of):
    batch = batch_of(7, sizes=(12, 12, 12))
    result = sinkhorn(*batch, epsilon=0.01, tol=1e-6, max_iter=20_000)
    assert result.iterations.unique().numel() > 3
    assert (result.marginal_error <= 1e-6).all()
