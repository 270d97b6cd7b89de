"""The compiled loops: equal to the iteration on tensors, sound outside the range of the kernel, alike in any batch."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from otembed.transport import sinkhorn
from otembed.transport.frame import run
from otembed.transport.kernels import compiled
from otembed.transport.kernels.arrays import exponentials
from otembed.transport.kernels.loops import build_kernel
from otembed.transport.settings import Settings
from otembed.transport.solvers import sinkhorn as sinkhorn_solver


def entropic(batch, epsilon=0.05, rho=math.inf, *, symmetric=False, tol=1e-10):
    settings = Settings(epsilon, rho, rho, tol=tol, max_iter=5000, symmetric=symmetric)
    return run(sinkhorn_solver.by_sinkhorn, *batch, settings)


@pytest.mark.parametrize("epsilon", [1.0, 0.05, 1e-3])
@pytest.mark.parametrize("rho", [math.inf, 0.5])
@pytest.mark.parametrize("symmetric", [False, True])
def test_both_engines_agree(batch_of, monkeypatch, epsilon, rho, symmetric):
    batch = batch_of(sizes=(4, 6, 6))
    if symmetric:
        # Distances on a line, whose kernel is positive definite: the averaged updates need that.
        places = torch.rand(4, 6, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
        batch = batch._replace(cost=(places - places.mT).abs(), b=batch.a)
    found = []
    for tensors_only in (False, True):
        monkeypatch.setattr(sinkhorn_solver, "TENSORS_ONLY", tensors_only)
        found.append(entropic(batch, epsilon, rho, symmetric=symmetric))
    for name in ("plan", "value", "potential_source", "potential_target"):
        torch.testing.assert_close(getattr(found[0], name), getattr(found[1], name), atol=1e-7, rtol=0)
    assert found[0].converged.all()


@pytest.mark.parametrize("rho", [math.inf, 0.5])
@pytest.mark.parametrize("name", ["_FAR", "_STEEP"])
def test_absorption_and_log_domain_start_do_not_change_the_result(batch_of, monkeypatch, rho, name):
    wanted = entropic(batch_of(), rho=rho)
    # Compiled code holds its constants, so these functions run as plain Python here.
    for function in ("_run", "_write", "_solve_rows"):
        monkeypatch.setattr(compiled, function, getattr(compiled, function).py_func)
    monkeypatch.setattr(compiled, name, 0.0)
    found = entropic(batch_of(), rho=rho)
    torch.testing.assert_close(found.plan, wanted.plan, atol=1e-9, rtol=0)
    torch.testing.assert_close(found.value, wanted.value, atol=1e-9, rtol=0)


def test_target_side_is_exact_after_a_single_update_in_the_log_domain(batch_of):
    cost, a, b = batch_of()
    result = sinkhorn(2000 * cost, a, b, epsilon=1.0, relaxation=500.0, max_iter=1)
    assert result.iterations.tolist() == [1] * len(a)
    wanted = b * (-result.potential_target / 500.0).exp()
    torch.testing.assert_close(result.plan.sum(1), wanted)


@pytest.mark.parametrize("rho", [math.inf, 0.5])
def test_out_of_range_updates_are_recomputed_in_log_domain(batch_of, monkeypatch, rho):
    wanted = entropic(batch_of(), rho=rho)
    for function in ("_run", "_write", "_solve_rows"):
        monkeypatch.setattr(compiled, function, getattr(compiled, function).py_func)
    honest, calls = compiled.scaling_updates, []

    def overflowing(*state):
        honest(*state)
        calls.append(state)
        if len(calls) % 2:
            state[8][:] = math.inf  # du

    monkeypatch.setattr(compiled, "scaling_updates", overflowing)
    found = entropic(batch_of(), rho=rho)
    torch.testing.assert_close(found.plan, wanted.plan, atol=1e-9, rtol=0)


def test_threads_and_other_problems_do_not_change_bits(batch_of, monkeypatch):
    batch = batch_of(sizes=(9, 12, 11), dtype=torch.float32)
    whole = sinkhorn(*batch, epsilon=0.05)
    monkeypatch.setattr(compiled, "_CELLS_A_TASK", 1)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    shared = sinkhorn(*batch, epsilon=0.05)
    single = sinkhorn(*(side[4:5] for side in batch), epsilon=0.05)
    assert torch.equal(shared.plan, whole.plan)
    assert torch.equal(single.plan[0], whole.plan[4])
    assert torch.equal(single.value, whole.value[4:5])


def test_non_contiguous_costs_give_the_same_result(batch_of):
    cost, a, b = batch_of()
    turned = cost.mT.contiguous().mT
    assert not turned.is_contiguous()
    assert torch.equal(sinkhorn(turned, a, b, epsilon=0.1).plan, sinkhorn(cost, a, b, epsilon=0.1).plan)


def test_padding_between_units_is_ignored(batch_of):
    cost, a, b = batch_of(ragged=False)
    order = torch.tensor([3, 0, 6, 1, 5, 2, 4])
    b[:, 2] = 0
    b /= b.sum(1, keepdim=True)
    wanted = sinkhorn(cost, a, b, epsilon=0.1)
    found = sinkhorn(cost[:, :, order], a, b[:, order], epsilon=0.1)
    torch.testing.assert_close(found.plan, wanted.plan[:, :, order], atol=1e-4, rtol=0)
    assert (found.plan[:, :, 5] == 0).all()


def test_exponentials_match_numpy():
    generator = np.random.default_rng(0)
    x = np.concatenate([-40 * generator.random(20_000), -655 * generator.random(2_000), [0.0, -659.9]])
    found, wanted = x + 3.0, np.exp(x)
    exponentials(found, 3.0, np.empty(len(x)))
    np.testing.assert_allclose(found, wanted, rtol=1e-12)
    last = np.array([-660.5, -1e9, -1e300, np.nan])
    exponentials(last, 0.0, np.empty(4))
    assert last[:3].tolist() == [0, 0, 0]
    assert np.isnan(last[3])


def test_kernel_matches_its_definition():
    generator = np.random.default_rng(1)
    scaled, log_a, log_b, u, v = (generator.normal(size=size) for size in ((3, 4), 3, 4, 3, 4))
    kernel = np.empty((3, 4))
    top = build_kernel(kernel, scaled, log_a, log_b, u, v)
    logs = u[:, None] + v - scaled + log_a[:, None] + log_b
    assert top == logs.max()
    np.testing.assert_allclose(kernel, np.exp(logs - top), rtol=1e-14)
