"""Ground costs against scikit-learn, their gradients where they are delicate, centering and scale."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import pairwise
from torch.autograd import gradcheck

from otembed.errors import ConfigError
from otembed.transport import center, order_prior, pairwise_cost, scale_cost

METRICS = ["cosine", "euclidean", "sqeuclidean", "half_sqeuclidean"]
REFERENCE = {
    "cosine": pairwise.cosine_distances,
    "euclidean": pairwise.euclidean_distances,
    "sqeuclidean": lambda x, y: pairwise.euclidean_distances(x, y, squared=True),
    "half_sqeuclidean": lambda x, y: pairwise.euclidean_distances(x, y, squared=True) / 2,
}


def clouds(dtype=torch.float64, d=5):
    generator = torch.Generator().manual_seed(0)
    return tuple(torch.randn(3, n, d, generator=generator, dtype=torch.float64).to(dtype) for n in (4, 6))


@pytest.mark.parametrize("metric", METRICS)
def test_costs_agree_with_scikit_learn(metric):
    x, y = clouds()
    cost = pairwise_cost(x, y, metric=metric)
    for row in range(3):
        wanted = torch.as_tensor(REFERENCE[metric](x[row].numpy(), y[row].numpy()))
        torch.testing.assert_close(cost[row], wanted, atol=1e-12, rtol=0)


@pytest.mark.parametrize("metric", METRICS)
def test_costs_pass_gradcheck(metric):
    x, y = (side.requires_grad_() for side in clouds())
    assert gradcheck(lambda x, y: pairwise_cost(x, y, metric=metric), (x, y))


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_zero_vectors_and_equal_vectors_have_finite_costs_and_gradients(metric, dtype):
    x, y = clouds(dtype)
    x[:, 2:] = 0
    y[:, 0], y[:, 1] = x[:, 0], 0
    x.requires_grad_(), y.requires_grad_()
    cost = pairwise_cost(x, y, metric=metric)
    assert cost.dtype == torch.float32
    assert cost.isfinite().all()
    cost.sum().backward()
    assert x.grad.isfinite().all()
    assert y.grad.isfinite().all()
    assert x.grad.abs().max() < 1e4


def test_cosine_of_a_zero_vector_is_one_and_has_no_gradient():
    x, y = clouds()
    x[:, 0] = 0
    x.requires_grad_()
    cost = pairwise_cost(x, y, metric="cosine")
    assert (cost[:, 0] == 1).all()
    cost.square().sum().backward()
    assert (x.grad[:, 0] == 0).all()


def test_euclidean_of_equal_vectors_is_exactly_zero_in_float32():
    x = 100 * torch.randn(1, 60, 384, generator=torch.Generator().manual_seed(0))
    x.requires_grad_()
    cost = pairwise_cost(x, x.detach(), metric="euclidean")
    assert (cost.diagonal(dim1=1, dim2=2) == 0).all()
    cost.diagonal(dim1=1, dim2=2).sum().backward()
    assert (x.grad == 0).all()


@pytest.mark.parametrize("metric", ["sqeuclidean", "half_sqeuclidean"])
@pytest.mark.parametrize(
    ("offset", "padding"), [(0, None), (10, None), (300, None), (10, 0.0), (300, 0.0), (0, 1e15)]
)
def test_squared_distances_keep_their_digits_far_from_the_origin(metric, offset, padding):
    generator = torch.Generator().manual_seed(0)
    x, y = (offset + 0.01 * torch.randn(2, n, 48, generator=generator) for n in (7, 9))
    if padding is not None:
        x[:, 2:5] = padding
    x.requires_grad_()
    real = [0, 1, 5, 6] if padding is not None else list(range(7))
    wanted = (x.double()[:, :, None] - y.double()[:, None]).square().sum(3)
    wanted = wanted / 2 if metric == "half_sqeuclidean" else wanted
    cost = pairwise_cost(x, y, metric=metric)
    torch.testing.assert_close(cost[:, real], wanted[:, real].float(), atol=0, rtol=1e-5)
    weights = torch.randn(2, 7, 9, generator=generator)
    found, expected = (
        torch.autograd.grad((each[:, real] * weights[:, real]).sum(), x)[0] for each in (cost, wanted)
    )
    torch.testing.assert_close(found, expected, atol=1e-5 * float(expected.abs().max()), rtol=0)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("broken", [math.nan, math.inf, 1e30])
def test_a_vector_that_is_not_finite_spoils_only_its_own_costs(metric, broken):
    x, y = clouds(torch.float32)
    wanted = pairwise_cost(x, y, metric=metric)
    x[1, 2, 0] = broken
    cost = pairwise_cost(x, y, metric=metric)
    others = torch.ones(3, 4, dtype=torch.bool)
    others[1, 2] = False
    torch.testing.assert_close(cost[others], wanted[others], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("size", [3, 200], ids=["batch", "one by one"])
@pytest.mark.parametrize("broken", [math.inf, 1e30])
def test_a_norm_that_overflows_has_no_cosine(size, broken):
    """It was 1, the cost of a zero vector."""
    x = torch.randn(1, size, size, generator=torch.Generator().manual_seed(0))
    y = x.clone()
    y[0, -1, 0] = broken
    assert pairwise_cost(x, y).isnan().nonzero()[:, 2].unique().tolist() == [size - 1]


@pytest.mark.parametrize("metric", METRICS)
def test_autocast_does_not_touch_the_cost(metric):
    x, y = clouds(torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cost = pairwise_cost(x, y, metric=metric)
    torch.testing.assert_close(cost, pairwise_cost(x, y, metric=metric), atol=0, rtol=0)


def test_invalid_cost_input_is_rejected():
    x, y = clouds()
    with pytest.raises(ConfigError, match="cosine"):
        pairwise_cost(x, y, metric="cosinus")
    for wrong in (y[0], y[:2], y[:, :, :3]):
        with pytest.raises(ConfigError, match=r"\(3, 4, 5\)"):
            pairwise_cost(x, wrong)
    for wrong, name in ((y.numpy(), "ndarray"), (y.to(torch.complex64), "complex64")):
        with pytest.raises(ConfigError, match=name):
            pairwise_cost(x, wrong)


def test_center_removes_the_weighted_mean_of_the_batch():
    x, _ = clouds()
    weights = torch.rand(3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    weights[0, 2:] = 0
    x[0, 2:] = math.nan
    x.requires_grad_()
    centered = center(x, weights)
    mean = (weights[:, :, None] * centered).sum((0, 1))
    torch.testing.assert_close(mean, torch.zeros(5, dtype=torch.float64), atol=1e-12, rtol=0)
    assert (centered[0, 2:] == 0).all()
    centered.sum().backward()  # the mean is detached: the gradient is 1 at every unit with weight
    torch.testing.assert_close(x.grad, (weights > 0).double()[:, :, None].expand_as(x), atol=0, rtol=0)


def test_center_accepts_a_mask_and_an_empty_batch():
    x, _ = clouds()
    centered = center(x, torch.ones(3, 4, dtype=torch.bool))
    torch.testing.assert_close(centered, x - x.mean((0, 1)))
    assert (center(x, torch.zeros(3, 4)) == 0).all()
    assert center(x.half(), torch.ones(3, 4)).dtype == torch.float32
    with pytest.raises(ConfigError, match=r"\(3, 4, 5\) and \(3, 5\)"):
        center(x, torch.ones(3, 5))


@pytest.mark.parametrize("how", ["std", "max"])
def test_scale_is_taken_over_cells_with_mass_and_gives_epsilon_one_meaning(batch_of, how):
    cost, a, b = batch_of()
    cells = (a > 0)[:, :, None] & (b > 0)[:, None, :]
    wanted = cost[cells].std(correction=0) if how == "std" else cost[cells].max()
    garbage = cost.masked_fill(~cells, math.nan).requires_grad_()
    scaled, factor = scale_cost(garbage, a, b, how=how)
    torch.testing.assert_close(factor, wanted)
    assert not factor.requires_grad
    torch.testing.assert_close(scaled[cells], cost[cells] / wanted)
    again, _ = scale_cost(37 * cost, a, b, how=how)
    torch.testing.assert_close(again[cells], scaled[cells])


@pytest.mark.parametrize("how", ["std", "max"])
def test_scale_of_empty_and_zero_costs_is_one(how):
    one = torch.ones(1, 2)
    for cost, a in ((torch.zeros(1, 2, 2), one), (torch.rand(1, 2, 2), 0 * one), (torch.zeros(0, 2, 2), one[:0])):
        scaled, factor = scale_cost(cost, a, a, how=how)
        assert factor == 1
        assert torch.equal(scaled, cost)


@pytest.mark.parametrize("equal", [0.3, 0.7, -5e6])
def test_spread_of_equal_costs_is_not_their_rounding(equal):
    cost = torch.full((2, 3, 3), equal)
    cost[1] = torch.nextafter(cost[1], torch.zeros(3, 3))
    assert scale_cost(cost, torch.ones(2, 3), torch.ones(2, 3), how="std")[1] == 1
    cost[0, 0, 0] *= 1 + 1e-4
    assert scale_cost(cost, torch.ones(2, 3), torch.ones(2, 3), how="std")[1] != 1


def test_scale_ignores_a_non_finite_problem(batch_of):
    cost, a, b = batch_of(ragged=False)
    _, wanted = scale_cost(cost[1:], a[1:], b[1:], how="std")
    cost[0] = math.inf
    _, factor = scale_cost(cost, a, b, how="std")
    torch.testing.assert_close(factor, wanted)


def test_invalid_scale_is_rejected_and_none_is_identity(batch_of):
    cost, a, b = batch_of()
    scaled, factor = scale_cost(cost, a, b)
    assert torch.equal(scaled, cost)
    assert factor == 1
    with pytest.raises(ConfigError, match="maximum"):
        scale_cost(cost, a, b, how="maximum")
    with pytest.raises(ConfigError, match=r"\(4, 9, 7\), \(4, 7\) and \(4, 9\)"):
        scale_cost(cost, b, a, how="max")


@pytest.mark.parametrize("wrong", [None, np.ones((1, 2)), [[1.0, 1.0]], torch.ones(1, 2, dtype=torch.complex64)])
def test_what_is_no_real_tensor_is_named(wrong):
    x, cost, masses = torch.ones(1, 2, 3), torch.ones(1, 2, 2), torch.ones(1, 2)
    kind = "torch.complex64" if isinstance(wrong, torch.Tensor) else type(wrong).__name__
    calls = {
        "vectors and weights": lambda: center(x, wrong),
        "cost, a and b": lambda: scale_cost(cost, masses, wrong, how="std"),
        "a and b": lambda: order_prior(masses, wrong),
        "source and target vectors": lambda: pairwise_cost(x, wrong),
    }
    for names, call in calls.items():
        with pytest.raises(ConfigError, match=f"^{names} must be real tensors, got .*and {kind}\n.*from_numpy"):
            call()
    assert center(x, masses.long()).dtype == torch.float32
    assert scale_cost(cost.long(), masses.bool(), masses.long(), how="max")[0].tolist() == cost.tolist()
