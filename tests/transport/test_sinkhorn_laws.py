"""Laws of entropic transport on random ragged batches."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from otembed.transport import exact, sinkhorn

pytestmark = pytest.mark.usefixtures("engine")

EPSILONS = st.sampled_from([1.0, 0.2, 0.05])
RELAXATIONS = st.sampled_from([None, 0.3, (0.2, 1.0)])
SEEDS = st.integers(0, 10_000)
SIZES = st.tuples(st.integers(1, 5), st.integers(1, 9), st.integers(1, 9))
TIGHT = {"tol": 1e-11, "max_iter": 20_000}
few = settings(max_examples=25, deadline=None)


def close(x, y, atol=1e-8):
    torch.testing.assert_close(x, y, atol=atol, rtol=0)


@few
@given(seed=SEEDS, sizes=SIZES, epsilon=EPSILONS)
def test_marginals_are_met_and_the_plan_is_nonnegative(batch_of, seed, sizes, epsilon):
    cost, a, b = batch_of(seed, sizes=sizes)
    result = sinkhorn(cost, a, b, epsilon=epsilon, **TIGHT)
    assert result.converged.all()
    assert (result.plan >= 0).all()
    close(result.plan.sum(2), a)
    close(result.plan.sum(1), b)


@few
@given(seed=SEEDS, sizes=SIZES, epsilon=EPSILONS, relaxation=RELAXATIONS)
def test_swapping_the_sides_transposes(batch_of, seed, sizes, epsilon, relaxation):
    cost, a, b = batch_of(seed, sizes=sizes)
    swapped = relaxation[::-1] if isinstance(relaxation, tuple) else relaxation
    one = sinkhorn(cost, a, b, epsilon=epsilon, relaxation=relaxation, **TIGHT)
    two = sinkhorn(cost.mT, b, a, epsilon=epsilon, relaxation=swapped, **TIGHT)
    close(one.plan, two.plan.mT)
    close(one.value, two.value)
    close(one.potential_source, two.potential_target, atol=1e-6)


@few
@given(seed=SEEDS, sizes=SIZES, epsilon=EPSILONS, relaxation=RELAXATIONS)
def test_permuting_units_permutes_the_plan(batch_of, seed, sizes, epsilon, relaxation):
    cost, a, b = batch_of(seed, sizes=sizes)
    order = torch.randperm(sizes[1], generator=torch.Generator().manual_seed(seed))
    one = sinkhorn(cost, a, b, epsilon=epsilon, relaxation=relaxation, **TIGHT)
    two = sinkhorn(cost[:, order], a[:, order], b, epsilon=epsilon, relaxation=relaxation, **TIGHT)
    close(one.plan[:, order], two.plan)
    close(one.value, two.value)


@few
@given(
    seed=SEEDS,
    sizes=SIZES,
    epsilon=EPSILONS,
    relaxation=RELAXATIONS,
    garbage=st.sampled_from([float("nan"), float("inf"), -1e30, 0.0]),
)
def test_padding_values_do_not_change_the_result(batch_of, seed, sizes, epsilon, relaxation, garbage):
    cost, a, b = (tensor.float() for tensor in batch_of(seed, sizes=sizes, ragged=False))
    wide = torch.full((sizes[0], sizes[1] + 3, sizes[2] + 2), garbage)
    wide[:, 3:, :-2] = cost
    one = sinkhorn(cost, a, b, epsilon=epsilon, relaxation=relaxation)
    two = sinkhorn(
        wide,
        torch.nn.functional.pad(a, (3, 0)),
        torch.nn.functional.pad(b, (0, 2)),
        epsilon=epsilon,
        relaxation=relaxation,
    )
    close(two.plan[:, 3:, :-2], one.plan, atol=1e-6)
    close(two.value, one.value, atol=1e-6)
    assert two.plan[:, :3].eq(0).all()
    assert two.plan[:, :, -2:].eq(0).all()


@few
@given(seed=SEEDS, sizes=SIZES, epsilon=EPSILONS, relaxation=RELAXATIONS)
def test_problems_are_independent(batch_of, seed, sizes, epsilon, relaxation):
    cost, a, b = (tensor.float() for tensor in batch_of(seed, sizes=sizes))
    together = sinkhorn(cost, a, b, epsilon=epsilon, relaxation=relaxation)
    for row in range(len(cost)):
        part = slice(row, row + 1)
        alone = sinkhorn(cost[part], a[part], b[part], epsilon=epsilon, relaxation=relaxation)
        close(alone.plan[0], together.plan[row], atol=1e-6)
        close(alone.value[0], together.value[row], atol=1e-6)
        assert alone.iterations[0] == together.iterations[row]


@few
@given(seed=SEEDS, sizes=SIZES, epsilon=EPSILONS, shift=st.floats(-50, 50), scale=st.floats(0.01, 100))
def test_shift_and_scale_of_the_cost(batch_of, seed, sizes, epsilon, shift, scale):
    cost, a, b = batch_of(seed, sizes=sizes)
    plain = sinkhorn(cost, a, b, epsilon=epsilon, **TIGHT)
    moved = sinkhorn(cost * scale + shift, a, b, epsilon=epsilon * scale, **TIGHT)
    close(moved.plan, plain.plan)
    torch.testing.assert_close(moved.value, plain.value * scale + shift, atol=1e-7, rtol=1e-7)


@few
@given(seed=SEEDS, sizes=SIZES, scale=st.floats(0.01, 100), relaxation=st.sampled_from([0.1, 3.0]))
def test_scale_of_the_cost_under_relaxation(batch_of, seed, sizes, scale, relaxation):
    cost, a, b = batch_of(seed, sizes=sizes)
    plain = sinkhorn(cost, a, b, epsilon=0.1, relaxation=relaxation, **TIGHT)
    scaled = sinkhorn(cost * scale, a, b, epsilon=0.1 * scale, relaxation=relaxation * scale, **TIGHT)
    close(scaled.plan, plain.plan)
    close(scaled.value / scale, plain.value)


def test_large_epsilon_gives_the_product_plan(batch_of):
    cost, a, b = batch_of()
    result = sinkhorn(cost, a, b, epsilon=1e6, tol=1e-12)
    close(result.plan, a[:, :, None] * b[:, None, :], atol=1e-6)


def test_small_epsilon_approaches_the_exact_value_from_above(batch_of):
    cost, a, b = batch_of()
    wanted = exact(cost, a, b).value
    gaps = [
        sinkhorn(cost, a, b, epsilon=epsilon, tol=1e-9, max_iter=100_000).value - wanted
        for epsilon in (0.1, 0.01, 0.001)
    ]
    assert (gaps[2] >= -1e-9).all()
    assert (gaps[0] >= gaps[1]).all()
    assert (gaps[1] >= gaps[2]).all()
    assert (gaps[2] < 5e-3).all()


def test_large_relaxation_approaches_the_balanced_plan(batch_of):
    batch = batch_of()
    balanced = sinkhorn(*batch, epsilon=0.1, tol=1e-10)
    relaxed = sinkhorn(*batch, epsilon=0.1, relaxation=1e5, tol=1e-10, max_iter=20_000)
    assert relaxed.converged.all()
    close(relaxed.plan, balanced.plan, atol=1e-5)


@pytest.mark.parametrize("relaxation", [float("inf"), (float("inf"), float("inf"))])
def test_infinite_relaxation_is_balanced(batch_of, relaxation):
    batch = batch_of()
    close(sinkhorn(*batch, epsilon=0.1, relaxation=relaxation).plan, sinkhorn(*batch, epsilon=0.1).plan, atol=0)


def test_small_relaxation_leaves_distant_units_unmatched():
    cost = torch.tensor([[[0.0, 9.0], [9.0, 9.0]]])
    half = torch.tensor([[0.5, 0.5]])
    plan = sinkhorn(cost, half, half, epsilon=0.05, relaxation=0.5).plan
    assert plan[0, 0, 0] > 0.4
    assert plan[0, 1].sum() < 1e-3
