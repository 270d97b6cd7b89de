"""Exact transport against POT and scipy."""

from __future__ import annotations

import numpy as np
import ot
import pytest
import torch
from scipy.optimize import linear_sum_assignment

from otembed.errors import ConfigError
from otembed.transport import exact


@pytest.mark.parametrize("share", [None, 0.6])
@pytest.mark.parametrize("shift", [-5.0, -1e-7, 1e6])
def test_constant_in_the_costs_changes_no_plan(share, shift):
    """The simplex called the first problem infeasible where its costs are negative."""
    cost = torch.tensor([[[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]], [[0.0, 1e-3, 2e-3], [0.0, 3e-3, 0.0]]]).double()
    a, b = torch.tensor([[1.0, 0.0], [0.5, 0.5]]).double(), torch.full((2, 3), 1 / 3).double()
    a, b = a.requires_grad_(), b.requires_grad_()
    result, wanted = exact(cost + shift, a, b, share=share), exact(cost, a, b, share=share)
    carried = share or 1.0
    assert bool(result.converged.all())
    torch.testing.assert_close(result.value, wanted.value + carried * shift, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(result.plan.sum((1, 2)), torch.full((2,), carried).double())
    torch.testing.assert_close((result.plan * cost).sum((1, 2)), wanted.value)
    # The value is homogeneous in the masses.
    grads = torch.autograd.grad(result.value.sum(), (a, b))
    torch.testing.assert_close(sum((x * g).sum(1) for x, g in zip((a, b), grads, strict=True)), result.value)


@pytest.mark.parametrize("threads", [None, 1, 3])
def test_values_agree_with_emd2(batch_of, threads):
    cost, a, b = batch_of()
    result = exact(cost, a, b, threads=threads)
    for row in range(len(cost)):
        rows, columns = a[row] > 0, b[row] > 0
        problem = a[row][rows], b[row][columns], cost[row][rows][:, columns]
        wanted = ot.emd2(*(tensor.numpy() for tensor in problem))
        assert result.value[row].item() == pytest.approx(wanted, abs=1e-12)
    torch.testing.assert_close(result.plan.sum(2), a, atol=1e-12, rtol=0)
    torch.testing.assert_close(result.plan.sum(1), b, atol=1e-12, rtol=0)
    assert result.converged.all()
    assert result.epsilon == 0
    assert (result.iterations == 0).all()
    assert (result.marginal_error < 1e-12).all()


@pytest.mark.parametrize("share", [None, 0.5])
@pytest.mark.parametrize(("price", "mass"), [(1e-14, 1.0), (1e-300, 1.0), (1e30, 1.0), (1.0, 1e9), (1.0, 1e-12)])
def test_result_scales_with_costs_and_masses(batch_of, share, price, mass):
    cost, a, b = batch_of()
    if share is None:
        wanted = [
            mass * ot.emd2(a[row][a[row] > 0].numpy(), b[row][b[row] > 0].numpy(), each.numpy())
            for row, each in enumerate(cost[row][a[row] > 0][:, b[row] > 0] for row in range(len(cost)))
        ]
    else:
        wanted = mass * exact(cost, a, b, share=share).value
    result = exact(cost * price, a * mass, b * mass, share=share)
    assert result.converged.all()
    torch.testing.assert_close(
        result.value / price, torch.as_tensor(wanted, dtype=torch.float64), rtol=1e-9, atol=1e-12 * mass
    )
    if share is None:
        dual = mass * ((a * result.potential_source).sum(1) + (b * result.potential_target).sum(1))
        torch.testing.assert_close(dual / price, result.value / price)


def test_uniform_masses_of_equal_sizes_give_an_assignment(batch_of):
    cost, _, _ = batch_of(sizes=(3, 6, 6))
    masses = torch.full((3, 6), 1 / 6, dtype=torch.float64)
    result = exact(cost, masses, masses)
    for row in range(3):
        pairs = linear_sum_assignment(cost[row].numpy())
        wanted = np.zeros((6, 6))
        wanted[pairs] = 1 / 6
        np.testing.assert_allclose(result.plan[row], wanted, atol=1e-12)


def test_potentials_are_feasible_tight_and_centered(batch_of):
    cost, a, b = batch_of()
    result = exact(cost, a, b)
    f, g = result.potential_source, result.potential_target
    slack = cost - f[:, :, None] - g[:, None, :]
    cells = (a > 0)[:, :, None] & (b > 0)[:, None, :]
    assert (slack[cells] >= -1e-12).all()
    assert (slack[result.plan > 0].abs() < 1e-12).all()
    torch.testing.assert_close((a * f).sum(1), (b * g).sum(1))
    torch.testing.assert_close((a * f).sum(1) + (b * g).sum(1), result.value)


def test_padding_is_not_read_and_dtype_is_kept(batch_of):
    cost, a, b = batch_of(dtype=torch.float32)
    cells = (a > 0)[:, :, None] & (b > 0)[:, None, :]
    result = exact(cost.masked_fill(~cells, float("nan")), a, b)
    assert result.plan.dtype == torch.float32
    torch.testing.assert_close(result.plan, exact(cost, a, b).plan)
    assert exact(cost.half(), a.half(), b.half()).plan.dtype == torch.float32


@pytest.mark.parametrize("threads", [0, -1, 1.5, True])
def test_threads_out_of_range_are_rejected(batch_of, threads):
    with pytest.raises(ConfigError, match=f"threads.*{threads}"):
        exact(*batch_of(), threads=threads)
