"""The parts of the iteration: both domains agree, over-relaxation adapts and retreats, translation helps."""

from __future__ import annotations

import math

import pytest
import torch

from otembed.transport import sinkhorn
from otembed.transport.kernels import iteration
from otembed.transport.kernels.iteration import Iterate
from otembed.transport.settings import Settings


def begin(batch):
    return Iterate.start(torch.arange(len(batch.cost)), *batch, 0.2, torch.zeros(len(batch.cost)))


@pytest.mark.parametrize("rho", [math.inf, 0.5])
@pytest.mark.parametrize("symmetric", [False, True])
def test_both_domains_take_the_same_steps(batch_of, monkeypatch, rho, symmetric):
    batch = batch_of(sizes=(4, 6, 6))
    if symmetric:
        batch = batch._replace(cost=batch.cost + batch.cost.mT, b=batch.a)
    settings = Settings(0.2, rho, rho, symmetric=symmetric)
    states = []
    for limit in (iteration._FAR, -1.0):  # below 0, every problem counts as out of range
        monkeypatch.setattr(iteration, "_FAR", limit)
        monkeypatch.setattr(iteration, "_WILD", limit)
        state, _, _ = begin(batch).advance(settings, 7)
        state.absorb()
        states.append(state)
    scaled, logged = states
    for name in ("u_AN", "v_AM", "exponent_ANM", "kernel_ANM"):
        torch.testing.assert_close(getattr(scaled, name), getattr(logged, name), atol=1e-10, rtol=0)


def test_over_relaxation_follows_youngs_formula_and_backs_off_when_the_error_grows(batch_of):
    state = begin(batch_of(sizes=(2, 3, 3)))
    state._adapt(torch.tensor([0.1, 0.1]), 1)
    assert (state.omega_A1 < 1.01).all()  # one error says nothing of a rate
    state._adapt(torch.tensor([0.1 * 0.9**10, 0.5]), 10)
    young = 2 / (1 + math.sqrt(1 - 0.9))
    assert state.omega_A1[0].item() == pytest.approx(young, rel=1e-4)
    assert state.omega_A1[1].item() == 1
    assert state.cap_A1[:, 0].tolist() == pytest.approx([1.9, 1.45])


@pytest.mark.parametrize("relaxation", [10.0, 1000.0])
def test_relaxation_far_above_epsilon_does_not_slow_the_iteration(batch_of, relaxation):
    cost, a, b = batch_of()
    result = sinkhorn(cost, a, 3 * b, epsilon=0.05, relaxation=relaxation)
    assert (result.iterations <= 101).all()


@pytest.mark.parametrize("max_iter", [1, 2, 11, 15])
def test_max_iter_is_exact(batch_of, max_iter):
    result = sinkhorn(*batch_of(ragged=False), epsilon=1e-3, tol=1e-12, max_iter=max_iter)
    assert result.iterations.tolist() == [max_iter] * 4
