"""Null units against POT on the problem extended by hand, and against the linear program they stand for."""

from __future__ import annotations

import numpy as np
import ot
import pytest
import torch
from scipy.optimize import linprog

from otembed.errors import ConfigError
from otembed.transport import TransportStatus, add_null_units, solve

NULL, SHARES = 0.3, [1.0, 0.4]


def by_hand(cost, a, b, share):
    """The extended problem of one row without its padding, in numpy."""
    rows, columns = (a > 0).numpy(), (b > 0).numpy()
    wide = np.full((rows.sum() + 1, columns.sum() + 1), NULL)
    wide[:-1, :-1] = cost.numpy()[np.ix_(rows, columns)]
    wide[-1, -1] = 0
    p, q = (np.append(z.numpy()[real], share) / (1 + share) for z, real in ((a, rows), (b, columns)))
    return wide, p, q


@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("epsilon", [0.0, 0.05])
def test_agrees_with_pot_on_the_extended_problem(batch_of, share, epsilon):
    cost, a, b = batch_of(0)
    result = solve(*add_null_units(cost, a, b, null_cost=NULL, share=share), epsilon=epsilon, tol=1e-10)
    assert bool(result.converged.all())
    for row in range(len(cost)):
        wide, p, q = by_hand(cost[row], a[row], b[row], share)
        if epsilon:
            plan = ot.bregman.sinkhorn_log(p, q, wide, epsilon, numItermax=100_000, stopThr=1e-13)
            expected = (plan * wide).sum() + epsilon * (plan * np.log(plan / np.outer(p, q))).sum()
            places = np.ix_(*([*masses[row].nonzero()[:, 0].tolist(), -1] for masses in (a, b)))
            np.testing.assert_allclose(result.plan[row].numpy()[places], plan, atol=1e-7)
        else:
            expected = ot.emd2(p, q, wide)
        assert float(result.value[row]) == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize("share", SHARES)
def test_is_partial_transport_at_a_price(batch_of, share):
    cost, a, b = batch_of(1)
    value = (1 + share) * solve(*add_null_units(cost, a, b, null_cost=NULL, share=share), epsilon=0).value
    for row in range(len(cost)):
        c, p, q = (tensor[row].numpy() for tensor in (cost, a, b))
        n, m = c.shape
        sums = np.concatenate(
            [np.kron(np.eye(n), np.ones(m)), np.kron(np.ones(n), np.eye(m)), -np.ones((1, n * m))]
        )
        found = linprog((c - 2 * NULL).ravel(), A_ub=sums, b_ub=[*p, *q, share - 1.0])
        assert float(value[row]) == pytest.approx(found.fun + 2 * NULL, abs=1e-7)


def test_limits_of_the_null_cost(batch_of):
    """Dear: balanced transport; cheap: nothing is matched, each side pays for all it leaves."""
    cost, a, b = batch_of(2)
    dear = 2 * solve(*add_null_units(cost, a, b, null_cost=10.0), epsilon=0).value
    torch.testing.assert_close(dear, solve(cost, a, b, epsilon=0).value)
    cheap = solve(*add_null_units(cost + 1, a, b, null_cost=0.1), epsilon=0)
    torch.testing.assert_close(2 * cheap.value, torch.full_like(cheap.value, 0.2))
    assert float(cheap.plan[:, :-1, :-1].abs().max()) < 1e-9


def test_gradients_pass_gradcheck(batch_of):
    cost, a, b = batch_of(3, sizes=(2, 4, 3), ragged=False)

    def value(cost, a, b):
        # Along directions which keep the totals equal.
        a, b = (masses / masses.sum(1, keepdim=True) for masses in (a, b))
        extended = add_null_units(cost, a, b, null_cost=NULL, share=0.7)
        return solve(*extended, epsilon=0.1, tol=1e-12, max_iter=50_000).value

    assert torch.autograd.gradcheck(value, tuple(each.requires_grad_() for each in (cost, a, b)), atol=1e-5)


def test_an_empty_problem_stays_empty(batch_of):
    cost, a, b = batch_of(4)
    a[1], b[1] = 0, 0
    result = solve(*add_null_units(cost, a, b, null_cost=NULL), epsilon=0.1)
    assert result.status[1] == TransportStatus.EMPTY


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"null_cost": 0}, "null_cost must be a number above 0"),
        ({"null_cost": 0.1, "share": 0}, "share must be a number above 0"),
        ({"null_cost": 0.1, "share": 1.5}, r"share = 1\.5 is above 1"),
    ],
)
def test_settings_out_of_range_are_refused(batch_of, settings, message):
    with pytest.raises(ConfigError, match=message):
        add_null_units(*batch_of(0), **settings)
