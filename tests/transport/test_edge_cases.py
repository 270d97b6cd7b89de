"""Degenerate and broken problems, low precision, refusals."""

from __future__ import annotations

import math

import pytest
import torch

from otembed.errors import ConfigError, NumericsError
from otembed.transport import TransportStatus, exact, sinkhorn
from otembed.transport import TransportStatus as Status

pytestmark = pytest.mark.usefixtures("engine")

BALANCED_AND_RELAXED = pytest.mark.parametrize("relaxation", [None, 0.5])


def solvers():
    return [
        pytest.param(lambda *batch: sinkhorn(*batch, epsilon=0.1), id="balanced"),
        pytest.param(lambda *batch: sinkhorn(*batch, epsilon=0.1, relaxation=0.5), id="relaxed"),
        pytest.param(exact, id="exact"),
    ]


each_solver = pytest.mark.parametrize("solver", solvers())


@each_solver
@pytest.mark.parametrize("sides", ["source", "target", "both"])
def test_problem_without_mass_is_empty_and_does_not_affect_others(batch_of, solver, sides):
    cost, a, b = batch_of()
    wanted = solver(cost, a, b)
    if sides != "target":
        a[1] = 0
    if sides != "source":
        b[1] = 0
    leaves = [tensor.clone().requires_grad_() for tensor in (cost, a, b)]
    result = solver(*leaves)
    assert result.status.tolist() == [Status.CONVERGED, Status.EMPTY, Status.CONVERGED, Status.CONVERGED]
    assert result.value[1] == 0
    assert (result.plan[1] == 0).all()
    rest = [0, 2, 3]
    torch.testing.assert_close(result.plan[rest], wanted.plan[rest], atol=1e-9, rtol=0)
    result.value.sum().backward()
    for leaf in leaves:
        assert (leaf.grad[1] == 0).all()
    torch.testing.assert_close(leaves[0].grad, result.plan)


@each_solver
@pytest.mark.parametrize(
    ("where", "bad"),
    [("cost", math.nan), ("cost", math.inf), ("cost", -math.inf), ("mass", math.nan), ("mass", math.inf)],
)
def test_non_finite_problem_is_reported_and_does_not_affect_others(batch_of, solver, where, bad):
    cost, a, b = batch_of(ragged=False)
    wanted = solver(cost, a, b)
    if where == "cost":
        cost[2, 3, 1] = bad
    else:
        a[2, 3] = bad
    leaves = [tensor.clone().requires_grad_() for tensor in (cost, a, b)]
    result = solver(*leaves)
    assert result.status.tolist() == [0, 0, Status.NON_FINITE, 0]
    assert result.value[2].isnan()
    assert result.marginal_error[2].isnan()
    rest = [0, 1, 3]
    torch.testing.assert_close(result.plan[rest], wanted.plan[rest], atol=1e-9, rtol=0)
    torch.testing.assert_close(result.value[rest], wanted.value[rest], atol=1e-9, rtol=0)
    result.value.square().sum().backward()  # an upstream gradient that is NaN itself
    for leaf in leaves:
        assert (leaf.grad[2] == 0).all()
        assert leaf.grad.isfinite().all()


@pytest.mark.parametrize(("relaxation", "masses"), [(None, 4.0), (0.5, 0.5)])
def test_overflow_is_reported(relaxation, masses):
    cost = torch.full((1, 2, 2), 3e38 if relaxation is None else -3e38)
    side = torch.full((1, 2), masses)
    result = sinkhorn(cost, side, side, epsilon=1e-3, relaxation=relaxation)
    assert result.status.tolist() == [Status.NON_FINITE]
    assert result.value.isnan().all()
    assert (result.plan == 0).all()
    assert (result.potential_source == 0).all()


@each_solver
@pytest.mark.parametrize("sizes", [(0, 3, 4), (2, 0, 4), (2, 3, 0), (2, 0, 0), (0, 0, 0)])
def test_empty_dimensions_are_empty(solver, sizes):
    problems, n, m = sizes
    cost = torch.zeros(sizes, requires_grad=True)
    result = solver(cost, torch.zeros(problems, n), torch.zeros(problems, m))
    assert result.plan.shape == sizes
    assert result.value.tolist() == [0] * problems
    assert result.status.tolist() == [Status.EMPTY] * problems
    result.value.sum().backward()
    assert cost.grad.shape == sizes


@pytest.mark.parametrize("solver", solvers()[::2])
def test_one_unit_per_side_has_one_plan(solver):
    result = solver(torch.tensor([[[0.7]]]), torch.ones(1, 1), torch.ones(1, 1))
    assert result.plan.tolist() == [[[1.0]]]
    torch.testing.assert_close(result.value, torch.tensor([0.7]))


@BALANCED_AND_RELAXED
def test_identical_sides_give_a_symmetric_plan(batch_of, relaxation):
    cost, a, _ = batch_of(sizes=(3, 6, 6))
    cost = cost + cost.mT
    result = sinkhorn(cost, a, a, epsilon=0.1, relaxation=relaxation, tol=1e-11)
    torch.testing.assert_close(result.plan, result.plan.mT, atol=1e-9, rtol=0)
    torch.testing.assert_close(result.potential_source, result.potential_target, atol=1e-8, rtol=0)


@BALANCED_AND_RELAXED
def test_constant_costs(relaxation):
    result = sinkhorn(torch.zeros(1, 3, 2), torch.full((1, 3), 1 / 3), torch.full((1, 2), 0.5), epsilon=1e-3)
    torch.testing.assert_close(result.plan, torch.full((1, 3, 2), 1 / 6))
    assert result.value.abs().item() < 1e-6


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@BALANCED_AND_RELAXED
def test_half_precision_is_solved_in_float32(batch_of, dtype, relaxation):
    cost, a, b = (tensor.to(dtype) for tensor in batch_of())
    cost.requires_grad_()
    result = sinkhorn(cost, a, b, epsilon=0.05, relaxation=relaxation, tol=1e-5)
    wanted = sinkhorn(cost.detach().float(), a.float(), b.float() * (a.float().sum(1) / b.float().sum(1))[:, None],
                      epsilon=0.05, relaxation=relaxation, tol=1e-5)  # fmt: skip
    assert result.converged.all()
    assert result.value.dtype == result.plan.dtype == torch.float32
    torch.testing.assert_close(result.plan, wanted.plan, atol=3e-3 if relaxation else 1e-6, rtol=0)
    result.value.sum().backward()
    assert cost.grad.dtype == dtype
    torch.testing.assert_close(cost.grad, result.plan.to(dtype))


def test_autocast_changes_nothing(batch_of):
    batch = batch_of(dtype=torch.float32)
    wanted = sinkhorn(*batch, epsilon=0.05)
    cost = batch.cost.clone().requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        result = sinkhorn(cost, batch.a, batch.b, epsilon=0.05)
        result.value.sum().backward()
    assert result.plan.dtype == torch.float32
    torch.testing.assert_close(result.plan, wanted.plan, atol=0, rtol=0)
    torch.testing.assert_close(cost.grad, wanted.plan, atol=0, rtol=0)


@pytest.mark.parametrize("scale", [1e-12, 1e12])
def test_masses_of_any_total(batch_of, scale):
    cost, a, b = batch_of(dtype=torch.float32)
    wanted = sinkhorn(cost, a, b, epsilon=0.05, tol=1e-5)
    result = sinkhorn(cost, a * scale, b * scale, epsilon=0.05, tol=1e-5)
    torch.testing.assert_close(result.plan / scale, wanted.plan, atol=1e-4, rtol=0)


def test_unequal_sizes_and_tiny_masses_in_float32():
    generator = torch.Generator().manual_seed(0)
    cost = torch.rand(2, 3, 40, generator=generator)
    a = torch.tensor([[1.0, 1e-20, 1e-8], [0.5, 0.25, 0.25]])
    b = torch.full((2, 40), 1 / 40)
    result = sinkhorn(cost, a, b, epsilon=1e-3, max_iter=20_000)
    assert result.converged.all()
    assert result.plan.isfinite().all()
    assert result.value.isfinite().all()


def test_distant_units_under_relaxation_move_no_mass():
    half = torch.tensor([[0.5, 0.5]])
    result = sinkhorn(torch.full((1, 2, 2), 1e6), half, half, epsilon=0.1, relaxation=0.3)
    assert result.converged.all()
    assert result.plan.sum() == 0
    torch.testing.assert_close(result.value, torch.tensor([2 * 0.3 + 0.1]))  # rho (1 + 1) + eps


def test_status_texts():
    for status in TransportStatus:
        assert status.help.endswith(".")
    cost = torch.rand(2, 5, 5, generator=torch.Generator().manual_seed(0))
    masses = torch.tensor([[0.2] * 5, [0.0] * 5])
    result = sinkhorn(cost, masses, masses, epsilon=1e-3, max_iter=1)
    assert result.status_help == [Status.MAX_ITERATIONS.help, Status.EMPTY.help]
    assert "max_iter" in result.status_help[0]
    assert result.converged.tolist() == [False, False]


COST, HALF = torch.zeros(1, 2, 2), torch.tensor([[0.5, 0.5]])


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"epsilon": 0.0}, "epsilon 0.0"),
        ({"epsilon": -1.0}, "epsilon -1.0"),
        ({"epsilon": math.nan}, "epsilon nan"),
        ({"epsilon": math.inf}, "epsilon inf"),
        ({"epsilon": "small"}, "epsilon 'small'"),
        ({"relaxation": 0.0}, "relaxation 0.0"),
        ({"relaxation": (0.1, math.nan)}, "relaxation nan"),
        ({"relaxation": (0.1, 0.2, 0.3)}, "relaxation (0.1, 0.2, 0.3)"),
        ({"tol": 0.0}, "tol 0.0"),
        ({"max_iter": 0}, "max_iter 0"),
        ({"max_iter": 2.5}, "max_iter 2.5"),
    ],
)
def test_settings_out_of_range_are_rejected(settings, words):
    with pytest.raises(ConfigError) as caught:
        sinkhorn(COST, HALF, HALF, **{"epsilon": 0.1, **settings})
    name, value = words.split(" ", 1)
    assert isinstance(caught.value, ValueError)
    assert caught.value.message.startswith(name)
    assert caught.value.message.endswith(value)


@each_solver
@pytest.mark.parametrize(
    ("batch", "error", "words"),
    [
        ((COST[0], HALF, HALF), ConfigError, "(2, 2), (1, 2) and (1, 2)"),
        ((COST, HALF[:, :1], HALF), ConfigError, "(1, 2, 2), (1, 1) and (1, 2)"),
        ((COST, HALF, HALF[0]), ConfigError, "(1, 2, 2), (1, 2) and (2,)"),
        ((COST.long(), HALF, HALF), ConfigError, "torch.int64"),
        ((COST, HALF > 0, HALF), ConfigError, "torch.bool"),
        ((COST.numpy(), HALF, HALF), ConfigError, "ndarray, torch.float32 and torch.float32"),
        ((COST, HALF, None), ConfigError, "NoneType"),
        ((COST, HALF.to("meta"), HALF), ConfigError, "cpu, meta and cpu"),
        ((COST, torch.tensor([[1.5, -0.5]]), HALF), ConfigError, "-0.5"),
    ],
)
def test_invalid_problems_are_rejected(solver, batch, error, words):
    with pytest.raises(error) as caught:
        solver(*batch)
    assert words in str(caught.value)
    assert caught.value.hint


@pytest.mark.parametrize("solver", solvers()[::2])
def test_unequal_totals_are_rejected_by_balanced_solvers(solver):
    a = torch.tensor([[0.5, 0.5], [0.5, 0.25]])
    with pytest.raises(NumericsError, match=r"problem 1 .*0\.75 and 1") as caught:
        solver(COST.expand(2, 2, 2), a, HALF.expand(2, 2))
    assert "relaxation" in caught.value.hint
