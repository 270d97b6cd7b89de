"""One door: it hands on to the right solver and refuses what contradicts itself."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from otembed.errors import ConfigError
from otembed.transport import TransportStatus, exact, order_prior, sinkhorn, solve


def test_solve_dispatches_to_the_solvers(batch_of):
    cost, a, b = batch_of()
    for relaxation in (None, 0.3, (math.inf, 0.2)):
        mine = solve(cost, a, b, epsilon=0.1, relaxation=relaxation)
        torch.testing.assert_close(mine.plan, sinkhorn(cost, a, b, epsilon=0.1, relaxation=relaxation).plan)
    torch.testing.assert_close(solve(cost, a, b, epsilon=0).plan, exact(cost, a, b).plan)


@pytest.mark.parametrize("epsilon", [0.5, 0.05])
def test_pot_as_backend_gives_the_same_result(batch_of, epsilon):
    cost, a, b = batch_of()
    a[1], b[1] = 0, 0
    cost[2, 0, 0] = math.nan
    results, gradients = [], []
    for backend in ("native", "pot"):
        costs = cost.clone().requires_grad_()
        result = solve(costs, a, b, epsilon=epsilon, tol=1e-10, max_iter=20_000, backend=backend)
        gradients.append(torch.autograd.grad(result.value.nansum(), costs)[0])
        results.append(result)
    native, pot = results
    assert native.status.tolist() == pot.status.tolist()
    assert pot.status.tolist()[1:3] == [TransportStatus.EMPTY, TransportStatus.NON_FINITE]
    for name in ("value", "plan", "potential_source", "potential_target"):
        torch.testing.assert_close(
            getattr(pot, name), getattr(native, name), equal_nan=True, atol=1e-7, rtol=1e-6, msg=name
        )
    torch.testing.assert_close(*gradients, atol=1e-8, rtol=1e-6)


def test_pot_as_backend_reports_what_did_not_converge(batch_of):
    cost, a, b = batch_of()
    result = solve(cost, a, b, epsilon=0.01, max_iter=1, backend="pot", tol=1e-9)
    assert not bool(result.converged.any())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epsilon": 0.1, "backend": "pott"}, "'pott'"),
        ({"epsilon": -1.0}, "epsilon"),
        ({"epsilon": math.nan}, "epsilon"),
        ({"epsilon": 0.1, "share": 0.5, "relaxation": 1.0}, "share and relaxation"),
        ({"epsilon": 0, "relaxation": 1.0}, "relaxation"),
        ({"epsilon": 0, "plan_gradients": True}, "plan_gradients"),
        ({"epsilon": 0.1, "share": 0.5, "plan_gradients": True}, "plan_gradients"),
        ({"epsilon": 0.1, "relaxation": 1.0, "backend": "pot"}, "backend"),
        ({"epsilon": 0, "backend": "pot"}, "backend"),
        ({"epsilon": False}, "epsilon"),
        ({"epsilon": "0.1"}, "epsilon"),
        ({"epsilon": 0.1, "relaxation": "0.5"}, "relaxation .*'0.5'"),
        ({"epsilon": 0.1, "relaxation": (None, "x")}, "relaxation .*'x'"),
        ({"epsilon": 0.1, "relaxation": (0, "x")}, "relaxation .*'x'"),
        ({"epsilon": 0.1, "relaxation": (0, 0.2)}, "free"),
        ({"epsilon": 0.1, "relaxation": (0, 0)}, "free"),
        ({"epsilon": 0.1, "relaxation": 0}, "relaxation"),
        ({"epsilon": 0.1, "relaxation": [0.2]}, "pair"),
        ({"epsilon": 0.1, "relaxation": (True, None)}, "relaxation .*True"),
    ],
)
def test_contradictory_settings_are_rejected(settings, message):
    one = torch.ones(1, 1)
    with pytest.raises(ConfigError, match=message):
        solve(one[None], one, one, **settings)


def test_lists_and_numpy_numbers_are_numbers(batch_of):
    cost, a, b = batch_of()
    for given, plain in (([None, 0.2], (None, 0.2)), (np.float32(0.25), 0.25), ([0, None], (0, None))):
        torch.testing.assert_close(
            solve(cost, a, b, epsilon=np.float32(0.125), relaxation=given).value,
            solve(cost, a, b, epsilon=0.125, relaxation=plain).value,
        )
    pair = {"epsilon": 0.1, "relaxation": [None, 0.2]}
    torch.testing.assert_close(sinkhorn(cost, a, b, **pair).value, solve(cost, a, b, **pair).value)


def test_order_prior_by_hand():
    a = torch.tensor([[0.2, 0.0, 0.8], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]])  # a hole in the middle is padding
    b = torch.tensor([[0.2, 0.3, 0.5], [0.5, 0.5, 0.0], [1.0, 0.0, 0.0]])
    assert order_prior(a, b).tolist() == [
        [[0.0, 0.5, 1.0], [0.0, 0.0, 0.0], [1.0, 0.5, 0.0]],
        [[0.5, 0.5, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]],
        [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]],
    ]
    assert torch.equal(order_prior(a > 0, b > 0), order_prior(a, b))
    with pytest.raises(ConfigError, match="a and b"):
        order_prior(a, b[:1])
