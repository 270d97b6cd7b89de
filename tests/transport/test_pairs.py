"""All pairs of clouds at once against the pairs one by one, and the memory that takes."""

from __future__ import annotations

import math

import numpy as np
import ot
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from otembed.errors import ConfigError, NumericsError
from otembed.transport import TransportStatus, all_pairs, pairwise_cost, solve

SETTINGS = [
    {"epsilon": 0.1},
    {"epsilon": 0.1, "relaxation": 0.3},
    {"epsilon": 0.1, "relaxation": (math.inf, 0.2)},
    {"epsilon": 0.0},
]
TIGHT = {"tol": 1e-10, "max_iter": 50_000}


def clouds(sources=4, targets=3, n=6, m=5, dimensions=8, seed=0, dtype=torch.float64):
    """Clouds of different sizes with masses of total 1; padding holds NaN."""
    generator = torch.Generator().manual_seed(seed)
    sides = []
    for rows, width in ((sources, n), (targets, m)):
        z = torch.randn(rows, width, dimensions, generator=generator, dtype=torch.float64)
        masses = torch.rand(rows, width, generator=generator, dtype=torch.float64) + 0.1
        real = torch.arange(width) < torch.randint(2, width + 1, (rows, 1), generator=generator)
        masses = torch.where(real, masses, 0.0)
        sides.append(
            (z.masked_fill(~real[:, :, None], math.nan).to(dtype), (masses / masses.sum(1, keepdim=True)).to(dtype))
        )
    (x, a), (y, b) = sides
    return x, y, a, b


def one_by_one(x, y, a, b, metric="cosine", **settings):
    """The same values from expanded clouds, B C N D numbers at once."""
    x, y = x.nan_to_num(), y.nan_to_num()
    shape = (len(x), len(y))
    x, a = (z[:, None].expand(-1, shape[1], *z.shape[1:]).flatten(0, 1) for z in (x, a))
    y, b = (z[None].expand(shape[0], *z.shape).flatten(0, 1) for z in (y, b))
    return solve(pairwise_cost(x, y, metric=metric), a, b, **settings).value.view(shape)


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("metric", ["cosine", "euclidean", "sqeuclidean"])
@pytest.mark.parametrize("max_cells", [1, 70, 10**6])
def test_values_and_gradients_match_single_pairs(settings, metric, max_cells):
    inputs = [z.requires_grad_() for z in clouds()]
    weights = torch.randn(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    found = all_pairs(*inputs, metric=metric, max_cells=max_cells, **settings, **TIGHT)
    expected = one_by_one(*inputs, metric=metric, **settings, **TIGHT)
    assert bool(found.converged.all())
    torch.testing.assert_close(found.value, expected, rtol=1e-9, atol=1e-9)
    gradients = torch.autograd.grad((found.value * weights).sum(), inputs)
    for gradient, wanted in zip(gradients, torch.autograd.grad((expected * weights).sum(), inputs), strict=True):
        torch.testing.assert_close(gradient, wanted.nan_to_num(), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("epsilon", [0.0, 0.1])
def test_values_match_a_loop_over_pot(epsilon):
    x, y, a, b = clouds()
    found = all_pairs(x, y, a, b, epsilon=epsilon, **TIGHT).value
    for i, j in np.ndindex(4, 3):
        rows, columns = a[i] > 0, b[j] > 0
        p, q = a[i][rows].numpy(), b[j][columns].numpy()
        cost = ot.dist(x[i][rows].numpy(), y[j][columns].numpy(), metric="cosine")
        if epsilon:
            plan = ot.bregman.sinkhorn_log(p, q, cost, epsilon, numItermax=100_000, stopThr=1e-13)
            expected = (plan * cost).sum() + epsilon * (plan * np.log(plan / np.outer(p, q))).sum()
        else:
            expected = ot.emd2(p, q, cost)
        assert float(found[i, j]) == pytest.approx(expected, abs=1e-8)


def test_only_one_side_may_need_gradients():
    x, y, a, b = clouds()
    y.requires_grad_()
    all_pairs(x, y, a, b, epsilon=0.1).value.sum().backward()
    assert y.grad.abs().sum() > 0


class _Largest(TorchDispatchMode):
    """Remember the number of elements of the largest tensor any operation returns."""

    numel = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for each in result if isinstance(result, (tuple, list)) else [result]:
            if isinstance(each, torch.Tensor):
                self.numel = max(self.numel, each.numel())
        return result


def test_largest_tensor_is_a_block_of_costs_or_a_side():
    x, y, a, b = clouds(16, 12, 8, 8, 64, dtype=torch.float32)
    x.requires_grad_()
    largest = _Largest()
    with largest:
        all_pairs(x, y, a, b, epsilon=0.1, max_cells=2 * 12 * 64).value.sum().backward()
    assert largest.numel <= max(x.numel(), y.numel(), 2 * 12 * 64)
    assert largest.numel < 16 * 12 * 8 * 8


def test_graph_keeps_plans_but_not_costs():
    x, y, a, b = clouds(16, 12, 8, 8, 4, dtype=torch.float32)
    x.requires_grad_()
    kept = {}

    def keep(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        value = all_pairs(x, y, a, b, epsilon=0.1, max_cells=2 * 12 * 64).value
    plans = 16 * 12 * 8 * 8 * 4
    assert plans < sum(kept.values()) < 1.3 * plans
    assert value.requires_grad


@pytest.mark.parametrize("broken", [math.inf, 1e200])
def test_invalid_or_empty_cloud_does_not_affect_others(broken):
    x, y, a, b = clouds()
    whole = all_pairs(x, y, a, b, epsilon=0.1).value
    x, a = x.clone(), a.clone()
    x[1, 0, 0] = broken
    a[2] = 0
    x.requires_grad_()
    y.requires_grad_()
    found = all_pairs(x, y, a, b, epsilon=0.1)
    assert found.status[1].tolist() == [TransportStatus.NON_FINITE] * 3
    assert found.status[2].tolist() == [TransportStatus.EMPTY] * 3
    assert bool(found.value[1].isnan().all())
    assert found.value[2].tolist() == [0.0] * 3
    torch.testing.assert_close(found.value[[0, 3]], whole[[0, 3]])
    found.value.logsumexp(1).sum().backward()
    for gradient in (x.grad, y.grad):
        assert bool(gradient.isfinite().all())
    assert not x.grad[1:3].any()
    assert y.grad.abs().sum() > 0


@pytest.mark.parametrize("shape", [(0, 3), (4, 0)])
def test_no_clouds_give_empty_values(shape):
    x, y, a, b = clouds()
    found = all_pairs(x[: shape[0]], y[: shape[1]], a[: shape[0]], b[: shape[1]], epsilon=0.1)
    assert found.value.shape == found.status.shape == shape


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("count", [7, 11, 13, 100])
def test_masses_in_half_precision_are_accepted_where_single_pairs_accept_them(dtype, count):
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(2, count, 8, generator=generator), torch.randn(2, 5, 8, generator=generator)
    a, b = torch.full((2, count), 1 / count, dtype=dtype), torch.full((2, 5), 0.2, dtype=dtype)
    found = all_pairs(x, y, a, b, epsilon=0.1)
    assert bool(found.converged.all())
    wanted = solve(pairwise_cost(x, y), a, b, epsilon=0.1).value
    torch.testing.assert_close(found.value.diagonal(), wanted, atol=1e-4, rtol=1e-3)


def test_integer_masses_are_rejected():
    x, y, a, b = clouds()
    with pytest.raises(ConfigError, match="int64") as caught:
        all_pairs(x, y, (a > 0).long(), (b > 0).long(), epsilon=0.1)
    assert "float" in caught.value.hint


def test_number_of_cells_may_be_a_float():
    x, y, a, b = clouds()
    found = all_pairs(x, y, a, b, epsilon=0.1, max_cells=1e3).value
    torch.testing.assert_close(found, all_pairs(x, y, a, b, epsilon=0.1).value)


def test_autocast_does_not_touch_the_values():
    x, y, a, b = clouds(dtype=torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = all_pairs(x, y, a, b, epsilon=0.1).value
    torch.testing.assert_close(inside, all_pairs(x, y, a, b, epsilon=0.1).value)


def test_second_derivatives_are_rejected():
    x, y, a, b = clouds()
    x = x.nan_to_num().requires_grad_()
    value = all_pairs(x, y, a, b, epsilon=0.1).value.sum()
    (gradient,) = torch.autograd.grad(value, x, create_graph=True)
    with pytest.raises(ConfigError, match="once"):
        gradient.sum().backward()


def test_mismatched_input_is_rejected():
    x, y, a, b = clouds()
    with pytest.raises(ConfigError, match="x and a"):
        all_pairs(x, y, a[:, 1:], b, epsilon=0.1)
    with pytest.raises(ConfigError, match="y and b"):
        all_pairs(x, y[0], a, b, epsilon=0.1)
    with pytest.raises(ConfigError, match="source and target"):
        all_pairs(x[:, :, 1:], y, a, b, epsilon=0.1)
    for wrong in ((x.numpy(), y, a, b), (x, y, a.numpy(), b), (x, y, a, None)):
        with pytest.raises(ConfigError, match=r"ndarray|NoneType"):
            all_pairs(*wrong, epsilon=0.1)
    with pytest.raises(ConfigError, match="max_cells"):
        all_pairs(x, y, a, b, epsilon=0.1, max_cells=0)
    negative = b.clone()
    negative[2, 1] = -0.5
    with pytest.raises(ConfigError, match=r"row 2 of b .*-0\.5"):
        all_pairs(x, y, a, negative, epsilon=0.1)
    with pytest.raises(NumericsError, match="1 to 2"):
        all_pairs(x, y, a, 2 * b, epsilon=0.1)
    assert all_pairs(x, y, a, 2 * b, epsilon=0.1, relaxation=1.0).value.isfinite().all()
