"""Partial transport against POT, linear programming and finite differences."""

from __future__ import annotations

import numpy as np
import ot
import pytest
import torch
from scipy.optimize import linprog
from torch.autograd import gradcheck

from otembed.errors import ConfigError
from otembed.transport import TransportStatus, solve


def pot_partial(cost, a, b, mass, epsilon):
    """POT's entropy is relative to 1: taking eps log(a b) from the cost makes it relative to a b^T."""
    shifted = cost - epsilon * np.log(np.outer(a, b))
    return ot.partial.entropic_partial_wasserstein(a, b, shifted, epsilon, mass, numItermax=200_000, stopThr=1e-14)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("epsilon", [1.0, 0.1, 0.05])
def test_entropic_plans_agree_with_pot(batch_of, share, epsilon):
    cost, a, b = batch_of()
    result = solve(cost, a, b, epsilon=epsilon, share=share, tol=1e-10, max_iter=20_000)
    assert bool(result.converged.all())
    for row in range(len(cost)):
        cells = np.ix_(a[row].numpy() > 0, b[row].numpy() > 0)
        masses = a[row][a[row] > 0].numpy(), b[row][b[row] > 0].numpy()
        expected = pot_partial(cost[row].numpy()[cells], *masses, share, epsilon)
        np.testing.assert_allclose(result.plan[row].numpy()[cells], expected, atol=1e-6)


def test_totals_may_differ_and_constraints_hold(batch_of):
    cost, a, b = batch_of(ragged=False)
    b = 3 * b
    result = solve(cost, a, b, epsilon=0.05, share=0.7, tol=1e-8)
    assert bool(result.converged.all())
    assert bool((result.plan.sum(2) <= a + 1e-7).all())
    assert bool((result.plan.sum(1) <= b + 1e-7).all())
    torch.testing.assert_close(result.plan.sum((1, 2)), torch.full((4,), 0.7, dtype=torch.float64))
    f, g = result.potential_source, result.potential_target
    rebuilt = a[:, :, None] * b[:, None, :] * ((f[:, :, None] + g[:, None, :] - cost) / 0.05).exp()
    torch.testing.assert_close(rebuilt, result.plan)


@pytest.mark.parametrize("share", [0.3, 0.8])
def test_exact_values_agree_with_linear_programming_and_pot(batch_of, share):
    cost, a, b = batch_of(ragged=False)
    b = 2 * b
    cost = cost - 0.4
    result = solve(cost, a, b, epsilon=0, share=share)
    assert bool(result.converged.all())
    for row in range(len(cost)):
        n, m = cost.shape[1:]
        limits = np.vstack([np.kron(np.eye(n), np.ones(m)), np.kron(np.ones(n), np.eye(m))])
        program = linprog(
            cost[row].numpy().ravel(),
            A_ub=limits,
            b_ub=np.concatenate([a[row], b[row]]),
            A_eq=np.ones((1, n * m)),
            b_eq=[share],
        )
        assert float(result.value[row]) == pytest.approx(program.fun, abs=1e-9)
        by_pot = ot.partial.partial_wasserstein(a[row].numpy(), b[row].numpy(), cost[row].numpy(), m=share)
        assert float(result.value[row]) == pytest.approx(float((by_pot * cost[row].numpy()).sum()), abs=1e-9)


def test_small_epsilon_approaches_the_exact_value(batch_of):
    cost, a, b = batch_of()
    exact = solve(cost, a, b, epsilon=0, share=0.6)
    near = solve(cost, a, b, epsilon=1e-3, share=0.6, tol=1e-6, max_iter=200_000)
    assert bool(near.converged.all())
    torch.testing.assert_close((near.plan * cost).sum((1, 2)), exact.value, atol=5e-3, rtol=0)


@pytest.mark.parametrize("epsilon", [0.1, 0.0])
def test_gradients_of_cost_and_masses(batch_of, epsilon):
    cost, a, b = batch_of(sizes=(3, 4, 5), ragged=False)
    b = 1.5 * b

    def value(cost, a, b):
        return solve(cost, a, b, epsilon=epsilon, share=0.6, tol=1e-12, max_iter=50_000).value

    tensors = tuple(tensor.clone().requires_grad_() for tensor in (cost, a, b))
    assert gradcheck(value, tensors, eps=1e-6, atol=1e-5)
    assert gradcheck(
        lambda cost, b, a: value(cost, a, b), (tensors[0], tensors[2], tensors[1]), eps=1e-6, atol=1e-5
    )


def test_padding_and_invalid_problems_do_not_change_others(batch_of):
    cost, a, b = batch_of(ragged=False)
    alone = solve(cost, a, b, epsilon=0.05, share=0.5, tol=1e-10)
    wide = torch.full((6, 11, 9), torch.nan, dtype=torch.float64)
    wide[:4, :9, :7] = cost
    masses_a, masses_b = torch.zeros(6, 11).double(), torch.zeros(6, 9).double()
    masses_a[:4, :9], masses_b[:4, :7] = a, b
    masses_a[5, 0] = masses_b[5, 0] = 1
    result = solve(wide, masses_a, masses_b, epsilon=0.05, share=0.5, tol=1e-10)
    torch.testing.assert_close(result.plan[:4, :9, :7], alone.plan)
    assert result.status[4] == TransportStatus.EMPTY
    assert result.status[5] == TransportStatus.NON_FINITE


def test_float32_agrees_with_float64(batch_of):
    cost, a, b = batch_of()
    for epsilon in (1.0, 0.05, 0.01):
        wide = solve(cost, a, b, epsilon=epsilon, share=0.7, tol=1e-8, max_iter=20_000)
        narrow = solve(cost.float(), a.float(), b.float(), epsilon=epsilon, share=0.7, max_iter=20_000)
        assert bool(narrow.converged.all())
        torch.testing.assert_close(narrow.plan.double(), wide.plan, atol=1e-3, rtol=0)


def test_one_unit_per_side():
    one = torch.ones(1, 1)
    result = solve(torch.tensor([[[2.0]]]), one, one, epsilon=0.1, share=0.25)
    assert result.plan.item() == pytest.approx(0.25)


@pytest.mark.parametrize("share", [0.0, -1.0, 1.0, 2.0, float("nan"), True])
def test_shares_out_of_range_are_rejected(share):
    one = torch.ones(1, 1)
    for epsilon in (0.1, 0):
        with pytest.raises(ConfigError, match="share"):
            solve(one[None], one, one, epsilon=epsilon, share=share)
