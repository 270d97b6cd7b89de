"""One side free: closed form, limit of a vanishing relaxation, gradients, degenerate problems."""

from __future__ import annotations

import math

import pytest
import torch

from otembed.errors import ConfigError
from otembed.transport import TransportStatus, solve

TARGET_FREE, SOURCE_FREE = (None, 0), (0, math.inf)


def test_value_is_the_sum_of_soft_minima(batch_of):
    cost, a, b = batch_of(0)
    hard = torch.where(b[:, None, :] > 0, cost, torch.inf).amin(2)
    result = solve(cost, a, b, epsilon=0, relaxation=TARGET_FREE)
    torch.testing.assert_close(result.value, (a * hard).sum(1))
    torch.testing.assert_close(result.plan.sum(2), a)
    assert bool(result.converged.all())
    assert not result.iterations.any()
    for epsilon in (1e-3, 0.1, 10.0):
        soft = -epsilon * torch.logsumexp(b.log()[:, None, :] - cost / epsilon, 2)
        result = solve(cost, a, b, epsilon=epsilon, relaxation=TARGET_FREE)
        torch.testing.assert_close(result.value, (a * soft).sum(1))
        torch.testing.assert_close(result.plan.sum(2), a)
        generated = (result.potential_source[:, :, None] + result.potential_target[:, None, :] - cost) / epsilon
        torch.testing.assert_close(result.plan, a[:, :, None] * b[:, None, :] * generated.exp())


@pytest.mark.parametrize("free", [TARGET_FREE, SOURCE_FREE])
def test_constraint_is_kept_where_costs_are_many_times_epsilon(batch_of, free):
    cost, a, b = batch_of(0, dtype=torch.float32)
    result = solve(cost + 10, a, b, epsilon=1e-3, relaxation=free)
    kept, masses = (result.plan.sum(2), a) if free == TARGET_FREE else (result.plan.sum(1), b)
    torch.testing.assert_close(kept, masses, atol=1e-6, rtol=0)


@pytest.mark.parametrize(("free", "small"), [(TARGET_FREE, (None, 1e-8)), (SOURCE_FREE, (1e-8, math.inf))])
def test_free_is_the_limit_of_zero_relaxation(batch_of, free, small):
    cost, a, b = batch_of(1)
    result = solve(cost, a, b, epsilon=0.1, relaxation=free)
    near = solve(cost, a, b, epsilon=0.1, relaxation=small, tol=1e-9, max_iter=20_000)
    torch.testing.assert_close(near.value, result.value, atol=1e-6, rtol=0)
    torch.testing.assert_close(near.plan, result.plan, atol=1e-6, rtol=0)
    torch.testing.assert_close(near.potential_source, result.potential_source, atol=1e-6, rtol=0)
    torch.testing.assert_close(near.potential_target, result.potential_target, atol=1e-6, rtol=0)


@pytest.mark.parametrize("free", [TARGET_FREE, SOURCE_FREE])
@pytest.mark.parametrize("epsilon", [0.0, 0.2])
def test_gradients_pass_gradcheck(batch_of, free, epsilon):
    cost, a, b = (tensor.requires_grad_() for tensor in batch_of(2, sizes=(2, 4, 3), ragged=False))

    def value(cost, a, b):
        return solve(cost, a, b, epsilon=epsilon, relaxation=free).value

    assert torch.autograd.gradcheck(value, (cost, a, b))


@pytest.mark.parametrize("epsilon", [0.0, 0.1])
def test_degenerate_problems(batch_of, epsilon):
    cost, a, b = batch_of(3, dtype=torch.float32)
    whole = solve(cost, a, b, epsilon=epsilon, relaxation=TARGET_FREE)
    cost, a, b = cost.clone(), a.clone(), b.clone()
    cost[0, 0, 0] = math.nan
    a[1], b[2] = 0, 0
    cost.requires_grad_()
    result = solve(cost, a, b, epsilon=epsilon, relaxation=TARGET_FREE)
    kinds = [TransportStatus.NON_FINITE, TransportStatus.EMPTY, TransportStatus.EMPTY, TransportStatus.CONVERGED]
    assert result.status.tolist() == kinds
    assert bool(result.value[0].isnan())
    assert result.value[1:3].tolist() == [0, 0]
    torch.testing.assert_close(result.value[3], whole.value[3])
    assert not result.plan[:3].any()
    result.value.nansum().backward()
    torch.testing.assert_close(cost.grad, result.plan)
    nothing = solve(cost[:, :, :0], a, b[:, :0], epsilon=epsilon, relaxation=TARGET_FREE)
    assert nothing.status.tolist() == [TransportStatus.EMPTY] * 4


@pytest.mark.parametrize("relaxation", [(0, 0), (0, 0.5), (0.5, 0), (0, None, None)])
def test_free_side_requires_a_constrained_side(batch_of, relaxation):
    with pytest.raises(ConfigError, match="relaxation"):
        solve(*batch_of(0), epsilon=0.1, relaxation=relaxation)
