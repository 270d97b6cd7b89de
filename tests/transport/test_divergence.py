"""The Sinkhorn divergence against values from POT's plans, and its laws."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from otembed.errors import ConfigError, NumericsError
from otembed.transport import TransportStatus, pairwise_cost, sinkhorn, sinkhorn_divergence

METRICS = ["cosine", "euclidean", "sqeuclidean", "half_sqeuclidean"]
TIGHT = {"tol": 1e-11, "max_iter": 20_000}


def clouds(batch_of, seed=0, sizes=(3, 6, 5), ragged=True):
    _, a, b = batch_of(seed, sizes=sizes, ragged=ragged)
    generator = torch.Generator().manual_seed(seed + 1)
    x, y = (torch.randn(*side.shape, 3, generator=generator, dtype=torch.float64) / 3 for side in (a, b))
    return x, y, a, b


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("relaxation", [None, 0.7])
def test_value_agrees_with_pot(batch_of, pot_solution, metric, relaxation):
    x, y, a, b = clouds(batch_of)
    if relaxation:
        b = b * torch.tensor([[0.5], [1.0], [2.0]])
    rho = (relaxation or math.inf,) * 2
    batch = type(batch_of())
    values = [
        pot_solution(batch(pairwise_cost(p, q, metric=metric), c, d), 0.5, rho)[0]
        for p, q, c, d in ((x, y, a, b), (x, x, a, a), (y, y, b, b))
    ]
    wanted = values[0] - values[1] / 2 - values[2] / 2 + 0.25 * (a.sum(1) - b.sum(1)).square()
    result = sinkhorn_divergence(x, y, a, b, metric=metric, epsilon=0.5, relaxation=relaxation, **TIGHT)
    assert result.converged.all()
    torch.testing.assert_close(result.value, wanted, atol=1e-7, rtol=1e-7)
    cross = sinkhorn(pairwise_cost(x, y, metric=metric), a, b, epsilon=0.5, relaxation=relaxation, **TIGHT)
    for name in ("plan", "potential_source", "potential_target"):
        torch.testing.assert_close(getattr(result, name), getattr(cross, name))


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    metric=st.sampled_from(METRICS),
    epsilon=st.sampled_from([0.2, 1.0]),
    relaxation=st.sampled_from([None, 0.5]),
)
def test_divergence_is_symmetric_nonnegative_and_zero_on_equal_clouds(batch_of, seed, metric, epsilon, relaxation):
    x, y, a, b = clouds(batch_of, seed)
    chosen = {"metric": metric, "epsilon": epsilon, "relaxation": relaxation, **TIGHT}
    value = sinkhorn_divergence(x, y, a, b, **chosen).value
    assert (value >= -1e-9).all()
    torch.testing.assert_close(sinkhorn_divergence(y, x, b, a, **chosen).value, value, atol=1e-8, rtol=0)
    same = sinkhorn_divergence(x, x.flip(1), a, a.flip(1), **chosen).value
    torch.testing.assert_close(same, torch.zeros_like(same), atol=1e-8, rtol=0)


@pytest.mark.parametrize("metric", METRICS)
def test_positive_on_different_clouds_and_zero_in_float32_on_equal_ones(batch_of, metric):
    x, y, a, b = (tensor.float() for tensor in clouds(batch_of))
    assert (sinkhorn_divergence(x, y, a, b, metric=metric, epsilon=0.1).value > 1e-3).all()
    same = sinkhorn_divergence(x, x, a, a, metric=metric, epsilon=0.1, tol=1e-6).value
    assert same.abs().max() < 1e-4


@pytest.mark.parametrize("epsilon", [1.0, 0.1, 0.01, 1e-3])
@pytest.mark.parametrize("metric", METRICS)
def test_self_terms_need_few_iterations_at_any_epsilon(batch_of, metric, epsilon):
    x, _, a, _ = clouds(batch_of, sizes=(4, 20, 20))
    # Against a single unit the cross term leaves no choice, so the iterations are those within x.
    one = torch.ones(4, 1, dtype=torch.float64)
    result = sinkhorn_divergence(x, one[:, :, None].expand(4, 1, 3), a, one, metric=metric, epsilon=epsilon)
    assert result.converged.all()
    assert (result.iterations <= 41).all()


@pytest.mark.parametrize("relaxation", [None, 0.5])
def test_values_in_padding_are_ignored(batch_of, relaxation):
    x, y, a, b = clouds(batch_of)
    chosen = {"metric": "cosine", "epsilon": 0.1, "relaxation": relaxation}
    wanted = sinkhorn_divergence(x, y, a, b, **chosen)
    dirty = x.masked_fill((a == 0)[:, :, None], math.nan).requires_grad_()
    result = sinkhorn_divergence(dirty, y, a, b, **chosen)
    torch.testing.assert_close(result.value, wanted.value, atol=0, rtol=0)
    result.value.sum().backward()
    assert dirty.grad.isfinite().all()
    assert (dirty.grad[a == 0] == 0).all()


def test_empty_side_gives_zero_and_no_gradient(batch_of):
    x, y, a, b = clouds(batch_of)
    a[1] = 0
    x.requires_grad_(), y.requires_grad_()
    result = sinkhorn_divergence(x, y, a, b, metric="euclidean", epsilon=0.1)
    assert result.status.tolist() == [0, TransportStatus.EMPTY, 0]
    assert result.value[1] == 0
    result.value.sum().backward()
    assert (y.grad[1] == 0).all()
    assert y.grad.isfinite().all()


def test_non_finite_vector_affects_only_its_problem(batch_of):
    x, y, a, b = clouds(batch_of, ragged=False)
    wanted = sinkhorn_divergence(x, y, a, b, metric="sqeuclidean", epsilon=0.5)
    y[2, 0, 0] = math.nan
    x.requires_grad_()
    result = sinkhorn_divergence(x, y, a, b, metric="sqeuclidean", epsilon=0.5)
    assert result.status.tolist() == [0, 0, TransportStatus.NON_FINITE]
    assert result.value[2].isnan()
    torch.testing.assert_close(result.value[:2], wanted.value[:2])
    result.value[:2].sum().backward()
    assert x.grad[:2].isfinite().all()


@pytest.mark.parametrize("place", ["vector", "mass"])
def test_nan_spreads_to_no_gradient_under_relaxation(batch_of, place):
    x, y, a, b = clouds(batch_of, ragged=False)
    chosen = {"metric": "cosine", "epsilon": 0.1, "relaxation": 0.5, **TIGHT}
    gradients = []
    for broken in (False, True):
        leaves = [tensor.clone() for tensor in (x, y, a, b)]
        if broken:
            leaves[0 if place == "vector" else 2][2, 1] = math.nan
        result = sinkhorn_divergence(*(leaf.requires_grad_() for leaf in leaves), **chosen)
        assert bool(result.value[2].isnan()) == broken
        result.value.nan_to_num(0).sum().backward()
        gradients.append([leaf.grad for leaf in leaves])
    for clean, found in zip(*gradients, strict=True):
        torch.testing.assert_close(found[:2], clean[:2])
        torch.testing.assert_close(found[2], torch.zeros_like(found[2]), atol=0, rtol=0)


def test_half_precision_and_autocast(batch_of):
    x, y, a, b = (tensor.float() for tensor in clouds(batch_of))
    wanted = sinkhorn_divergence(x.bfloat16().float(), y.bfloat16().float(), a, b, metric="cosine", epsilon=0.1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        result = sinkhorn_divergence(x.bfloat16(), y.bfloat16(), a, b, metric="cosine", epsilon=0.1)
    torch.testing.assert_close(result.value, wanted.value, atol=1e-6, rtol=0)
    assert result.value.dtype == torch.float32


def test_invalid_input_is_rejected(batch_of):
    x, y, a, b = clouds(batch_of, ragged=False)
    with pytest.raises(ConfigError, match="relaxation"):
        sinkhorn_divergence(x, y, a, b, metric="cosine", epsilon=0.1, relaxation=(0.1, 0.2))
    with pytest.raises(ConfigError, match=r"x and a .*\(3, 6, 3\) and \(3, 5\)"):
        sinkhorn_divergence(x, y, b, b, metric="cosine", epsilon=0.1)
    with pytest.raises(ConfigError, match="y and b"):
        sinkhorn_divergence(x, y, a, a, metric="cosine", epsilon=0.1)
    with pytest.raises(ConfigError, match="metric"):
        sinkhorn_divergence(x, y, a, b, metric="manhattan", epsilon=0.1)
    with pytest.raises(ConfigError, match="int64"):
        sinkhorn_divergence(x, y, (a > 0).long(), (b > 0).long(), metric="cosine", epsilon=0.1)
    with pytest.raises(ConfigError, match="ndarray"):
        sinkhorn_divergence(x.numpy(), y, a, b, metric="cosine", epsilon=0.1)
    with pytest.raises(ConfigError, match="epsilon"):
        sinkhorn_divergence(x, y, a, b, metric="cosine", epsilon=0)
    with pytest.raises(NumericsError, match="problem 0"):
        sinkhorn_divergence(x, y, 2 * a, b, metric="cosine", epsilon=0.1)
